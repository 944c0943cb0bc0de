"""Data tests touch neither the network nor the user's cache; full data sets only if at hand."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MINIGAN_OFFLINE", "1")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def full_data() -> Path:
    """A folder with the full data sets: $MINIGAN_DATA, or ../shared/data beside the repository."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("MINIGAN_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no full data sets: set MINIGAN_DATA to a folder that holds mnist/")
    return folder


@pytest.fixture
def write_idx(tmp_path: Path) -> Callable[..., Path]:
    """write_idx(array, name) writes an IDX file of uint8 values, gzipped if the name says so."""

    def write(array: np.ndarray, name: str, folder: Path = tmp_path) -> Path:
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        data = header + array.astype(np.uint8).tobytes()
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def write_image(tmp_path: Path) -> Callable[..., Path]:
    """write_image(pixels, "folder/name.png") saves uint8 [H,W] or [H,W,3] below tmp_path."""
    from PIL import Image

    def write(pixels: np.ndarray, name: str, **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)
        return path

    return write
