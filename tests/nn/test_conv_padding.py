"""Padding "same" where the total is odd: PyTorch puts the extra row and column at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import close

import minigan as mg


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("kernel", [(2, 3), (3, 4), (4, 2)])
def test_even_kernels_equal_torch(torch: Any, kernel: tuple[int, int], mode: str) -> None:
    options = {"padding": "same", "padding_mode": mode}
    ours = mg.nn.Conv2d(2, 3, kernel, **options).double()
    theirs = torch.nn.Conv2d(2, 3, kernel, **options).double()
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 2, 6, 7))
    close(ours(mg.tensor(x)).detach(), theirs(torch.tensor(x)))
