"""DCGAN's networks in PyTorch, for the step of gan_torch.py; LSGAN's are among them."""

from torch import nn
from torch.nn import functional as F

from tests.models.gan_torch import TorchGAN


def upsample_networks(config, first_norm=True):
    """Nearest upsampling and 3x3 convolutions; the image size is a multiple of 16."""
    start = config.img_size // 4

    def block(inputs, outputs, norm=True):
        layers = [
            nn.Conv2d(inputs, outputs, 3, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Dropout2d(config.dropout),
        ]
        return layers + ([nn.BatchNorm2d(outputs, config.bn_eps)] if norm else [])

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.l1 = nn.Linear(config.latent_dim, 128 * start**2)
            self.conv_blocks = nn.Sequential(
                *([nn.BatchNorm2d(128)] if first_norm else []),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(128, 128, 3, 1, 1),
                nn.BatchNorm2d(128, config.bn_eps),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(128, 64, 3, 1, 1),
                nn.BatchNorm2d(64, config.bn_eps),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(64, config.channels, 3, 1, 1),
                nn.Tanh(),
            )

        def forward(self, latent):
            return self.conv_blocks(self.l1(latent).view(-1, 128, start, start))

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_blocks = nn.Sequential(
                *block(config.channels, 16, False), *block(16, 32), *block(32, 64), *block(64, 128)
            )

        def forward(self, images):
            return self.conv_blocks(images).flatten(1)

    return Generator(), nn.Sequential(Body(), nn.Linear(128 * (config.img_size // 16) ** 2, 1))


def infogan_networks(config):
    """The networks of the InfoGAN paper, for 28x28."""
    start, eps = config.img_size // 4, config.bn_eps
    generator = nn.Sequential(
        nn.Linear(config.latent_dim, 1024),
        nn.BatchNorm1d(1024, eps),
        nn.ReLU(inplace=True),
        nn.Linear(1024, 128 * start**2),
        nn.BatchNorm1d(128 * start**2, eps),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (128, start, start)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1),
        nn.BatchNorm2d(64, eps),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(64, config.channels, 4, 2, 1),
        nn.Tanh(),
    )
    body = nn.Sequential(
        nn.Conv2d(config.channels, 64, 4, 2, 1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(64, 128, 4, 2, 1),
        nn.BatchNorm2d(128, eps),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Flatten(),
        nn.Linear(128 * start**2, 1024),
        nn.BatchNorm1d(1024, eps),
        nn.LeakyReLU(0.1, inplace=True),
    )
    return Named(model=generator), nn.Sequential(Named(model=body), nn.Linear(1024, 1))


class Named(nn.Module):
    """One module under the name that it has in minigan, so that the weights fit."""

    def __init__(self, **parts):
        super().__init__()
        ((self.part, module),) = parts.items()
        self.add_module(self.part, module)

    def forward(self, x):
        return getattr(self, self.part)(x)


class StridedGenerator(nn.Module):
    def __init__(self, config, widths):
        super().__init__()
        layers = [nn.ConvTranspose2d(config.latent_dim, widths[-1], 4, 1, 0, bias=False)]
        for inputs, outputs in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [
                nn.BatchNorm2d(inputs, config.bn_eps),
                nn.ReLU(inplace=True),
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
            ]
        layers += [
            nn.BatchNorm2d(widths[0], config.bn_eps),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(widths[0], config.channels, 4, 2, 1, bias=False),
            nn.Tanh(),
        ]
        self.main = nn.Sequential(*layers)

    def forward(self, latent):
        return self.main(latent[:, :, None, None])


class StridedDiscriminator(nn.Module):
    def __init__(self, config, widths):
        super().__init__()
        layers = [nn.Conv2d(config.channels, widths[0], 4, 2, 1, bias=False)]
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
            layers += [
                nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
                nn.BatchNorm2d(outputs, config.bn_eps),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))
        self.main = nn.Sequential(*layers)

    def forward(self, images):
        return self.main(images).flatten(1)


_WIDTHS = {16: [64, 128], 32: [64, 128, 256], 64: [64, 128, 256, 512]}


class TorchDCGAN(TorchGAN):
    """The networks and optimisers of a minigan DCGAN, whichever trunk it has, with its weights."""

    def build(self, config):
        if config.chosen_trunk == "infogan":
            return infogan_networks(config)
        if config.chosen_trunk == "upsample":
            return upsample_networks(config)
        widths = _WIDTHS[config.img_size]
        return StridedGenerator(config, widths), StridedDiscriminator(config, widths)


class TorchLSGAN(TorchGAN):
    """The networks and optimisers of a minigan LSGAN, with its weights."""

    criterion = staticmethod(F.mse_loss)

    def build(self, config):
        return upsample_networks(config, first_norm=False)
