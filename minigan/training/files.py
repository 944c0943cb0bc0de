"""Files that are whole or not there, whatever kills the process or fills the disk.

A file or folder is written under a temporary name beside its place, forced to the disk (fsync),
renamed, and the rename forced to the disk too. What a killed process leaves behind starts with
`TEMPORARY` and is removed when the run is opened again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minigan.errors import CheckpointError

TEMPORARY = ".tmp-"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError in the block (full disk, no permission) into a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Force a folder's entries (new names, renames) to the disk."""
    if os.name == "nt":  # Windows cannot open a folder, and orders renames itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and force it to the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_file(path: Path, content: bytes) -> None:
    """Write or replace a file: after a crash it holds the old content or the new, never a part."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    with writing(path):
        try:
            write_synced(temporary, content)
            os.replace(temporary, path)
            sync_folder(path.parent)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write or replace a folder of files; it appears under its name only when it is complete."""
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}")
    with writing(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            remove_folder(temporary)
            temporary.mkdir()
            for name, content in files.items():
                write_synced(temporary / name, content)
            sync_folder(temporary)
            replaced = _step_aside(folder) if folder.exists() else None
            os.rename(temporary, folder)
            sync_folder(folder.parent)
            if replaced is not None:
                shutil.rmtree(replaced)
        except OSError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def remove_folder(folder: Path) -> None:
    """Delete a folder, if it is there; it loses its name first, so that no half of it is seen."""
    if folder.exists():
        shutil.rmtree(_step_aside(folder))


def _step_aside(folder: Path) -> Path:
    if folder.name.startswith(TEMPORARY):
        return folder
    aside = folder.with_name(f"{TEMPORARY}old-{folder.name}")
    if aside.exists():
        shutil.rmtree(aside)
    os.rename(folder, aside)
    return aside


def remove_strays(folder: Path) -> None:
    """Delete what a killed process left half written in a folder."""
    for stray in sorted(folder.glob(f"{TEMPORARY}*")):
        if stray.is_dir():
            shutil.rmtree(stray)
        else:
            stray.unlink()
