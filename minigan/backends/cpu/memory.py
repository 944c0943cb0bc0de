"""Keep freed memory for the next step.

A training step allocates and frees the same arrays again and again. By default glibc gives those of
more than a few megabytes back to the system at once, and each step pays for new, zeroed pages:
thousands of page faults, a tenth of its time.
"""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # names of malloc.h
_KEPT = 1 << 30  # bytes that may lie free at the end of the heap


def return_freed_memory() -> None:
    """Give what lies free back to the system, for once: others are about to take as much."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return
    trim(0)


def keep_freed_memory() -> None:
    """Let glibc's malloc reuse large arrays; a MALLOC_* variable of the user's has precedence."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library: it has no such setting
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
