"""Saving and loading the state of a module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import nn
from minigan.errors import CheckpointError


def net() -> Any:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 1))


def test_values_share_memory_and_loading_copies() -> None:
    a, b = net(), net()
    state = a.state_dict()
    assert all(not t.requires_grad for t in state.values())
    assert np.shares_memory(state["0.weight"].numpy(), a[0].weight.detach().numpy())
    assert a.state_dict(keep_vars=True)["0.weight"] is a[0].weight
    weight, version = b[0].weight, b[0].weight._version[0]
    result = b.load_state_dict(state)
    assert result == ([], []) and repr(result) == "<All keys matched successfully>"
    assert b[0].weight is weight and weight._version[0] > version
    assert not np.shares_memory(weight.detach().numpy(), state["0.weight"].numpy())
    x = mg.randn(2, 2, 4, 4)
    np.testing.assert_array_equal(a(x).detach().numpy(), b(x).detach().numpy())


def test_buffers_travel_with_their_dtypes() -> None:
    a, b = net(), net()
    for _ in range(3):
        a(mg.randn(2, 2, 4, 4))
    b.load_state_dict({k: v.numpy().astype(np.float64) for k, v in a.state_dict().items()})
    assert b[1].num_batches_tracked.dtype == np.int64 and b[1].num_batches_tracked.item() == 3
    assert b[1].running_var.dtype == np.float32
    np.testing.assert_array_equal(a[1].running_var.numpy(), b[1].running_var.numpy())


def test_torch_state_loads_even_with_gradients(torch: Any) -> None:
    theirs = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3),
                                 torch.nn.Flatten(), torch.nn.Linear(12, 1))  # fmt: skip
    ours = net()
    ours.load_state_dict(theirs.state_dict(keep_vars=True))
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(
        ours(mg.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4
    )


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    module, state = net(), net().state_dict()
    before = {k: v.numpy().copy() for k, v in module.state_dict().items()}
    del state["0.bias"]
    state["9.weight"] = mg.zeros(1)
    with pytest.raises(CheckpointError, match=r"missing 0\.bias; unexpected 9\.weight"):
        module.load_state_dict(state)
    state = net().state_dict()
    state["3.weight"] = mg.zeros(1, 11)
    with pytest.raises(CheckpointError, match=r"3\.weight: the saved shape \(1, 11\) does not fit "
                                              r"the module's \(1, 12\)"):  # fmt: skip
        module.load_state_dict(state)
    state["3.weight"] = "not numbers"
    with pytest.raises(CheckpointError, match=r"3\.weight: expected numbers, got str"):
        module.load_state_dict(state)
    state["3.weight"] = [[1.0], [2.0, 3.0]]
    with pytest.raises(CheckpointError, match=r"3\.weight: a list is no array"):
        module.load_state_dict(state)
    for key, value in module.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


def test_not_strict_loads_the_rest_but_checks_shapes() -> None:
    module, state = net(), net().state_dict()
    del state["0.bias"]
    state["9.weight"] = mg.zeros(1)
    result = module.load_state_dict(state, strict=False)
    assert result.missing_keys == ["0.bias"] and result.unexpected_keys == ["9.weight"]
    assert "missing_keys=['0.bias']" in repr(result)
    np.testing.assert_array_equal(module[3].weight.detach().numpy(), state["3.weight"].numpy())
    state["3.weight"] = mg.zeros(2)
    with pytest.raises(CheckpointError, match="3.weight"):
        module.load_state_dict(state, strict=False)


def test_long_lists_of_keys_are_cut() -> None:
    module = nn.Sequential(*(nn.Linear(1, 1) for _ in range(20)))
    with pytest.raises(CheckpointError, match=r"and 32 more") as caught:
        module.load_state_dict({})
    assert "\n" not in str(caught.value)


def test_loading_during_a_computation_is_noticed() -> None:
    layer = nn.Linear(2, 2)
    y = layer(mg.randn(3, 2, requires_grad=True)).sum()
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(mg.errors.GradError, match="changed in place"):
        y.backward()
