"""Pixel arithmetic shared by the data sets, on whole batches of uint8 planes."""

from __future__ import annotations

import numpy as np

# uint8 -> [-1, 1] as (x / 255 - 0.5) / 0.5 in float32, the bits that torchvision's ToTensor and
# Normalize give; a table costs one gather instead of three passes over the batch.
_TO_FLOAT = (np.arange(256, dtype=np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


def normalise(pixels: np.ndarray) -> np.ndarray:
    """uint8, any shape -> float32 in [-1, 1]: 0 is -1, 255 is 1."""
    return _TO_FLOAT[pixels]


def grayscale(pixels: np.ndarray) -> np.ndarray:
    """uint8 RGB [N,3,H,W] -> uint8 luma [N,1,H,W] (ITU-R BT.601 in Pillow's fixed point)."""
    weights = np.array([19595, 38470, 7471], dtype=np.uint32).reshape(1, 3, 1, 1)
    total = (pixels * weights).sum(axis=1, keepdims=True, dtype=np.uint32)
    return ((total + 0x8000) >> 16).astype(np.uint8)


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 [N,C,H,W] -> uint8 [N,C,size,size], bilinear, anti-aliased when it shrinks.

    Equal, byte for byte, to Pillow's `Image.resize(BILINEAR)` of each plane, which is what
    torchvision's `Resize` does to a PIL image.
    """
    n, channels, height, width = pixels.shape
    if (height, width) == (size, size):
        return pixels
    rows = _resize_rows(pixels.reshape(n * channels, height, width), size)
    columns = _resize_rows(rows.transpose(0, 2, 1), size)
    return np.ascontiguousarray(columns.transpose(0, 2, 1)).reshape(n, channels, size, size)


def _resize_rows(planes: np.ndarray, size: int) -> np.ndarray:
    """uint8 [M,H,W] -> [M,H,size]. Pillow filters rows and columns apart, rounding to uint8 in
    between, so all planes stacked into one tall image take one call a direction."""
    from PIL import Image

    m, height, width = planes.shape
    if m == 0:
        return np.empty((0, height, size), dtype=np.uint8)
    tall = Image.fromarray(np.ascontiguousarray(planes).reshape(m * height, width))
    wide = tall.resize((size, m * height), Image.Resampling.BILINEAR)
    return np.asarray(wide).reshape(m, height, size)


def sobel_edges(images: np.ndarray, threshold: float = 1.0) -> np.ndarray:
    """float32 [N,C,H,W] in [-1, 1] -> its edges: 1 where the gradient is steep, -1 elsewhere.

    Steep is |Sobel(x)| / 4 > threshold, a difference of `threshold` between neighbouring pixels;
    borders are continued. Each plane is filtered for itself.
    """
    x = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]
    columns = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
    across = rows[..., 2:] - rows[..., :-2]
    down = columns[:, :, 2:] - columns[:, :, :-2]
    steep = across**2 + down**2 > (4 * threshold) ** 2
    return np.where(steep, np.float32(1), np.float32(-1))
