"""Split a nested state into arrays and a JSON tree that says where each array belongs.

{"adam": {"step": 3, "exp_avg": [a, b]}}  ->  {"adam.exp_avg.0": a, "adam.exp_avg.1": b} and
{"adam": {"step": 3, "exp_avg": [{"$array": "adam.exp_avg.0"}, {"$array": "adam.exp_avg.1"}]}}
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.errors import CheckpointError

_ARRAY = "$array"
_INT_KEYS = "$int_keys"  # JSON has string keys only; an optimiser's state may be keyed by position


def split(tree: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Nested dicts and lists of arrays and JSON scalars -> (JSON tree, arrays by dotted key).

    Tuples become lists. Raises CheckpointError for a leaf or key that a checkpoint cannot hold.
    """
    arrays: dict[str, np.ndarray] = {}
    return _split(tree, "", arrays), arrays


def join(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of `split`. Raises CheckpointError for arrays that are missing or left over."""
    left = dict(arrays)
    joined = _join(tree, left)
    if left:
        raise CheckpointError(f"array {next(iter(left))!r} belongs to nothing in the state")
    return joined


def _split(node: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, np.ndarray):
        if node.dtype.kind not in "biuf":
            raise CheckpointError(f"state {path!r} has dtype {node.dtype}, which cannot be saved")
        if path in arrays:
            raise CheckpointError(f"two arrays of the state are both called {path!r}")
        arrays[path] = node
        return {_ARRAY: path}
    if isinstance(node, dict):
        integers = bool(node) and all(type(key) is int for key in node)
        for key in node:
            if not integers and (not isinstance(key, str) or key.startswith("$")):
                raise CheckpointError(f"state {path!r} has the key {key!r}, which cannot be saved")
        split_node = {str(k): _split(v, _below(path, k), arrays) for k, v in node.items()}
        return {_INT_KEYS: split_node} if integers else split_node
    if isinstance(node, list | tuple):
        return [_split(value, _below(path, i), arrays) for i, value in enumerate(node)]
    if isinstance(node, np.generic):
        return node.item()
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise CheckpointError(f"state {path!r} is a {type(node).__name__}, which cannot be saved")


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _join(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, list):
        return [_join(value, arrays) for value in node]
    if not isinstance(node, dict):
        return node
    if _ARRAY in node:
        key = node[_ARRAY]
        if key not in arrays:
            raise CheckpointError(f"array {key!r} is missing")
        return arrays.pop(key)
    if _INT_KEYS in node:
        return {int(key): _join(value, arrays) for key, value in node[_INT_KEYS].items()}
    return {key: _join(value, arrays) for key, value in node.items()}
