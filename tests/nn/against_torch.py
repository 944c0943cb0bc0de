"""How values of ours are held against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np


def close(mine: Any, other: Any, tolerance: float = 1e-9) -> None:
    """The values of a tensor of ours and one of torch's, relative to the largest."""
    other = other.detach().numpy()
    scale = float(np.abs(other).max(initial=1.0))
    np.testing.assert_allclose(np.asarray(mine), other, rtol=tolerance, atol=tolerance * scale)
