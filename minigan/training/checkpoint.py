"""A checkpoint: a folder with the whole state of a training, as safetensors and JSON.

    NAME.safetensors   one a network, with its state_dict keys: any safetensors reader takes it
    state.safetensors  all other arrays (optimiser moments, EMA, ...), keys joined by dots
    state.json         the rest: scalars, the place of each array, model, config, step, and the
                       SHA-256 of each file and of itself

Nothing is ever unpickled, and no byte of the arrays is used before its hash is checked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from minigan.errors import CheckpointError
from minigan.training import state_tree
from minigan.training.files import remove_folder, write_folder, writing

FORMAT = "minigan-checkpoint"
VERSION = 1
_FIELDS = {
    "model": str,
    "config": dict,
    "step": int,
    "networks": list,
    "sha256": dict,
    "state": dict,
}
_NAME = re.compile(r"[A-Za-z0-9_]+")
_STEP_FOLDER = re.compile(r"step-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """What `load` returns: `state` is the nested dict that `save` was given."""

    model: str
    config: dict[str, Any]
    step: int
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder, replacing one of that name.

    `state["networks"]` is {network: {key: ndarray}}; all else is nested dicts and lists of
    ndarrays and JSON scalars. A kill or a full disk leaves no half-written folder of that name.
    Raises CheckpointError when it cannot be written.
    """
    state = dict(checkpoint.state)
    networks: dict[str, dict[str, np.ndarray]] = state.pop("networks", {})
    for name in networks:
        if not _NAME.fullmatch(name) or name == "state":
            raise CheckpointError(f"a network cannot be called {name!r} in a checkpoint")
    tree, arrays = state_tree.split(state)
    files = {f"{name}.safetensors": _pack(weights) for name, weights in networks.items()}
    files["state.safetensors"] = _pack(arrays)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": checkpoint.model,
        "config": checkpoint.config,
        "step": checkpoint.step,
        "networks": list(networks),
        "sha256": {name: _sha256(content) for name, content in files.items()},
        "state": tree,
    }
    document["digest"] = _digest(document)
    files["state.json"] = json.dumps(document, indent=1).encode()
    write_folder(folder, files)


def load(folder: Path, model: str | None = None) -> Checkpoint:
    """Read and verify a checkpoint folder; `model`, if given, is the name that it must have.

    Raises CheckpointError, naming the file, for anything missing, truncated, altered, of another
    format version or of another model.
    """
    document = _read_document(folder)
    if model is not None and document["model"] != model:
        raise CheckpointError(
            f"{folder} is a checkpoint of {document['model']!r}, not of {model!r}"
        )
    names = document["networks"]
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise CheckpointError(f"{folder / 'state.json'} names a network that is no plain name")
    hashes = document["sha256"]
    networks = {name: _unpack(folder / f"{name}.safetensors", hashes) for name in names}
    arrays = _unpack(folder / "state.safetensors", hashes)
    try:
        state = state_tree.join(document["state"], arrays)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from None
    return Checkpoint(
        document["model"], document["config"], document["step"], {"networks": networks, **state}
    )


def check_networks(
    loaded: dict[str, dict[str, np.ndarray]], expected: dict[str, dict[str, np.ndarray]]
) -> None:
    """Raise CheckpointError unless both have the same networks, keys, shapes and dtypes."""
    _check_names("network", loaded, expected)
    for network, weights in expected.items():
        _check_names(f"{network} key", loaded[network], weights)
        for key, weight in weights.items():
            found = loaded[network][key]
            if (found.shape, found.dtype) != (weight.shape, weight.dtype):
                raise CheckpointError(
                    f"{network} key {key!r} has shape {found.shape} and dtype {found.dtype} in the "
                    f"checkpoint, the model wants {weight.shape} and {weight.dtype}"
                )


def folder_name(step: int) -> str:
    """The name of the checkpoint of a step: "step-000500"."""
    return f"step-{step:06d}"


def all_in(folder: Path) -> list[Path]:
    """The checkpoint folders in `folder`, newest first."""
    found = [(int(m[1]), p) for p in folder.glob("step-*") if (m := _STEP_FOLDER.fullmatch(p.name))]
    return [path for _, path in sorted(found, reverse=True)]


def newest(candidates: list[Path], model: str) -> Iterator[Checkpoint | CheckpointError]:
    """Yield, from the newest on, the error of each checkpoint that is broken, then the first good
    one; nothing more after it."""
    for folder in candidates:
        try:
            yield load(folder, model)
            return
        except CheckpointError as error:
            yield error


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints in `folder`."""
    for old in all_in(folder)[keep:]:
        with writing(old):
            remove_folder(old)


def _read_document(folder: Path) -> dict[str, Any]:
    path = folder / "state.json"
    try:
        document = json.loads(_read(path))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is corrupt: it is not JSON") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a minigan checkpoint")
    if document.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has format version {document.get('version')!r}, this minigan reads {VERSION}"
        )
    digest = document.pop("digest", None)
    if digest != _digest(document):
        raise CheckpointError(f"{path} is corrupt: its contents do not match its hash")
    for key, kind in _FIELDS.items():
        if not isinstance(document.get(key), kind):
            raise CheckpointError(f"{path} is corrupt: {key!r} is no {kind.__name__}")
    return document


def _digest(document: dict[str, Any]) -> str:
    return _sha256(json.dumps(document, separators=(",", ":")).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _pack(arrays: dict[str, np.ndarray]) -> bytes:
    # The safetensors writer takes memory as it lies, so each array must lie in C order.
    return safetensors.numpy.save({k: np.asarray(a, order="C") for k, a in arrays.items()})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def _unpack(path: Path, hashes: dict[str, str]) -> dict[str, np.ndarray]:
    content = _read(path)
    if hashes.get(path.name) != _sha256(content):
        raise CheckpointError(f"{path} is corrupt: {len(content)} bytes that do not match the hash")
    try:
        return safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def _check_names(what: str, loaded: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in expected:
        if name not in loaded:
            raise CheckpointError(f"{what} {name!r} is missing from the checkpoint")
    for name in loaded:
        if name not in expected:
            raise CheckpointError(f"{what} {name!r} of the checkpoint is unknown to the model")
