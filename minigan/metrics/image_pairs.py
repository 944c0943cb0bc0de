"""How near translated images come to their targets, pixel by pixel: L1, PSNR, SSIM.

All take two sets of images [N,C,H,W] in [-1,1], and measure on the scale where black is 0 and
white is 1.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from minigan.errors import ShapeError
from minigan.metrics.checks import images_in_range

# Wang et al. 2004: an 11x11 Gaussian window, and constants that keep the quotients finite.
_RADIUS = 5
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LEAST_MSE = 1e-10
_BATCH = 256  # images at once: SSIM holds ten planes in float64 for each


def mean_l1(translated: np.ndarray, targets: np.ndarray) -> float:
    """Mean absolute difference on the scale [0,1]; half of that between images in [-1,1].

    Raises ShapeError or DataError for sets that are no pairs of images in [-1,1].
    """
    a, b = _pairs(translated, targets)
    return float(np.abs(a - b).mean()) / 2


def psnr(translated: np.ndarray, targets: np.ndarray) -> float:
    """Peak signal-to-noise ratio, -10 log10(MSE) dB for each image, averaged over images.

    An exact copy counts as 100 dB, so that one of them does not make the mean infinite. Raises
    ShapeError or DataError.
    """
    a, b = _pairs(translated, targets)
    mse = np.square(a - b).mean(axis=(1, 2, 3)) / 4
    return float(-10 * np.log10(np.maximum(mse, _LEAST_MSE)).mean())


def ssim(translated: np.ndarray, targets: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004), at most 1, averaged over windows, channels, images.

    Window: Gaussian, 11x11, sigma 1.5, where it fits whole into the image; moments are weighted
    by it without a correction for bias. Raises ShapeError, also for images below 11x11, or
    DataError.
    """
    a, b = _pairs(translated, targets)
    if min(a.shape[2:]) <= 2 * _RADIUS:
        raise ShapeError(
            f"images are {a.shape[2]}x{a.shape[3]}: SSIM's window needs at least "
            f"{2 * _RADIUS + 1}x{2 * _RADIUS + 1}"
        )
    means = [
        _ssim_of_each(a[start : start + _BATCH], b[start : start + _BATCH])
        for start in range(0, len(a), _BATCH)
    ]
    return float(np.concatenate(means).mean())


def _ssim_of_each(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64 [N]."""
    x, y = (a + 1) / 2, (b + 1) / 2
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x**2
    variance_y = _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    denominator = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return (numerator / denominator).mean(axis=(1, 2, 3))


def _windowed(images: np.ndarray) -> np.ndarray:
    """The Gaussian mean of each window that lies inside the image: [N,C,H-10,W-10]."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (2, 3):
        images = correlate1d(images, weights, axis=axis)
    return images[:, :, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]


def _pairs(translated: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(images, dtype=np.float64) for images in (translated, targets))
    if a.ndim != 4 or a.shape != b.shape:
        raise ShapeError(
            f"translations and targets must be [N,C,H,W] of one shape; got {a.shape} and {b.shape}"
        )
    images_in_range("translations", a)
    images_in_range("targets", b)
    return a, b
