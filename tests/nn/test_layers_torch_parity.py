"""Every layer against PyTorch's: forward, gradients, state, modes, representation."""

from __future__ import annotations

import re

import numpy as np
import pytest
from layer_parity import (
    CASES,
    CONVOLUTIONS,
    NORMS,
    Case,
    as_torch,
    assert_close,
    drawn,
    named,
    ours_run,
    pair,
    state_arrays,
    torch_run,
)

import minigan as mg
from minigan import nn

TOLERANCE = {"float64": 1e-10, "float32": 3e-5}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(**named(CASES))
def test_output_gradients_and_state(torch, case: Case, dtype: str, training: bool):
    ours, theirs = (layer.train(training) for layer in pair(torch, case, dtype))
    for seed in (1, 2):  # running statistics: what the second batch makes of the first
        x = drawn(case, seed, dtype)
        values, wants = ours_run(ours, case, x), torch_run(torch, theirs, case, x)
        assert len(values) == len(wants)
        for i, (value, want) in enumerate(zip(values, wants, strict=True)):
            assert value.dtype == want.dtype
            assert_close(value, want, TOLERANCE[dtype], f"batch {seed}, value {i}")
    state, want_state = state_arrays(ours), state_arrays(theirs)
    assert list(state) == list(want_state)
    for key, want in want_state.items():
        assert_close(state[key], want, TOLERANCE[dtype], key)


@pytest.mark.parametrize(**named(CONVOLUTIONS + NORMS))
def test_state_dict_has_the_same_keys_and_loads_both_ways(torch, case: Case):
    ours, theirs = case.build(nn), case.build(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert str(ours.state_dict()[key].dtype) == str(value.dtype).removeprefix("torch.")
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    for key, value in state_arrays(theirs).items():
        np.testing.assert_array_equal(state_arrays(ours)[key], value)
    assert [name for name, _ in ours.named_parameters()] == [
        name for name, _ in theirs.named_parameters()
    ]
    fresh = case.build(nn)
    theirs.load_state_dict(as_torch(torch, state_arrays(fresh)))
    for key, value in state_arrays(fresh).items():
        np.testing.assert_array_equal(state_arrays(theirs)[key], value)


@pytest.mark.parametrize(**named(CASES))
def test_repr(torch, case: Case):
    # Releases of PyTorch differ in whether norms name their bias.
    texts = (repr(case.build(library)) for library in (nn, torch.nn))
    ours, theirs = (re.sub(r"(Norm.*), bias=\w+", r"\1", text) for text in texts)
    assert ours == theirs


@pytest.mark.parametrize(**named([case for case in CONVOLUTIONS if case.labels == 0]))
def test_default_initialisation_follows_pytorchs_rule(torch, case: Case):
    ours, theirs = case.build(nn), case.build(torch.nn)
    bound = 1 / np.sqrt(np.prod(theirs.weight.shape[1:]))
    for name, param in ours.named_parameters():
        values = param.detach().numpy()
        assert np.abs(values).max() <= bound * (1 + 1e-6)
        if name == "weight":  # enough values for statistics
            assert np.abs(values).max() > 0.8 * bound
            assert abs(values.mean()) < 6 * bound / np.sqrt(3 * values.size)
    assert np.abs(theirs.weight.detach().numpy()).max() <= bound * (1 + 1e-6)


def test_default_initialisation_statistics(torch):
    """Standard deviations over many values; uniform ones also fill the range evenly."""
    builders = [
        lambda nn: nn.Linear(200, 300),
        lambda nn: nn.Conv2d(32, 64, 5),
        lambda nn: nn.ConvTranspose2d(32, 64, 5),
        lambda nn: nn.Embedding(300, 200),
    ]
    for build in builders:
        ours, theirs = state_arrays(build(nn)), state_arrays(build(torch.nn))
        value, want = ours["weight"], theirs["weight"]
        assert abs(value.std() / want.std() - 1) < 0.02
        assert abs(value.mean()) < 0.02 * want.std()
        for quantile in (0.1, 0.25, 0.75, 0.9):
            assert abs(np.quantile(value, quantile) - np.quantile(want, quantile)) < (
                0.03 * want.std()
            )


def test_norms_start_as_ones_and_zeros(torch):
    for case in NORMS:
        ours, theirs = state_arrays(case.build(nn)), state_arrays(case.build(torch.nn))
        for key, want in theirs.items():
            np.testing.assert_array_equal(ours[key], want, err_msg=f"{case.name}: {key}")


def test_reset_parameters_draws_anew_and_forgets_statistics():
    layer = nn.Conv2d(2, 3, 3)
    before = layer.weight.detach().numpy().copy()
    layer.reset_parameters()
    assert not np.array_equal(before, layer.weight.detach().numpy())
    norm = nn.BatchNorm2d(2)
    norm(mg.randn(3, 2, 4, 4))
    assert norm.num_batches_tracked.item() == 1
    norm.reset_running_stats()
    assert norm.num_batches_tracked.item() == 0
    assert norm.running_mean.tolist() == [0, 0] and norm.running_var.tolist() == [1, 1]


@pytest.mark.parametrize("order", ["float32", "float64"])
def test_batch_norm_in_eval_mode_leaves_the_statistics_alone(order: str):
    norm = nn.BatchNorm2d(4, dtype=order)
    norm(mg.randn(3, 4, 5, 5, dtype=order))
    before = state_arrays(norm)
    norm.eval()(mg.randn(3, 4, 5, 5, dtype=order))
    after = state_arrays(norm)
    for key in before:
        np.testing.assert_array_equal(before[key], after[key])
