"""L1, PSNR and SSIM against their formulas, written out pixel by pixel."""

import numpy as np
import pytest

from minigan.errors import DataError, ShapeError
from minigan.metrics import mean_l1, psnr, ssim


@pytest.fixture
def pairs(rng):
    targets = rng.uniform(-1, 1, (3, 2, 14, 17)).astype(np.float32)
    return np.clip(targets + rng.normal(0, 0.2, targets.shape), -1, 1).astype(np.float32), targets


def ssim_by_definition(x, y):
    """Wang et al. 2004, equation 13, in each 11x11 window that fits, on the scale [0,1]."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for a, b in zip(((x + 1) / 2).reshape(-1, *x.shape[2:]),
                    ((y + 1) / 2).reshape(-1, *x.shape[2:]), strict=True):  # fmt: skip
        for row in range(a.shape[0] - 10):
            for column in range(a.shape[1] - 10):
                p = a[row : row + 11, column : column + 11].astype(np.float64)
                q = b[row : row + 11, column : column + 11].astype(np.float64)
                mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
                var_p = (weights * (p - mean_p) ** 2).sum()
                var_q = (weights * (q - mean_q) ** 2).sum()
                cov = (weights * (p - mean_p) * (q - mean_q)).sum()
                values.append(
                    (2 * mean_p * mean_q + c1) * (2 * cov + c2)
                    / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
                )  # fmt: skip
    return np.mean(values)


def test_ssim_is_the_papers_formula(pairs):
    assert ssim(*pairs) == pytest.approx(ssim_by_definition(*pairs), rel=1e-6)
    assert 0.3 < ssim(*pairs) < 0.99


def test_ssim_over_several_batches_is_the_mean_of_all(rng):
    a, b = rng.uniform(-1, 1, (2, 300, 1, 11, 11))
    expected = np.mean([ssim(a[i : i + 1], b[i : i + 1]) for i in range(300)])
    assert ssim(a, b) == pytest.approx(expected)


def test_equal_images_are_perfect(pairs):
    _, targets = pairs
    assert mean_l1(targets, targets) == 0
    assert psnr(targets, targets) == pytest.approx(100)
    assert ssim(targets, targets) == pytest.approx(1)


def test_black_against_white_is_the_worst():
    black, white = np.full((1, 1, 12, 12), -1.0), np.ones((1, 1, 12, 12))
    assert mean_l1(black, white) == 1
    assert psnr(black, white) == pytest.approx(0)
    assert 0 < ssim(black, white) < 1e-3


def test_l1_and_psnr_are_on_the_scale_of_0_to_1(pairs):
    a, b = ((images.astype(np.float64) + 1) / 2 for images in pairs)
    assert mean_l1(*pairs) == pytest.approx(np.abs(a - b).mean())
    each = 10 * np.log10(1 / ((a - b) ** 2).mean((1, 2, 3)))
    assert psnr(*pairs) == pytest.approx(each.mean())


def test_a_known_psnr():
    a = np.zeros((2, 1, 8, 8))
    assert psnr(a, a + 0.2) == pytest.approx(20)  # 0.1 on the scale of 0 to 1


def test_wrong_images_are_refused(pairs):
    a, b = pairs
    for measure in (mean_l1, psnr, ssim):
        with pytest.raises(ShapeError, match="of one shape"):
            measure(a, b[:2])
        with pytest.raises(ShapeError, match=r"\[N,C,H,W\]"):
            measure(a[0], b[0])
        with pytest.raises(DataError, match="none given"):
            measure(a[:0], b[:0])
        with pytest.raises(DataError, match="targets run from .* scale pixels"):
            measure(a, (b + 1) * 127)
        with pytest.raises(DataError, match="translations: row 0 holds NaN"):
            measure(np.full_like(a, np.nan), b)
    with pytest.raises(ShapeError, match="images are 10x17"):
        ssim(a[:, :, :10], b[:, :, :10])
