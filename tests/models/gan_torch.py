"""The GAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.against_torch import load_weights


class Generator(nn.Module):
    def __init__(self, latent_dim, image_shape, bn_eps=1e-5):
        super().__init__()
        self.image_shape = image_shape

        def block(inputs, outputs):
            return [
                nn.Linear(inputs, outputs),
                nn.BatchNorm1d(outputs, bn_eps),
                nn.LeakyReLU(0.2, inplace=True),
            ]

        self.model = nn.Sequential(
            nn.Linear(latent_dim, 128),
            nn.LeakyReLU(0.2, inplace=True),
            *block(128, 256),
            *block(256, 512),
            *block(512, 1024),
            nn.Linear(1024, math.prod(image_shape)),
            nn.Tanh(),
        )

    def forward(self, latent):
        return self.model(latent).view(-1, *self.image_shape)


class Discriminator(nn.Module):
    def __init__(self, image_shape):
        super().__init__()
        self.model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(image_shape), 512),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(256, 1),
        )

    def forward(self, images):
        return self.model(images)


class TorchGAN:
    """The networks and optimisers of a minigan model, with its weights."""

    criterion = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, gan):
        config = gan.config
        generator, discriminator = self.build(config)
        self.networks = {"generator": generator, "discriminator": discriminator}
        load_weights(torch, self.networks, gan)
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=config.lr, betas=(config.b1, config.b2))
            for name, net in self.networks.items()
        }

    def build(self, config):
        shape = (config.channels, config.img_size, config.img_size)
        return Generator(config.latent_dim, shape, config.bn_eps), Discriminator(shape)

    def step(self, images, latent):
        """One step on tensors [N,C,H,W] and [N, latent_dim]; returns its losses as tensors."""
        generator, discriminator = self.networks.values()
        real, fake = images.new_ones(len(images), 1), images.new_zeros(len(images), 1)

        fakes = generator(latent)
        discriminator.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        g_loss = self.criterion(discriminator(fakes), real)
        g_loss.backward()
        self.optimizers["generator"].step()
        discriminator.requires_grad_(True)

        self.optimizers["discriminator"].zero_grad()
        real_loss = self.criterion(discriminator(images), real)
        fake_loss = self.criterion(discriminator(fakes.detach()), fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        self.optimizers["discriminator"].step()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}
