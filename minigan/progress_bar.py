"""tqdm's bar on standard error, visible on terminals that do not know their size, too."""

from __future__ import annotations

import os
import sys
from typing import Any

_ROWS, _COLUMNS = 24, 80


def progress_bar(**options: Any) -> Any:
    """A `tqdm` bar with these options, as wide as the terminal; 80 columns where it says 0.

    Terminals of containers, `script` and some editors report 0 columns or 0 rows, and there tqdm's
    own reading of the size makes a bar of no characters.
    """
    from tqdm import tqdm

    size: dict[str, Any] = {"dynamic_ncols": True}
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
        if columns == 0 or rows == 0:
            size = {"ncols": columns or _COLUMNS, "nrows": rows or _ROWS}
    except (OSError, ValueError):
        pass  # no terminal: tqdm writes plain lines
    return tqdm(**size, **options)
