"""Data sets by name: kinds, options that fit or do not, and folders."""

import numpy as np
import pytest

from minigan.data import PairDataset, kind, load, names
from minigan.errors import ConfigError, DataError

FOLDERS = ("folder", "aligned", "unaligned")


def test_every_name_has_its_kind():
    for name in names():
        if name in FOLDERS:
            continue
        data = load(name, train=False)
        second = data[:2][1]
        assert kind(name) == ("pairs" if second.ndim == 4 else "images"), name
        assert isinstance(data, PairDataset) == (kind(name) == "pairs"), name
        assert data[:1][0].shape[1:] == (data.channels, data.img_size, data.img_size)
        assert data.train is False and len(data) > 0 and data.n_classes in (10, 1000)
        assert "embedded sample" in data.source  # offline, and said so
    assert [kind(name) for name in FOLDERS] == ["images", "pairs", "pairs"]


def test_the_names_of_the_tasks():
    wanted = {"mnist-edges", "fashion-mnist-edges", "mnist-inverted", "mnist-coloured",
              "sneakers-boots", "stacked-mnist", *FOLDERS}  # fmt: skip
    assert wanted <= set(names()) and len(names()) == len(set(names()))


def test_spelling():
    assert kind("Mnist_Edges") == "pairs"
    for call in (kind, load):
        with pytest.raises(ConfigError, match="unknown data set 'mnits': use one of mnist,"):
            call("mnits")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_has_to_be_named(name):
    with pytest.raises(ConfigError, match=f"'{name}' is a folder of yours: .* --data_dir"):
        load(name)


def test_folders_get_all_options(write_image, tmp_path):
    for name in ("train/0", "trainA/0", "trainB/0"):
        write_image(np.zeros((20, 40, 3)), f"x/{name}.png")
    for name in FOLDERS:
        options = {} if name == "folder" else {"direction": "BtoA"}
        data = load(name, True, tmp_path / "x", 16, 1, load_size=18, flip=True, **options)
        assert (data.img_size, data.channels) == (16, 1)
        assert data._store._framing.load_size == 18 if name != "unaligned" else True
        assert getattr(data, "direction", "BtoA") == "BtoA"
    with pytest.raises(DataError, match="no test/ in it"):
        load("aligned", False, tmp_path / "x")


@pytest.mark.parametrize("name", ["mnist", "mnist-edges", "stacked-mnist", "sneakers-boots"])
@pytest.mark.parametrize("option", [{"flip": True}, {"load_size": 32}])
def test_framing_is_for_folders(name, option):
    (flag,) = option
    with pytest.raises(ConfigError, match=f"{flag} is for folders .* leave --{flag} out"):
        load(name, **option)


def test_direction_is_for_pairs(tmp_path):
    for name in ("mnist-embedded", "folder", "stacked-mnist-embedded"):
        with pytest.raises(ConfigError, match="has no pairs: leave --direction out"):
            load(name, data_dir=tmp_path, direction="BtoA")
    a, b = load("mnist-embedded-edges")[:3]
    back = load("mnist-embedded-edges", direction="BtoA")[:3]
    np.testing.assert_array_equal(back[0], b)
    np.testing.assert_array_equal(back[1], a)
    with pytest.raises(ConfigError, match="direction is 'B'"):
        load("mnist-embedded-edges", direction="B")


def test_a_data_dir_that_lacks_the_set(tmp_path):
    for name in ("mnist-edges", "stacked-mnist", "sneakers-boots"):
        with pytest.raises(DataError, match=f"data_dir {tmp_path}: no"):
            load(name, data_dir=tmp_path)
