"""PyTorch model classes run unchanged on minigan.nn.

The classes below are written as PyTorch users write them, against a module called `nn`; the same
source runs once on torch.nn and once on minigan.nn, with the same weights.
"""

import numpy as np
import pytest

import minigan as mg

torch = pytest.importorskip("torch")


def dcgan(nn, nz=100, ngf=64, ndf=64, nc=3):
    """The 64x64 networks of the DCGAN tutorial: lists of layers in one Sequential."""

    class Generator(nn.Module):
        def __init__(self, ngpu=0):
            super(Generator, self).__init__()  # noqa: UP008  as users write it
            self.ngpu = ngpu
            self.main = nn.Sequential(
                nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
                nn.BatchNorm2d(ngf * 8),
                nn.ReLU(True),
                nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ngf * 4),
                nn.ReLU(True),
                nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ngf * 2),
                nn.ReLU(True),
                nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ngf),
                nn.ReLU(True),
                nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
                nn.Tanh(),
            )

        def forward(self, input):
            return self.main(input)

    class Discriminator(nn.Module):
        def __init__(self, ngpu=0):
            super(Discriminator, self).__init__()  # noqa: UP008
            self.ngpu = ngpu
            self.main = nn.Sequential(
                nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ndf * 2),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ndf * 4),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False),
                nn.BatchNorm2d(ndf * 8),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False),
                nn.Sigmoid(),
            )

        def forward(self, input):
            return self.main(input).view(-1, 1).squeeze(1)

    return Generator(), Discriminator()


def acgan(nn, latent_dim=100, n_classes=10, img_size=32, channels=1, eps=0.8):
    """The 32x32 networks of the common ACGAN implementation, its eps and its softmax included."""

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.label_emb = nn.Embedding(n_classes, latent_dim)
            self.init_size = img_size // 4
            self.l1 = nn.Sequential(nn.Linear(latent_dim, 128 * self.init_size**2))
            self.conv_blocks = nn.Sequential(
                nn.BatchNorm2d(128),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(128, 128, 3, stride=1, padding=1),
                nn.BatchNorm2d(128, eps),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(128, 64, 3, stride=1, padding=1),
                nn.BatchNorm2d(64, eps),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(64, channels, 3, stride=1, padding=1),
                nn.Tanh(),
            )

        def forward(self, noise, labels):
            out = self.l1(self.label_emb(labels) * noise)
            out = out.view(out.shape[0], 128, self.init_size, self.init_size)
            return self.conv_blocks(out)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()

            def block(in_filters, out_filters, bn=True):
                layers = [
                    nn.Conv2d(in_filters, out_filters, 3, 2, 1),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.Dropout2d(0.25),
                ]
                if bn:
                    layers.append(nn.BatchNorm2d(out_filters, eps))
                return layers

            self.conv_blocks = nn.Sequential(
                *block(channels, 16, bn=False), *block(16, 32), *block(32, 64), *block(64, 128)
            )
            size = img_size // 2**4
            self.adv_layer = nn.Sequential(nn.Linear(128 * size**2, 1), nn.Sigmoid())
            self.aux_layer = nn.Sequential(nn.Linear(128 * size**2, n_classes), nn.Softmax(dim=1))

        def forward(self, img):
            out = self.conv_blocks(img)
            out = out.view(out.shape[0], -1)
            return self.adv_layer(out), self.aux_layer(out)

    return Generator(), Discriminator()


def weights_init(nn):
    def init(m):
        name = m.__class__.__name__
        if name.find("Conv") != -1:
            nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif name.find("BatchNorm2d") != -1:
            nn.init.normal_(m.weight.data, 1.0, 0.02)
            nn.init.constant_(m.bias.data, 0.0)

    return init


def twins(build, **options):
    """The same networks on both libraries, in float64, with minigan's weights."""
    torch.manual_seed(0)
    mg.manual_seed(0)
    ours, theirs = build(mg.nn, **options), build(torch.nn, **options)
    for mine, other in zip(ours, theirs, strict=True):
        mine.apply(weights_init(mg.nn))
        other.apply(weights_init(torch.nn))
        state = mine.state_dict()
        assert list(state) == list(other.state_dict())
        other.load_state_dict({key: torch.tensor(value.numpy()) for key, value in state.items()})
        mine.double()
        other.double()
    return ours, theirs


def agree(ours, theirs):
    theirs = theirs.detach().numpy()
    scale = max(np.abs(theirs).max(), 1e-12)
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=1e-9 * scale)


def gradients_agree(mine, other):
    for (name, p), (_, q) in zip(mine.named_parameters(), other.named_parameters(), strict=True):
        grad = q.grad.numpy()
        # A bias before BatchNorm has gradient 0 up to rounding, so allow an absolute error.
        np.testing.assert_allclose(p.grad.numpy(), grad, rtol=1e-7, atol=1e-12, err_msg=name)


def buffers_agree(mine, other):
    for (name, b), (_, c) in zip(mine.named_buffers(), other.named_buffers(), strict=True):
        np.testing.assert_allclose(b.numpy(), c.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "build, options, totals",
    [
        (dcgan, {"nc": 3}, (3_576_704, 2_765_568)),
        (dcgan, {"nc": 1}, (3_574_656, 2_763_520)),
        (acgan, {}, (1_050_985, 103_243)),
    ],
)
def test_the_networks_have_the_known_numbers_of_parameters(build, options, totals):
    assert tuple(count(network) for network in build(mg.nn, **options)) == totals


def test_weights_init_reaches_the_parameters():
    generator, _ = dcgan(mg.nn, ngf=8, ndf=8)
    generator.apply(weights_init(mg.nn))
    weight = generator.main[0].weight.detach().numpy()
    assert abs(weight.std() - 0.02) < 1e-3 and abs(weight.mean()) < 1e-3
    assert abs(generator.main[1].weight.detach().numpy().mean() - 1) < 0.02


def test_dcgan_agrees():
    (g, d), (tg, td) = twins(dcgan, ngf=8, ndf=8, nz=16)
    rng = np.random.default_rng(1)
    noise, upstream = rng.standard_normal((3, 16, 1, 1)), rng.standard_normal(3)
    fake, t_fake = g(mg.tensor(noise)), tg(torch.tensor(noise))
    agree(fake, t_fake)
    score, t_score = d(fake), td(t_fake)
    agree(score, t_score)
    score.backward(mg.tensor(upstream))
    t_score.backward(torch.tensor(upstream))
    for mine, other in ((g, tg), (d, td)):
        gradients_agree(mine, other)
        buffers_agree(mine, other)
    g.eval(), tg.eval()
    agree(g(mg.tensor(noise)), tg(torch.tensor(noise)))


def test_acgan_agrees():
    (g, d), (tg, td) = twins(acgan, latent_dim=12, img_size=16)
    for network in (d, td):  # dropout draws differ between the libraries
        for module in network.modules():
            if type(module).__name__ == "Dropout2d":
                module.p = 0.0
    rng = np.random.default_rng(2)
    noise, labels = rng.standard_normal((6, 12)), rng.integers(0, 10, 6)
    ups = rng.standard_normal((6, 1)), rng.standard_normal((6, 10))
    images = g(mg.tensor(noise), mg.tensor(labels))
    t_images = tg(torch.tensor(noise), torch.tensor(labels))
    agree(images, t_images)
    validity, classes = d(images)
    t_validity, t_classes = td(t_images)
    agree(validity, t_validity)
    agree(classes, t_classes)
    ((validity * mg.tensor(ups[0])).sum() + (classes * mg.tensor(ups[1])).sum()).backward()
    t_loss = (t_validity * torch.tensor(ups[0])).sum() + (t_classes * torch.tensor(ups[1])).sum()
    t_loss.backward()
    for mine, other in ((g, tg), (d, td)):
        gradients_agree(mine, other)
        buffers_agree(mine, other)
