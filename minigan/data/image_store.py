"""Images that are decoded when they are first asked for, and kept while there is room."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from minigan.data.framing import DRAWS, Framing
from minigan.data.transforms import normalise

# Decoded and resized pixels of one store, in bytes.
_CACHE_BYTES = 1 << 30


class ImageStore:
    """Batches of framed images. `read(i)` -> uint8 [C,h,w] of image i, resized but not cropped.

    What is in memory stays there. To put out old images for new ones would not help: a shuffled
    epoch asks for each image once.
    """

    def __init__(self, read: Callable[[int], np.ndarray], framing: Framing, channels: int) -> None:
        self._read, self._framing, self._channels = read, framing, channels
        self._kept: dict[int, np.ndarray] = {}
        self._bytes = 0
        self._lock = threading.Lock()  # the prefetch thread and the loop's pictures both read

    def batch(self, indices: np.ndarray, words: np.ndarray | None = None) -> np.ndarray:
        """float32 [N,C,S,S] in [-1, 1]; `words` uint32 [N,>=3] augment, None does not."""
        size = self._framing.img_size
        pixels = np.empty((len(indices), self._channels, size, size), dtype=np.uint8)
        for row, index in enumerate(indices.tolist()):
            draws = None if words is None else words[row, :DRAWS]
            pixels[row] = self._framing.cropped(self._image(index), draws)
        return normalise(pixels)

    def _image(self, index: int) -> np.ndarray:
        image = self._kept.get(index)
        if image is None:
            image = self._read(index)
            with self._lock:
                if index not in self._kept and self._bytes + image.nbytes <= _CACHE_BYTES:
                    self._kept[index] = image
                    self._bytes += image.nbytes
        return image


def planes(image: object) -> np.ndarray:
    """A Pillow image of mode L or RGB -> uint8 [C,h,w], contiguous."""
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
