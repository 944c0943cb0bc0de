"""A name for the state of the source that a kernel is compiled from.

Numba finds a kernel's machine code on disk by the kernel's own file, but helpers of other files and
constants that they import are compiled into it. So each kernel's name carries a checksum of its
file and of all files of this package that it imports, directly or not: after a change of any of
them it is compiled anew. A file elsewhere, a test's, may import in ways that are not read here: it
counts as importing all.
"""

from __future__ import annotations

import re
import zlib
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_PACKAGE = r"^from minigan\.backends\.cpu"
_IMPORT = re.compile(rf"{_PACKAGE}\.(\w+) import|{_PACKAGE} import (\([^)]*\)|.+)", re.MULTILINE)


@cache
def stamp(file: Path) -> str:
    """Of the kernels of a file; the same whatever the order of its imports."""
    found: dict[str, int] = {}
    waiting = [file] if file.parent == _FOLDER else [file, *_FOLDER.glob("*.py")]
    while waiting:
        source = waiting.pop()
        if source.name in found:
            continue
        text = source.read_bytes()
        found[source.name] = zlib.crc32(text)
        for module, modules in _IMPORT.findall(text.decode()):
            names = [module] if module else re.findall(r"\w+", modules)
            waiting += [path for name in names if (path := _FOLDER / f"{name}.py").exists()]
    return f"{zlib.crc32(repr(sorted(found.items())).encode()):08x}"
