"""MNIST and Fashion-MNIST: found in a folder, in the user cache, on a mirror, or in the package."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from minigan.data.dataset import ArrayDataset
from minigan.data.download import DownloadError, cache_dir, fetch, is_offline, reachable
from minigan.data.idx import read_idx
from minigan.errors import DataError

_N_CLASSES = 10


@dataclass(frozen=True)
class IdxSet:
    """Where one data set of four IDX files is found, and how its files are known."""

    name: str
    title: str
    noun: str
    folders: tuple[str, ...]  # below a data folder; the folder itself comes last
    mirrors: tuple[str, ...]
    md5: dict[str, str]  # file name without .gz -> md5 of the uncompressed bytes
    sample: str
    embedded: str

    def files(self, train: bool) -> tuple[str, str]:
        """Names of the images and the labels."""
        part = "train" if train else "t10k"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"


MNIST = IdxSet(
    name="mnist",
    title="MNIST",
    noun="digits",
    folders=("mnist", "MNIST/raw", ""),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    sample="mnist-embedded",
    embedded="embed_mnist_10k.npz",
)

FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    title="Fashion-MNIST",
    noun="images",
    folders=("fashion-mnist", "FashionMNIST/raw", ""),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    sample="fashion-embedded",
    embedded="embed_fashion_5k.npz",
)


def mnist(
    train: bool = True,
    data_dir: str | Path | None = None,
    img_size: int | None = None,
    channels: int | None = None,
    download: bool = True,
) -> ArrayDataset:
    """MNIST, 60,000 training or 10,000 test digits of 28x28.

    With `data_dir`, from there or not at all (DataError). Without: from the user cache, else
    downloaded into it, else the embedded sample; `source` says which.
    """
    return load_idx_set(MNIST, train, data_dir, img_size, channels, download)


def fashion_mnist(
    train: bool = True,
    data_dir: str | Path | None = None,
    img_size: int | None = None,
    channels: int | None = None,
    download: bool = True,
) -> ArrayDataset:
    """Fashion-MNIST, 60,000 training or 10,000 test images of 28x28; found as `mnist` is."""
    return load_idx_set(FASHION_MNIST, train, data_dir, img_size, channels, download)


def load_idx_set(
    which: IdxSet,
    train: bool,
    data_dir: str | Path | None,
    img_size: int | None,
    channels: int | None,
    may_download: bool,
) -> ArrayDataset:
    """The train or test part of `which`, from the first place that has it."""
    if data_dir is not None:
        paths = _find(which, train, Path(data_dir))
        if paths is None:
            raise DataError(_not_found(which, Path(data_dir)))
        return _from_files(which, train, paths, img_size, channels)
    cache = cache_dir() / which.name
    paths = _in_folder(which, train, cache)
    if paths is None:
        try:
            paths = _downloaded(which, train, cache, may_download)
        except DownloadError as error:
            return embedded(which, train, img_size, channels, why=str(error))
    return _from_files(which, train, paths, img_size, channels)


def embedded(
    which: IdxSet,
    train: bool,
    img_size: int | None = None,
    channels: int | None = None,
    why: str = "",
) -> ArrayDataset:
    """The sample inside the package; `why` says what kept the full set from being used."""
    resource = resources.files("minigan.data") / "embedded" / which.embedded
    part = "train" if train else "test"
    try:
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{resource}: embedded data is damaged ({error}); reinstall minigan"
        ) from None
    total, kind = ("60,000", "training") if train else ("10,000", "test")
    reason = f" ({why})" if why else ""
    return ArrayDataset(
        images,
        labels,
        img_size,
        channels,
        n_classes=_N_CLASSES,
        name=which.sample,
        source=f"embedded sample: {len(labels):,} of {total} {kind} {which.noun}{reason}; "
        "pass --data_dir for all",
        train=train,
    )


def _in_folder(which: IdxSet, train: bool, folder: Path) -> list[Path] | None:
    """Images and labels in `folder`, raw or gzipped, if both are there."""
    found = []
    for file in which.files(train):
        options = [folder / f"{file}.gz", folder / file]
        existing = [path for path in options if path.is_file()]
        if not existing:
            return None
        found.append(existing[0])
    return found


def _find(which: IdxSet, train: bool, data_dir: Path) -> list[Path] | None:
    for folder in which.folders:
        paths = _in_folder(which, train, data_dir / folder)
        if paths is not None:
            return paths
    return None


def _not_found(which: IdxSet, data_dir: Path) -> str:
    if not data_dir.is_dir():
        return f"data_dir {data_dir}: no such folder"
    below = " or ".join(folder for folder in which.folders if folder)
    return (
        f"data_dir {data_dir}: no {which.title} there or in {below}; expected the files "
        f"{', '.join(which.md5)} (each raw or .gz)"
    )


def _downloaded(which: IdxSet, train: bool, cache: Path, may_download: bool) -> list[Path]:
    """Download what the cache lacks. Raises DownloadError saying why it could not."""
    if not may_download:
        raise DownloadError("not in the cache, and not to be downloaded")
    if is_offline():
        raise DownloadError("MINIGAN_OFFLINE is set")
    mirrors = reachable(which.mirrors)
    if not mirrors:
        raise DownloadError("no network")
    for file in which.files(train):
        if not any((cache / name).is_file() for name in (file, f"{file}.gz")):
            md5 = which.md5[file]
            fetch(
                [f"{mirror}{file}.gz" for mirror in mirrors],
                cache / f"{file}.gz",
                lambda path, md5=md5: read_idx(path, md5),  # type: ignore[misc]
            )
    paths = _in_folder(which, train, cache)
    assert paths is not None
    return paths


def _from_files(
    which: IdxSet, train: bool, paths: list[Path], img_size: int | None, channels: int | None
) -> ArrayDataset:
    images, labels = (
        read_idx(path, which.md5[file])
        for path, file in zip(paths, which.files(train), strict=True)
    )
    kind = "training" if train else "test"
    return ArrayDataset(
        images,
        labels,
        img_size,
        channels,
        n_classes=_N_CLASSES,
        name=which.name,
        source=f"{which.title}: {len(labels):,} {kind} {which.noun} from {paths[0].parent}",
        train=train,
    )
