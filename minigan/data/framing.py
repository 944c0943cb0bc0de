"""How an image of any size becomes a square of img_size: resized, cropped, perhaps mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minigan.data.image_file import Header
from minigan.data.key import below
from minigan.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL import Image

DRAWS = 3  # random words that one framing takes: top, left, flip


@dataclass(frozen=True)
class Framing:
    """The shorter side is resized to `load_size` (bilinear, proportions kept), then a square of
    `img_size` is cropped: at random if `load_size` was given, else from the centre.

    Without `load_size` the shorter side becomes `img_size`, and an image is never enlarged: give
    a `load_size` for that. `flip` mirrors every second image, left to right, at random.
    """

    img_size: int
    load_size: int | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.img_size < 1:
            raise ConfigError(f"img_size is {self.img_size}: it must be at least 1")
        if self.load_size is not None and self.load_size < self.img_size:
            raise ConfigError(
                f"load_size is {self.load_size}, smaller than the crop (img_size "
                f"{self.img_size}): use a load_size of at least {self.img_size}"
            )

    def for_test(self) -> Framing:
        """The framing of a test split: the whole shorter side, the centre, no flip."""
        return Framing(self.img_size, None if self.load_size is None else self.img_size)

    def check(self, paths: Sequence[Path], headers: Sequence[Header]) -> None:
        """Raise DataError for the first image that would have to be enlarged unasked."""
        if self.load_size is not None:
            return
        for path, header in zip(paths, headers, strict=True):
            if min(header.width, header.height) < self.img_size:
                raise DataError(
                    f"{path}: {header.width}x{header.height} pixels, smaller than img_size "
                    f"{self.img_size}; use a smaller --img_size, or --load_size "
                    f"{self.img_size} to enlarge it"
                )

    def resized(self, image: Image.Image) -> Image.Image:
        """The image with its shorter side resized."""
        from PIL import Image

        width, height = image.size
        shorter, target = min(width, height), self.load_size or self.img_size
        if shorter == target:
            return image
        # Rounded half up; the shorter side is exact.
        size = ((2 * width * target + shorter) // (2 * shorter),
                (2 * height * target + shorter) // (2 * shorter))  # fmt: skip
        return image.resize(size, Image.Resampling.BILINEAR)

    def cropped(self, planes: np.ndarray, words: np.ndarray | None) -> np.ndarray:
        """[C,h,w] -> a view [C,img_size,img_size]; `words` [3] decide, None: the centre."""
        size = self.img_size
        free = np.array(planes.shape[1:]) - size
        if words is not None and self.load_size is not None:
            top, left = below(words[:2], free + 1)
        else:
            top, left = free // 2
        square = planes[:, top : top + size, left : left + size]
        flips = self.flip and words is not None and below(words[2], 2) == 1
        return square[:, :, ::-1] if flips else square
