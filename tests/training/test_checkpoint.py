"""Checkpoints: exact round trips, and one refusal a test."""

import errno
import json
import os
import pickle
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from minigan.errors import CheckpointError
from minigan.training import checkpoint, state_tree
from minigan.training.checkpoint import Checkpoint
from minigan.training.files import TEMPORARY, remove_strays


def example(step=5, seed=0):
    rng = np.random.default_rng(seed)
    networks = {
        "generator": {"l1.weight": rng.standard_normal((3, 4)).astype(np.float32)},
        "discriminator": {"bn.num_batches_tracked": np.array(7, np.int64)},
    }
    transposed = rng.standard_normal((2, 3)).T
    rest = {
        "adam": {"state": {0: {"exp_avg": transposed}, 1: {}}, "lr": 0.1, "names": ["a", None]},
        "random": {"seed": 2**64 - 1, "offset": 3, "mask": np.array([True, False])},
        "history": [np.float32(0.1), float("inf"), [], {}, True],
    }
    return Checkpoint("acgan", {"lr": 2e-4}, step, {"networks": networks, **rest})


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "step-000005"
    checkpoint.save(folder, example())
    return folder


def refused(folder, *parts, **kwargs):
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(folder, **kwargs)
    assert "\n" not in str(error.value)
    assert all(part in str(error.value) for part in parts), error.value


def rewrite(folder, change):
    """Change state.json and put the hashes right, as a forger would."""
    path = folder / "state.json"
    document = json.loads(path.read_text())
    del document["digest"]
    change(document)
    for name in document["sha256"]:
        if (folder / name).exists():
            document["sha256"][name] = checkpoint._sha256((folder / name).read_bytes())
    path.write_text(json.dumps({**document, "digest": checkpoint._digest(document)}))


def test_round_trip(saved):
    loaded = checkpoint.load(saved, "acgan")
    wanted = example()
    assert (loaded.model, loaded.config, loaded.step) == ("acgan", {"lr": 2e-4}, 5)
    wanted.state["history"][0] = float(np.float32(0.1))
    assert_same(loaded.state, wanted.state)


def test_files_and_keys(saved):
    names = ["discriminator.safetensors", "generator.safetensors", "state.json"]
    assert sorted(os.listdir(saved)) == [*names, "state.safetensors"]
    weights = safetensors.numpy.load_file(saved / "generator.safetensors")
    assert list(weights) == ["l1.weight"]
    arrays = safetensors.numpy.load_file(saved / "state.safetensors")
    assert sorted(arrays) == ["adam.state.0.exp_avg", "random.mask"]


def test_loaded_arrays_can_be_written_to(saved):
    checkpoint.load(saved).state["networks"]["generator"]["l1.weight"][:] = 1


def test_same_state_same_bytes(saved, tmp_path):
    checkpoint.save(tmp_path / "again", example())
    for name in os.listdir(saved):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
arrays = st.integers(0, 3).map(lambda n: np.arange(n, dtype=np.float32))
keys = st.text("abc_.é", min_size=1, max_size=4)


@given(
    st.recursive(
        leaves | arrays,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(keys, inner, max_size=3)
            | st.dictionaries(st.integers(0, 9), inner, min_size=1, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_any_tree_survives_json(tree):
    try:
        split, found = state_tree.split(tree)
    except CheckpointError as error:  # {"a.b": x, "a": {"b": y}}
        assert "both called" in str(error)
        return
    assert_same(state_tree.join(json.loads(json.dumps(split)), found), tree)


@pytest.mark.parametrize(
    "leaf", [object(), {1, 2}, np.array(["x"]), np.array([object()]), {"$array": 1}, {(1,): 1}, 1j]
)
def test_state_that_cannot_be_saved(tmp_path, leaf):
    with pytest.raises(CheckpointError, match="cannot be saved"):
        checkpoint.save(tmp_path / "c", Checkpoint("m", {}, 1, {"networks": {}, "x": leaf}))
    assert os.listdir(tmp_path) == []


# --- refusals -----------------------------------------------------------------------------------
def test_refuses_a_missing_folder(tmp_path):
    refused(tmp_path / "nowhere", "cannot read", "No such file")


@pytest.mark.parametrize("name", ["generator.safetensors", "state.safetensors", "state.json"])
def test_refuses_a_missing_file(saved, name):
    (saved / name).unlink()
    refused(saved, "cannot read", name)


@pytest.mark.parametrize("name", ["generator.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_refuses_a_truncated_file(saved, name, length):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[:length])
    refused(saved, name, "corrupt")


@pytest.mark.parametrize(
    "name", ["generator.safetensors", "discriminator.safetensors", "state.safetensors"]
)
def test_refuses_any_flipped_bit_of_the_arrays(saved, name):
    content = (saved / name).read_bytes()
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        (saved / name).write_bytes(flipped)
        refused(saved, name, "corrupt")


def test_refuses_any_changed_digit_of_state_json(saved):
    path = saved / "state.json"
    text = path.read_text()
    for match in re.finditer("[0-9]", text):
        other = str((int(match[0]) + 1) % 10)
        path.write_text(text[: match.start()] + other + text[match.end() :])
        refused(saved, "state.json")


def test_refuses_another_model(saved):
    refused(saved, "acgan", "infogan", model="infogan")


def test_refuses_another_format_version(saved):
    rewrite(saved, lambda document: document.update(version=2))
    refused(saved, "format version 2", "reads 1")


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "other"}', "nul", "[" * 100_000])
def test_refuses_other_json(saved, content):
    (saved / "state.json").write_text(content)
    refused(saved, "state.json")


@pytest.mark.parametrize("key", ["model", "config", "step", "networks", "sha256", "state"])
def test_refuses_a_document_without_a_field(saved, key):
    def drop(document):
        value = document.pop(key)
        if key == "sha256":
            document["sha256"] = list(value)

    path = saved / "state.json"
    document = json.loads(path.read_text())
    del document["digest"]
    drop(document)
    path.write_text(json.dumps({**document, "digest": checkpoint._digest(document)}))
    refused(saved, key, "corrupt")


def test_refuses_an_extra_array(saved):
    path = saved / "state.safetensors"
    arrays = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file({**arrays, "extra": np.ones(1)}, path)
    rewrite(saved, lambda document: None)
    refused(saved, "'extra'")


def test_refuses_a_missing_array(saved):
    path = saved / "state.safetensors"
    arrays = safetensors.numpy.load_file(path)
    del arrays["random.mask"]
    safetensors.numpy.save_file(arrays, path)
    rewrite(saved, lambda document: None)
    refused(saved, "'random.mask' is missing")


class Exploit:
    def __reduce__(self):
        return (os.mkdir, (os.environ["EXPLOIT"],))


def test_never_unpickles(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPLOIT", str(tmp_path / "exploited"))
    (saved / "generator.safetensors").write_bytes(pickle.dumps(Exploit()))
    rewrite(saved, lambda document: None)
    refused(saved, "generator.safetensors", "not a safetensors file")
    (saved / "state.json").write_bytes(pickle.dumps(Exploit()))
    refused(saved, "state.json")
    assert not (tmp_path / "exploited").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "", ".", 3, "a.b"])
def test_refuses_names_that_lead_elsewhere(saved, name):
    rewrite(saved, lambda document: document.update(networks=[name]))
    refused(saved, "no plain name")
    with pytest.raises(CheckpointError, match="cannot be called|cannot be saved"):
        checkpoint.save(saved, Checkpoint("m", {}, 1, {"networks": {str(name) + "/": {}}}))


def test_refuses_networks_that_do_not_fit():
    def networks(**changes):
        weights = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.float32)}
        return {"g": {k: v for k, v in {**weights, **changes}.items() if v is not None}}

    checkpoint.check_networks(networks(), networks())
    for loaded, message in [
        (networks(a=None), "g key 'a' is missing"),
        (networks(c=np.zeros(1)), "g key 'c' of the checkpoint is unknown"),
        (networks(a=np.zeros((3, 2), np.float32)), r"g key 'a' has shape \(3, 2\)"),
        (networks(a=np.zeros((2, 3))), "g key 'a' has shape .* dtype float64"),
        ({}, "network 'g' is missing"),
        ({**networks(), "h": {}}, "network 'h' of the checkpoint is unknown"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            checkpoint.check_networks(loaded, networks())


# --- writing ------------------------------------------------------------------------------------
def full_disk(monkeypatch, calls_until_full):
    """Let os.fsync fail from some call on, as on a full disk."""
    left = iter(range(calls_until_full))
    real = os.fsync

    def fsync(handle):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("calls", range(6))
def test_full_disk_leaves_the_old_checkpoint_or_the_new_one(saved, calls, monkeypatch):
    full_disk(monkeypatch, calls)
    with pytest.raises(CheckpointError, match="cannot write .*: No space left on device"):
        checkpoint.save(saved, example(step=5, seed=1))
    monkeypatch.undo()
    # The sixth fsync is that of the parent folder, after the new checkpoint has its name.
    expected = example(seed=0 if calls < 5 else 1).state["networks"]["generator"]
    assert_same(checkpoint.load(saved).state["networks"]["generator"], expected)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write .*: (Not a directory|File exists)"):
        checkpoint.save(tmp_path / "file" / "step-000001", example())


def test_prune_keeps_the_newest(tmp_path):
    for step in (9, 10, 100, 1_000_000, 2_000_000):
        checkpoint.save(tmp_path / checkpoint.folder_name(step), example(step))
    (tmp_path / "step-other").mkdir()
    checkpoint.prune(tmp_path, keep=2)
    names = ["step-1000000", "step-2000000", "step-other"]
    assert sorted(os.listdir(tmp_path)) == names
    assert [path.name for path in checkpoint.all_in(tmp_path)] == names[1::-1]


def test_newest_skips_what_is_broken(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path / checkpoint.folder_name(step), example(step))
    (tmp_path / "step-000003" / "generator.safetensors").write_bytes(b"")
    found = list(checkpoint.newest(checkpoint.all_in(tmp_path), "acgan"))
    assert isinstance(found[0], CheckpointError) and found[1].step == 2 and len(found) == 2
    shutil.rmtree(tmp_path / "step-000002")
    found = list(checkpoint.newest(checkpoint.all_in(tmp_path), "other"))
    assert [type(each) for each in found] == [CheckpointError] * 2


def test_strays_are_removed(tmp_path):
    (tmp_path / f"{TEMPORARY}step-000003" / "deep").mkdir(parents=True)
    (tmp_path / f"{TEMPORARY}losses.png").write_text("")
    (tmp_path / "step-000002").mkdir()
    remove_strays(tmp_path)
    assert os.listdir(tmp_path) == ["step-000002"]
