"""An optimiser's launches, recorded once and replayed, do what as many eager steps do.

The recorder stands in for a CUDA graph: it keeps the launches with their arguments as they were,
so that whatever changes from step to step must be in the arrays.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import minigan as mg
from minigan.backends import cuda
from minigan.backends.cuda.launch import use_launcher
from minigan.optim import SGD, Adam, AdamW, RMSprop
from minigan.optim import optimizer as optimizer_module
from minigan.optim.lr_scheduler import StepLR
from tests.cuda_on_cpu import emulator
from tests.cuda_on_cpu.harness import needs_gcc, normal

pytestmark = needs_gcc

OPTIMIZERS = [
    (Adam, {"betas": (0.5, 0.999), "weight_decay": 0.01}),
    (AdamW, {"weight_decay": 0.1}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (SGD, {}),
    (RMSprop, {"centered": True, "momentum": 0.5}),
]
SHAPES = [(5, 3), (4097,), (), (7,)]


class Recorder(emulator.Emulator):
    """While `graph` is a list, launches go there instead of running."""

    graph = None

    def launch(self, *launch):
        if self.graph is None:
            super().launch(*launch)
        else:
            self.graph.append(launch)

    def replay(self, graph):
        for launch in graph:
            super().launch(*launch)


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    return Recorder(
        emulator.build("plain", tmp_path_factory.mktemp("captured"), only=("optim.cu",))
    )


@pytest.fixture(autouse=True)
def cuda_optimizers(device, monkeypatch):
    """Optimisers call the CUDA backend's kernels, on the emulator."""
    kernels = SimpleNamespace(xp=np, name="cuda", **vars(cuda))
    monkeypatch.setattr(optimizer_module, "kernels_for", lambda array: kernels)
    with use_launcher(device):
        yield


def made(kind, options):
    params = [mg.tensor(normal(*shape), requires_grad=True) for shape in SHAPES]
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.03}]
    optimizer = kind(groups, lr=0.05, **options)
    return params, optimizer, StepLR(optimizer, 2, gamma=0.5)


def steps_of_a_graph(params, optimizer, critic_steps=3):
    """Several steps, as of a critic; the last parameter has no gradient."""
    for step in range(critic_steps):
        for param in params[:-1]:
            param.grad = mg.tensor(normal(*param.shape, seed=step) + 0.1)
        optimizer.step()


def everything(params, optimizer):
    saved = optimizer.state_dict()
    state = {
        index: {key: value if key == "step" else value.numpy().copy() for key, value in own.items()}
        for index, own in saved["state"].items()
    }
    return [p.detach().numpy().copy() for p in params], state, [p._version[0] for p in params]


def assert_same(a, b):
    assert a[2] == b[2]
    for x, y in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(x, y)
    assert list(a[1]) == list(b[1])
    for index in a[1]:
        assert a[1][index].keys() == b[1][index].keys()
        for key in a[1][index]:
            np.testing.assert_array_equal(a[1][index][key], b[1][index][key], strict=True)


@pytest.mark.parametrize("kind, options", OPTIMIZERS, ids=lambda v: getattr(v, "__name__", None))
def test_replayed_steps_are_eager_steps(kind, options, device):
    params, optimizer, scheduler = made(kind, options)
    for round_ in range(6):
        if round_ == 4:
            optimizer.step()  # an eager one in between
        steps_of_a_graph(params, optimizer)
        scheduler.step()
    eager = everything(params, optimizer)

    params, optimizer, scheduler = made(kind, options)
    steps_of_a_graph(params, optimizer)  # the warm-up, which makes the moments
    scheduler.step()
    optimizer.refresh()
    device.graph = []
    steps_of_a_graph(params, optimizer)
    graph, device.graph = device.graph, None
    device.replay(graph)  # the captured steps count as taken
    scheduler.step()
    for round_ in range(2, 6):
        if round_ == 4:
            optimizer.step()
        optimizer.refresh()
        device.replay(graph)
        optimizer.replayed(3)
        scheduler.step()
    assert_same(everything(params, optimizer), eager)
