"""Asking for numbers ahead of time: a product waits for memory where its operands are large."""

from __future__ import annotations

import numpy as np

from minigan.backends.cpu.aligned import LINE
from minigan.backends.cpu.lanes import fetch
from minigan.backends.cpu.threads import inlined


@inlined
def fetch_run(array, first, numbers):
    """So many numbers of the array from `first` on, into the second-level cache; see `fetch`."""
    for at in range(np.uintp(first), np.uintp(first + numbers), np.uintp(LINE)):
        fetch(array, at)
