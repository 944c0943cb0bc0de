"""Which CPU backend is taken, and what is said where it is the slow one."""

import importlib.util
import warnings

import pytest

from minigan import backends


@pytest.fixture
def undecided(monkeypatch):
    monkeypatch.setattr(backends._Choice, "cpu", None)
    monkeypatch.delenv("MINIGAN_BACKEND", raising=False)


@pytest.fixture
def without_numba(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "numba" else find(name)
    )


def test_without_numba_it_is_numpy_and_says_so_once(undecided, without_numba):
    with pytest.warns(RuntimeWarning, match="numba is not installed") as said:
        assert backends.kernels_for(None).name == "reference"
        assert backends.kernels_for(None).name == "reference"
    assert len(said) == 1


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_who_chooses_is_told_nothing(undecided, monkeypatch, name):
    monkeypatch.setenv("MINIGAN_BACKEND", name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backends.kernels_for(None).name == name


def test_with_numba_it_is_the_compiled_one(undecided):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backends.kernels_for(None).name == "cpu"
