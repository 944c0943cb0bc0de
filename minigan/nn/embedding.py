"""A table of vectors, looked up by index."""

from __future__ import annotations

from typing import Any

from minigan import creation
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.module import Module
from minigan.nn.parameter import Parameter
from minigan.tensor import Tensor


class Embedding(Module):
    """Integers [...] in 0..num_embeddings-1 -> vectors [..., embedding_dim]; starts as N(0, 1)."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        table = creation.empty(num_embeddings, embedding_dim, device=device, dtype=dtype)
        self.weight = Parameter(table)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """N(0, 1)."""
        init.normal_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
