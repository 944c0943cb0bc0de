"""Data sets by the name that `--data` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from minigan.data.dataset import ArrayDataset, Dataset
from minigan.data.derived_pairs import coloured, edges, fashion_edges, inverted, sneakers_boots
from minigan.data.image_folder import ImageFolder
from minigan.data.mnist_like import FASHION_MNIST, MNIST, IdxSet, embedded, load_idx_set
from minigan.data.pairs import AlignedFolder, Direction, UnalignedFolder
from minigan.data.stacked import StackedDigits
from minigan.errors import ConfigError

Kind = Literal["images", "pairs"]


@dataclass(frozen=True)
class _Request:
    """The arguments of `load`, after the name."""

    train: bool
    data_dir: str | Path | None
    img_size: int | None
    channels: int | None
    load_size: int | None
    flip: bool
    direction: Direction


@dataclass(frozen=True)
class _Entry:
    kind: Kind
    open: Callable[[_Request], Dataset]
    frames: bool = False  # takes load_size and flip


def _open(which: IdxSet, sample: bool, wanted: _Request, channels: int | None) -> ArrayDataset:
    if sample:
        return embedded(which, wanted.train, wanted.img_size, channels)
    return load_idx_set(
        which, wanted.train, wanted.data_dir, wanted.img_size, channels, may_download=True
    )


def _single(which: IdxSet, sample: bool) -> dict[str, _Entry]:
    """The whole set, or the sample inside the package."""
    name = which.sample if sample else which.name
    return {name: _Entry("images", lambda wanted: _open(which, sample, wanted, wanted.channels))}


def _stacked(sample: bool) -> dict[str, _Entry]:
    def opened(wanted: _Request) -> Dataset:
        digits = _open(MNIST, sample, wanted, 1)
        return StackedDigits(digits, f"stacked-{digits.name}", wanted.channels)

    return {f"stacked-{MNIST.sample if sample else MNIST.name}": _Entry("images", opened)}


def _pairs(
    which: IdxSet,
    sample: bool,
    name: str,
    make: Callable[[ArrayDataset, str, Direction], Dataset],
    channels: int | None = None,
) -> dict[str, _Entry]:
    """Pairs made of the whole set or its sample, whose name takes the place of "{}" in `name`.
    `channels` is the default."""
    name = name.format(which.sample if sample else which.name)

    def opened(wanted: _Request) -> Dataset:
        taken = channels if wanted.channels is None else wanted.channels
        return make(_open(which, sample, wanted, taken), name, wanted.direction)

    return {name: _Entry("pairs", opened)}


def _folder(name: str, kind: Kind, make: Callable[..., Dataset]) -> dict[str, _Entry]:
    def opened(wanted: _Request) -> Dataset:
        if wanted.data_dir is None:
            raise ConfigError(f"data set {name!r} is a folder of yours: name it with --data_dir")
        how: dict[str, Any] = {"load_size": wanted.load_size, "flip": wanted.flip}
        if kind == "pairs":
            how["direction"] = wanted.direction
        return make(wanted.data_dir, wanted.train, wanted.img_size, wanted.channels, **how)

    return {name: _Entry(kind, opened, frames=True)}


_ENTRIES: dict[str, _Entry] = {
    **_single(MNIST, sample=False),
    **_single(FASHION_MNIST, sample=False),
    **_single(MNIST, sample=True),
    **_single(FASHION_MNIST, sample=True),
    **_stacked(sample=False),
    **_stacked(sample=True),
}
for _sample in (False, True):
    _ENTRIES |= {
        **_pairs(MNIST, _sample, "{}-edges", edges),
        **_pairs(FASHION_MNIST, _sample, "{}-edges", fashion_edges),
        **_pairs(MNIST, _sample, "{}-inverted", inverted),
        **_pairs(MNIST, _sample, "{}-coloured", coloured, channels=3),
    }
_ENTRIES |= {
    **_pairs(FASHION_MNIST, False, "sneakers-boots", sneakers_boots),
    **_pairs(FASHION_MNIST, True, "sneakers-boots-embedded", sneakers_boots),
    **_folder("folder", "images", ImageFolder),
    **_folder("aligned", "pairs", AlignedFolder),
    **_folder("unaligned", "pairs", UnalignedFolder),
}


def names() -> list[str]:
    """The names that `load` knows."""
    return list(_ENTRIES)


def kind(name: str) -> Kind:
    """ "images" (a batch is images and labels) or "pairs" (a and b). Raises as `load` does."""
    return _entry(name).kind


def load(
    name: str,
    train: bool = True,
    data_dir: str | Path | None = None,
    img_size: int | None = None,
    channels: int | None = None,
    *,
    load_size: int | None = None,
    flip: bool = False,
    direction: Direction = "AtoB",
) -> Dataset:
    """The data set called `name` ("-" or "_"). Raises ConfigError for a name it does not know.

    `load_size` and `flip` are for folders of images, `direction` ("AtoB" or "BtoA") for pairs;
    ConfigError for a set that cannot use them, DataError for files that cannot be used.
    """
    entry = _entry(name)
    for option, given in (("load_size", load_size is not None), ("flip", flip)):
        if given and not entry.frames:
            raise ConfigError(
                f"{option} is for folders of images ({', '.join(_folders())}), and {name!r} is "
                f"none: leave --{option} out"
            )
    if direction != "AtoB" and entry.kind == "images":
        raise ConfigError(
            f"direction is {direction!r}, but {name!r} has no pairs: leave --direction out"
        )
    return entry.open(_Request(train, data_dir, img_size, channels, load_size, flip, direction))


def _folders() -> list[str]:
    return [name for name, entry in _ENTRIES.items() if entry.frames]


def _entry(name: str) -> _Entry:
    entry = _ENTRIES.get(name.lower().replace("_", "-"))
    if entry is None:
        raise ConfigError(f"unknown data set {name!r}: use one of {', '.join(names())}")
    return entry
