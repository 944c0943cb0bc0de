"""A table of learned vectors."""

from __future__ import annotations

from typing import Any

from minigan.creation import empty
from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.module import Module, require_input
from minigan.nn.parameter import Parameter
from minigan.tensor import Tensor


class Embedding(Module):
    """Row i of weight [num_embeddings, embedding_dim] for each integer i: [...] -> [..., D].

    Rows start as N(0, 1); the row `padding_idx` starts as zeros and gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ConfigError(
                f"Embedding: padding_idx={padding_idx} is no row of {num_embeddings} rows"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the rows anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        require_input(self, input, lambda shape: True, "any shape")
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
