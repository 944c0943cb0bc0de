"""One training step of a minigan model against the same step written in PyTorch (the twin)."""

from collections.abc import Mapping

import numpy as np

import minigan as mg


def load_weights(torch, networks, gan):
    """Give the twin's networks, by name, the weights and buffers of the model's."""
    for name, network in networks.items():
        state = gan.networks[name].state_dict()
        network.load_state_dict({k: torch.tensor(v.numpy()) for k, v in state.items()})


def upcoming_draws(gan, draw):
    """What `draw()` returns in the model's random stream, which is then put back: the numbers that
    the model's next step will draw, if `draw` asks for the same in the same order."""
    with gan._own_random():
        state = mg.random.get_state()
        drawn = draw()
        mg.random.set_state(state)
    return drawn


def assert_same_losses(actual: Mapping, expected: Mapping, rtol=1e-4, atol=1e-6):
    """Every loss that the twin names is the model's."""
    for key, value in expected.items():
        np.testing.assert_allclose(float(actual[key]), value, rtol=rtol, atol=atol, err_msg=key)


def assert_same_update(gan, networks, gradient_atol=2e-3, unclear=2e-2, rounding=1e-6):
    """Gradients and updated weights are the same in float32, network by network.

    A tensor's gradient may be wrong by gradient_atol of its length, and each number of it by 10
    times that of the largest: rounding, which is not the same on every machine, can move a value
    over the kink of a ReLU, and a row of the gradient of a layer before it. Gradients up to
    `rounding` are not compared.
    """
    for name, network in networks.items():
        theirs = dict(network.named_parameters())
        mine = dict(gan.networks[name].named_parameters())
        assert list(theirs) == list(mine), name
        compared = 0
        for key, p in mine.items():
            if theirs[key].grad is None:
                assert p.grad is None, (name, key)
                continue
            grad = theirs[key].grad.numpy()
            scale = np.abs(grad).max()
            if scale < rounding:
                continue  # a bias before a norm: its gradient is rounding on both sides
            where = f"{name}.{key}"
            wrong = np.linalg.norm(p.grad.numpy() - grad)
            assert wrong <= gradient_atol * np.linalg.norm(grad), where
            np.testing.assert_allclose(
                p.grad.numpy(), grad, rtol=0, atol=10 * gradient_atol * scale, err_msg=where
            )
            # Adam's first step is lr * sign(g): where g is about 0 the sign is rounding.
            clear = np.abs(grad) > unclear * scale
            np.testing.assert_allclose(
                p.detach().numpy()[clear],
                theirs[key].detach().numpy()[clear],
                rtol=1e-4,
                atol=1e-6,
                err_msg=where,
            )
            compared += 1
        assert compared, f"no parameter of {name} was compared"
