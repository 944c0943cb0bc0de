"""Where MNIST and Fashion-MNIST are looked for, and what is said about where they were found."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigan.data import fashion_mnist, load, mnist, mnist_like, names
from minigan.data.download import DownloadError
from minigan.data.mnist_like import FASHION_MNIST, MNIST, load_idx_set
from minigan.errors import ConfigError, DataError


@pytest.fixture
def toy(write_idx, tmp_path) -> mnist_like.IdxSet:
    """MNIST's layout with 20 training and 10 test images, written to tmp_path/origin."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "origin"
    md5 = {}
    for part, count in (("train", 20), ("t10k", 10)):
        images = rng.integers(0, 256, size=(count, 28, 28))
        for array, kind in ((images, "images-idx3"), (np.arange(count) % 10, "labels-idx1")):
            name = f"{part}-{kind}-ubyte"
            raw = write_idx(array, name, folder)
            md5[name] = hashlib.md5(raw.read_bytes()).hexdigest()
            write_idx(array, f"{name}.gz", folder)
            raw.unlink()
    return dataclasses.replace(MNIST, md5=md5)


def open_toy(toy, train=True, data_dir=None, may_download=True):
    return load_idx_set(toy, train, data_dir, None, None, may_download)


@pytest.fixture
def network(toy, tmp_path, monkeypatch) -> list[str]:
    """Lets `fetch` copy from tmp_path/origin instead of the network; lists what was fetched."""
    fetched = []

    def fake(urls, target, verify):
        source = tmp_path / "origin" / target.name
        if not source.exists():
            raise DownloadError(f"{target.name}: mirror: HTTP 404")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        verify(target)
        assert urls == [f"{mirror}{target.name}" for mirror in toy.mirrors]
        fetched.append(target.name)

    monkeypatch.setattr(mnist_like, "reachable", list)
    monkeypatch.setattr(mnist_like, "fetch", fake)
    monkeypatch.delenv("MINIGAN_OFFLINE")
    return fetched


@pytest.mark.parametrize("below", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("train", [True, False])
def test_data_dir_layouts(toy, tmp_path, below, train):
    folder = tmp_path / "data" / below
    shutil.copytree(tmp_path / "origin", folder)
    data = open_toy(toy, train, tmp_path / "data")
    assert (len(data), data.train, data.name, data.n_classes) == (
        20 if train else 10,
        train,
        "mnist",
        10,
    )
    assert str(folder) in data.source and f"{len(data)} " in data.source


def test_raw_files_do_too(toy, write_idx, tmp_path):
    write_idx(np.zeros((2, 28, 28)), "train-images-idx3-ubyte", tmp_path / "raw")
    write_idx(np.zeros(2), "train-labels-idx1-ubyte", tmp_path / "raw")
    md5 = {
        path.name: hashlib.md5(path.read_bytes()).hexdigest()
        for path in (tmp_path / "raw").iterdir()
    }
    assert len(open_toy(dataclasses.replace(toy, md5=md5), data_dir=tmp_path / "raw")) == 2


def test_data_dir_without_the_files_is_an_error_not_the_sample(toy, tmp_path, network):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        open_toy(toy, data_dir=tmp_path / "empty")
    message = str(error.value)
    assert str(tmp_path / "empty") in message and "\n" not in message
    assert all(name in message for name in toy.md5) and len(toy.md5) == 4
    with pytest.raises(DataError, match="no such folder"):
        open_toy(toy, data_dir=tmp_path / "nowhere")
    assert network == []


def test_images_without_labels_do_not_count(toy, tmp_path):
    (tmp_path / "origin" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="train-labels-idx1-ubyte"):
        open_toy(toy, data_dir=tmp_path / "origin")
    assert len(open_toy(toy, train=False, data_dir=tmp_path / "origin")) == 10


def test_another_data_set_in_data_dir_is_noticed(tmp_path):
    """Both sets use the same file names; the checksum tells them apart."""
    with pytest.raises(DataError, match="md5"):
        mnist(data_dir=_with_toy_files(tmp_path))


def _with_toy_files(tmp_path: Path) -> Path:
    import gzip

    for kind, header in (
        ("images-idx3", bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1])),
        ("labels-idx1", bytes([0, 0, 8, 1, 0, 0, 0, 1])),
    ):
        (tmp_path / f"train-{kind}-ubyte.gz").write_bytes(gzip.compress(header + b"\0"))
    return tmp_path


def test_the_cache_comes_first(toy, tmp_path, network):
    shutil.copytree(tmp_path / "origin", tmp_path / "cache" / "mnist")
    assert str(tmp_path / "cache") in open_toy(toy).source
    assert network == []


def test_a_download_goes_to_the_cache_and_only_what_is_needed(toy, tmp_path, network):
    data = open_toy(toy, train=False)
    assert network == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert len(data) == 10 and str(tmp_path / "cache" / "mnist") in data.source
    open_toy(toy, train=False)
    assert len(network) == 2


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda m: m.setenv("MINIGAN_OFFLINE", "1"), "MINIGAN_OFFLINE is set"),
        (lambda m: m.setattr(mnist_like, "reachable", lambda urls: []), "no network"),
    ],
)
def test_the_sample_is_said_out_loud(toy, network, monkeypatch, prepare, why):
    prepare(monkeypatch)
    data = open_toy(toy)
    assert data.source == (
        f"embedded sample: 10,000 of 60,000 training digits ({why}); pass --data_dir for all"
    )
    assert (len(data), data.name) == (10_000, "mnist-embedded")


def test_failed_mirrors_lead_to_the_sample_with_the_reason(toy, network, tmp_path):
    (tmp_path / "origin" / "train-labels-idx1-ubyte.gz").unlink()
    assert "HTTP 404" in open_toy(toy).source


def test_download_false(toy, network):
    assert "not to be downloaded" in open_toy(toy, may_download=False).source
    assert "not to be downloaded" in mnist(download=False).source
    assert network == []


def test_a_damaged_file_in_the_cache_is_an_error(toy, tmp_path, network):
    shutil.copytree(tmp_path / "origin", tmp_path / "cache" / "mnist")
    path = tmp_path / "cache" / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz.*delete it"):
        open_toy(toy)


# --- the embedded samples ---


@pytest.mark.parametrize(
    ("name", "train", "count", "first"),
    [
        ("mnist-embedded", True, 10_000, [5, 0, 4, 1, 9]),
        ("mnist-embedded", False, 2_000, [7, 2, 1, 0, 4]),
        ("fashion-embedded", True, 5_000, [9, 0, 0, 3, 0]),
        ("fashion-embedded", False, 1_000, [9, 2, 1, 1, 6]),
    ],
)
def test_embedded_samples(name, train, count, first):
    data = load(name, train=train, img_size=32)
    images, labels = data[:5]
    assert (len(data), data.name, data.train, data.n_classes) == (count, name, train, 10)
    assert images.shape == (5, 1, 32, 32)
    assert labels.tolist() == first
    assert set(np.unique(data.labels)) == set(range(10))
    assert f"embedded sample: {count:,} of" in data.source and "(" not in data.source


def test_each_embedded_file_has_its_notice():
    folder = Path(mnist_like.__file__).parent / "embedded"
    digits = (folder / "NOTICE-MNIST.txt").read_text(encoding="utf-8")
    fashion = (folder / "NOTICE-FASHION-MNIST.txt").read_text(encoding="utf-8")
    for text, which in ((digits, MNIST), (fashion, FASHION_MNIST)):
        assert which.embedded in text and "Subset, unmodified" in text
    assert "CC BY-SA 3.0" in digits and "LeCun" in digits and "Cortes" in digits
    assert "MIT" not in digits
    assert "Permission is hereby granted" in fashion and "Zalando SE" in fashion


def test_a_damaged_embedded_file(monkeypatch, tmp_path):
    (tmp_path / "embedded").mkdir()
    (tmp_path / "embedded" / MNIST.embedded).write_bytes(b"PK\x03\x04 not a zip")
    monkeypatch.setattr(mnist_like.resources, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match="reinstall minigan"):
        load("mnist-embedded")


@pytest.mark.parametrize("which", [MNIST, FASHION_MNIST], ids=lambda which: which.name)
@pytest.mark.parametrize("train", [True, False])
def test_full_sets_begin_with_the_embedded_samples(full_data, which, train):
    full = load(which.name, train=train, data_dir=full_data)
    sample = load(which.sample, train=train)
    assert len(full) == (60_000 if train else 10_000)
    count = len(sample)
    np.testing.assert_array_equal(full.labels[:count], sample.labels)
    np.testing.assert_array_equal(full[:count][0], sample[:][0])


# --- names ---


def test_names():
    assert names()[:4] == ["mnist", "fashion-mnist", "mnist-embedded", "fashion-embedded"]
    assert {"mnist-edges", "mnist-inverted", "fashion-mnist-edges"} < set(names())
    for name in ("fashion_mnist", "fashion-mnist", "Fashion-MNIST"):
        assert load(name).name == "fashion-embedded"  # offline
    assert fashion_mnist(channels=3).channels == 3
    assert mnist(train=False, img_size=16)[0][0].shape == (1, 16, 16)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match="'cifar'.*mnist, fashion-mnist, mnist-embedded"):
        load("cifar")


def test_importing_is_cheap():
    heavy = ["PIL", "scipy", "matplotlib", "tqdm"]
    code = (
        "import sys; import minigan.data\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.stdout == "[]\n", result.stderr
