"""A history of generated images, for a discriminator that should not chase the last ones only.

A discriminator that sees nothing but the generator's newest images may forget what it knew of older
ones, and the two then run in circles. So half of the images that it is shown come from a store of
earlier ones (Shrivastava et al. 2017, sec. 2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigan import cat, creation, where
from minigan.device import Device
from minigan.errors import CheckpointError
from minigan.tensor import Tensor


class ImagePool:
    """Room for `size` images of `shape` (C, H, W); with size 0 it gives back what it gets.

    All of it happens on the device and nothing is read back. Images go in without their graph.
    """

    def __init__(self, size: int, shape: tuple[int, int, int], device: Device) -> None:
        self._images = creation.zeros(size, *shape, device=device)
        self.stored = 0

    @property
    def size(self) -> int:
        """The number of images that fit in."""
        return self._images.shape[0]

    @property
    def is_full(self) -> bool:
        """Whether an image can be stored only in the place of another."""
        return self.stored == self.size

    def exchange(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] to show instead of these.

        As long as there is room an image is stored and comes back as it is. Then, with a chance of
        one half, it takes the place of a stored one, which comes back in its stead.
        """
        if self.size == 0:
            return images
        images = images.detach()
        free = min(self.size - self.stored, images.shape[0])
        if free:
            self._images[self.stored : self.stored + free] = images[:free]
            self.stored += free
        parts = [images[:free]] if free else []
        # The places of one draw are distinct, so a larger batch takes several.
        for start in range(free, images.shape[0], self.size):
            parts.append(self._swap(images[start : start + self.size]))
        return parts[0] if len(parts) == 1 else cat(parts, 0)

    def _swap(self, images: Tensor) -> Tensor:
        n, device = images.shape[0], self._images.device
        places = creation.randperm(self.size, device=device)[:n]
        swapped = creation.rand(n, 1, 1, 1, device=device) < 0.5
        stored = self._images[places]
        self._images[places] = where(swapped, images, stored)
        return where(swapped, stored, images)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The stored images: half of what the discriminator will see next."""
        return {"images": self._images[: self.stored].numpy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises CheckpointError for images that are too many or have another shape."""
        images = np.asarray(state["images"])
        if images.shape[1:] != self._images.shape[1:] or len(images) > self.size:
            raise CheckpointError(
                f"a history of {self.size} images of shape {tuple(self._images.shape[1:])} cannot "
                f"take {len(images)} of shape {images.shape[1:]}"
            )
        self.stored = len(images)
        if self.stored:
            self._images[: self.stored] = creation.as_tensor(images, device=self._images.device)
