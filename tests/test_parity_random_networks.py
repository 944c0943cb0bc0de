"""Random Sequential networks against their torch.nn twins.

Each seed builds a stack of layers whose shapes fit, gives the torch twin the same weights through
load_state_dict, and compares output, gradients, the gradients of a gradient penalty, and running
statistics, in float64.
"""

import numpy as np
import pytest

import minigan as mg

torch = pytest.importorskip("torch")

SEEDS = range(24)


def random_layers(nn, seed):
    """The layers of a small image network; `seed` decides them, `nn` only provides the classes."""
    rng = np.random.default_rng(seed)
    layers, channels, size = [], int(rng.integers(1, 4)), int(rng.integers(6, 10))
    start = (channels, size)

    def pick(*options):
        return options[int(rng.integers(len(options)))]

    for _ in range(int(rng.integers(3, 7))):
        kind = pick("conv", "conv", "transpose", "norm", "norm", "act", "act", "resize", "pad")
        if kind == "conv":
            out = 2 * int(rng.integers(1, 4))
            stride = pick(1, 1, 2) if size > 4 else 1
            dilation = pick(1, 1, 2) if size > 5 else 1
            groups = pick(1, 2) if channels % 2 == 0 else 1
            mode = pick("zeros", "reflect", "replicate", "circular")
            bias = bool(rng.integers(2))
            layers.append(
                nn.Conv2d(channels, out, 3, stride, dilation, dilation, groups, bias, mode)
            )
            channels, size = out, (size - 1) // stride + 1
        elif kind == "transpose" and size < 12:
            out, stride = int(rng.integers(1, 5)), pick(1, 2)
            extra = stride - 1
            layers.append(nn.ConvTranspose2d(channels, out, 3, stride, 1, extra))
            channels, size = out, (size - 1) * stride + 1 + extra
        elif kind == "norm":
            group = pick(nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm, nn.LayerNorm)
            if group is nn.GroupNorm:
                layers.append(nn.GroupNorm(1 if channels % 2 else 2, channels))
            elif group is nn.LayerNorm:
                layers.append(nn.LayerNorm([channels, size, size]))
            elif group is nn.InstanceNorm2d:
                layers.append(nn.InstanceNorm2d(channels, affine=bool(rng.integers(2))))
            else:
                layers.append(nn.BatchNorm2d(channels, momentum=pick(0.1, 0.3, None)))
        elif kind == "act":
            layers.append(
                pick(
                    nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU, lambda: nn.LeakyReLU(0.2),
                    lambda: nn.Softmax(dim=1), lambda: nn.LogSoftmax(dim=1),
                )()
            )  # fmt: skip
        elif kind == "resize":
            up = pick("nearest", "bilinear")
            if size <= 6:
                layers.append(nn.Upsample(scale_factor=2, mode=up))
                size *= 2
                if up == "nearest":  # the pair that runs as one operation
                    layers.append(nn.Conv2d(channels, 3, 3, 1, 1))
                    channels = 3
            else:
                layers.append(pick(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(3)))
                size = 3 if type(layers[-1]).__name__ == "AdaptiveAvgPool2d" else size // 2
        elif kind == "pad":
            layers.append(pick(nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d)(1))
            size += 2
    layers += [nn.Flatten(), nn.Linear(channels * size * size, 3)]
    return layers, start


def twins(seed):
    mg.manual_seed(seed)
    mine, start = random_layers(mg.nn, seed)
    other, _ = random_layers(torch.nn, seed)
    ours, theirs = mg.nn.Sequential(*mine).double(), torch.nn.Sequential(*other).double()
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    # From torch to minigan, so that minigan's load_state_dict is what is tested.
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs, start


def agree(ours, theirs, what):
    theirs = np.zeros(()) if theirs is None else theirs.detach().numpy()
    ours = np.zeros(()) if ours is None else ours.detach().numpy()
    scale = max(np.abs(theirs).max(initial=0), 1.0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * scale, err_msg=what)


@pytest.mark.parametrize("seed", SEEDS)
def test_output_gradients_penalty_and_statistics_agree(seed):
    ours, theirs, (channels, size) = twins(seed)
    rng = np.random.default_rng(1000 + seed)
    images = rng.standard_normal((3, channels, size, size))
    upstream = rng.standard_normal((3, 3))

    x = mg.tensor(images, requires_grad=True)
    t = torch.tensor(images, requires_grad=True)
    y, s = ours(x), theirs(t)
    agree(y, s, "output")
    y.backward(mg.tensor(upstream))
    s.backward(torch.tensor(upstream))
    agree(x.grad, t.grad, "input gradient")
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        agree(p.grad, q.grad, name)
    for (name, b), c in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        agree(b, c, name)

    ours.zero_grad()
    theirs.zero_grad()
    # The penalty of WGAN-GP: its gradient is a second derivative through every layer.
    (slope,) = mg.autograd.grad((ours(x) * mg.tensor(upstream)).sum(), x, create_graph=True)
    ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean().backward()
    (t_slope,) = torch.autograd.grad(
        (theirs(t) * torch.tensor(upstream)).sum(), t, create_graph=True
    )
    ((t_slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean().backward()
    agree(slope, t_slope, "slope")
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        agree(p.grad, q.grad, f"penalty: {name}")
    ours.eval(), theirs.eval()
    agree(ours(x), theirs(t), "eval output")
