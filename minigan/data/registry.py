"""Data sets by the name that `--data` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from minigan.data.dataset import Dataset
from minigan.data.derived_pairs import edges, inverted
from minigan.data.mnist_like import FASHION_MNIST, MNIST, IdxSet, embedded, load_idx_set
from minigan.errors import ConfigError

# (train, data_dir, img_size, channels) -> Dataset
Opener = Callable[[bool, str | Path | None, int | None, int | None], Dataset]


def _full(which: IdxSet) -> Opener:
    return lambda train, data_dir, img_size, channels: load_idx_set(
        which, train, data_dir, img_size, channels, may_download=True
    )


def _sample(which: IdxSet) -> Opener:
    return lambda train, _data_dir, img_size, channels: embedded(which, train, img_size, channels)


def _pairs(which: IdxSet, kind: str, make: Callable[[Dataset, str], Dataset]) -> dict[str, Opener]:
    """The pairs made from the whole set and from its embedded sample."""

    def opener(name: str, source: Opener) -> Opener:
        return lambda *how: make(source(*how), name)

    sources = {which.name: _full(which), which.sample: _sample(which)}
    return {f"{name}-{kind}": opener(f"{name}-{kind}", source) for name, source in sources.items()}


_OPENERS: dict[str, Opener] = {
    MNIST.name: _full(MNIST),
    FASHION_MNIST.name: _full(FASHION_MNIST),
    MNIST.sample: _sample(MNIST),
    FASHION_MNIST.sample: _sample(FASHION_MNIST),
    **_pairs(MNIST, "edges", edges),
    **_pairs(MNIST, "inverted", inverted),
    **_pairs(FASHION_MNIST, "edges", edges),
}


def names() -> list[str]:
    """The names that `load` knows."""
    return list(_OPENERS)


def load(
    name: str,
    train: bool = True,
    data_dir: str | Path | None = None,
    img_size: int | None = None,
    channels: int | None = None,
) -> Dataset:
    """The data set called `name` ("-" or "_"). Raises ConfigError for a name it does not know."""
    opener = _OPENERS.get(name.lower().replace("_", "-"))
    if opener is None:
        raise ConfigError(f"unknown data set {name!r}: use one of {', '.join(names())}")
    return opener(train, data_dir, img_size, channels)
