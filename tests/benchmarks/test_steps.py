"""Each variant is timed against PyTorch, and the PyTorch side takes its whole step."""

import numpy as np
import pytest

from benchmarks import steps
from minigan import models
from minigan.errors import ConfigError

SMALL = {
    "acgan": {"ema": 0.0},
    "cyclegan": {"img_size": 32, "ngf": 4, "ndf": 4, "n_blocks": 1},
    "ebgan": {"img_size": 16},
    "infogan": {"img_size": 28},
    "pix2pix": {"img_size": 32, "ngf": 4, "ndf": 4},
    "stackedgan": {"img_size": 16, "encoder_steps": 0, "independent_steps": 0},
    "wgan_gp": {"img_size": 28},
}
OF_MODEL = {model: workload for workload, (model, _, _) in steps.WORKLOADS.items()}


def test_every_model_has_a_workload():
    assert set(OF_MODEL) == set(models.list())


@pytest.mark.parametrize("model", models.list())
def test_the_torch_side_moves_every_network_that_minigan_moves(model):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.torch_steps import step_of, twin_of

    gan = models.create(model, batch_size=4, **SMALL.get(model, {}))
    batch = steps.batch_for(gan)
    twin, step = twin_of(torch, gan, batch)
    before = {name: _parameters(net) for name, net in twin.networks.items()}
    step()
    there = {
        name
        for name in before
        if not np.array_equal(before[name], _parameters(twin.networks[name]))
    }
    start = {name: _parameters(net) for name, net in gan.networks.items()}
    for _ in range(getattr(gan.config, "n_critic", 1)):
        gan.step(batch)
    here = {
        name for name in start if not np.array_equal(start[name], _parameters(gan.networks[name]))
    }
    assert there == here
    step_of(torch, gan, batch, torch.channels_last)()


def test_ebgans_pairs_at_once_are_its_pairs_one_by_one():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from benchmarks.torch_steps import twin_of
    from tests.models.ebgan_torch import TorchEBGAN

    gan = models.create("ebgan", batch_size=4, img_size=16)
    twin, _ = twin_of(torch, gan, steps.batch_for(gan))
    codes = torch.randn(5, 3, 2, 2)
    torch.testing.assert_close(
        twin.pulling_away(codes), TorchEBGAN.pulling_away(twin, codes.flatten(1))
    )


@pytest.mark.parametrize("model, images", [("acgan", False), ("pix2pix", True)])
def test_a_batch_is_what_the_model_takes(model, images):
    gan = models.create(model, batch_size=2, **SMALL.get(model, {}))
    first, second = steps.batch_for(gan)
    assert len(first) == len(second) == 2
    assert (second.shape == first.shape) is images


def test_unknown_workload_is_named():
    with pytest.raises(ConfigError, match="unknown workload 'nothing'"):
        steps.main(["--workloads", "nothing"])


def _parameters(network):
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])
