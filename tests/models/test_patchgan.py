"""PatchGAN: published sizes, the patch that a logit sees, and PyTorch's output."""

import numpy as np
import pytest

import minigan as mg
from minigan.models.patchgan import PatchDiscriminator, PixelDiscriminator
from minigan.nn import functional as F


def total(network):
    return sum(p.numel() for p in network.parameters())


def biased(network):
    return [m.bias is not None for m in network.modules() if isinstance(m, mg.nn.Conv2d)]


def test_parameter_totals_are_the_authors():
    assert total(PatchDiscriminator(6)) == 2_768_705
    assert total(PatchDiscriminator(3, norm="instance")) == 2_764_737


def test_widths_double_up_to_eight_times_the_first():
    network = PatchDiscriminator(6, ndf=2, n_layers=5)
    convolutions = [m for m in network.modules() if isinstance(m, mg.nn.Conv2d)]
    assert [conv.out_channels for conv in convolutions] == [2, 4, 8, 16, 16, 16, 1]


def test_convolutions_have_a_bias_except_before_batch_norm():
    assert biased(PatchDiscriminator(6, ndf=4)) == [True, False, False, False, True]
    assert biased(PatchDiscriminator(6, ndf=4, norm="instance")) == [True] * 5
    assert biased(PixelDiscriminator(6, ndf=4)) == [True, False, True]


@pytest.mark.parametrize(
    "n_layers, size, logits", [(3, 256, 30), (3, 32, 2), (2, 32, 6), (1, 32, 14), (4, 64, 2)]
)
def test_the_map_of_logits_has_the_documented_size(n_layers, size, logits):
    network = PatchDiscriminator(2, ndf=2, n_layers=n_layers)
    assert network(mg.randn(1, 2, size, size)).shape == (1, 1, logits, logits)


def seen_pixels(convolutions, size=256):
    """Height and width of the pixels that a logit in the middle depends on."""
    x = mg.ones(1, 1, size, size).requires_grad_()
    y = x
    for conv in convolutions:
        weight = mg.ones(1, 1, *conv.kernel_size)
        y = F.conv2d(y, weight, None, conv.stride, conv.padding)
    middle = y.shape[2] // 2
    y[0, 0, middle, middle].backward()
    rows, columns = np.nonzero(x.grad.numpy()[0, 0])
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize("n_layers, patch", [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_a_patch_of_the_papers_size(n_layers, patch):
    network = PatchDiscriminator(1, ndf=2, n_layers=n_layers)
    convolutions = [m for m in network.modules() if isinstance(m, mg.nn.Conv2d)]
    assert seen_pixels(convolutions) == (patch, patch)


def test_the_pixel_discriminator_judges_every_pixel_alone():
    network = PixelDiscriminator(2, ndf=4, norm="instance").eval()
    image = mg.randn(1, 2, 8, 8).numpy()
    # The instance norm is the only path between pixels: exchanging two of them keeps it as it is.
    exchanged = image.copy()
    exchanged[..., 0, 0], exchanged[..., 5, 6] = image[..., 5, 6], image[..., 0, 0]
    before, after = (network(mg.tensor(x)).detach().numpy() for x in (image, exchanged))
    assert before.shape == (1, 1, 8, 8)
    changed = ~np.isclose(before, after, atol=1e-5)
    assert np.argwhere(changed[0, 0]).tolist() == [[0, 0], [5, 6]]
    np.testing.assert_allclose(before[..., 0, 0], after[..., 5, 6], atol=1e-5)


def test_batch_norm_uses_the_batch_in_both_modes_and_keeps_no_statistics():
    network = PatchDiscriminator(2, ndf=4)
    assert list(network.buffers()) == []
    x = mg.randn(2, 2, 32, 32)
    training = network(x).detach().numpy()
    assert np.array_equal(network.eval()(x).detach().numpy(), training)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_logits_are_pytorchs(norm):
    torch = pytest.importorskip("torch")
    from tests.models.pix2pix_torch import patchgan

    network = PatchDiscriminator(4, ndf=4, n_layers=2, norm=norm)
    twin = patchgan(torch, 4, 4, 2, norm)
    twin.load_state_dict({k: torch.tensor(v.numpy()) for k, v in network.state_dict().items()})
    x = mg.randn(3, 4, 32, 32)
    expected = twin["model"](torch.tensor(x.numpy())).detach().numpy()
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
