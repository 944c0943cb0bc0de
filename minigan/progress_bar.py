"""tqdm's bar on standard error, visible on terminals that do not know their size, too."""

from __future__ import annotations

import os
import sys
from typing import Any

_ROWS, _COLUMNS = 24, 80


def progress_bar(**options: Any) -> Any:
    """A `tqdm` bar with these options, as wide as the terminal; 80 columns where it says 0.

    Terminals of containers, `script` and some editors report 0 columns, and there tqdm's own
    reading of the size makes a bar of no characters.
    """
    from tqdm import tqdm

    try:
        sized = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # no terminal: tqdm writes plain lines
        sized = True
    size = {"dynamic_ncols": True} if sized else {"ncols": _COLUMNS, "nrows": _ROWS}
    return tqdm(**size, **options)
