"""The CGAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.against_torch import load_weights


class Generator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.image_shape = (config.channels, config.img_size, config.img_size)

        def block(inputs, outputs):
            return [
                nn.Linear(inputs, outputs),
                nn.BatchNorm1d(outputs, config.bn_eps),
                nn.LeakyReLU(0.2, inplace=True),
            ]

        self.label_emb = nn.Embedding(config.n_classes, config.n_classes)
        self.model = nn.Sequential(
            nn.Linear(config.n_classes + config.latent_dim, 128),
            nn.LeakyReLU(0.2, inplace=True),
            *block(128, 256),
            *block(256, 512),
            *block(512, 1024),
            nn.Linear(1024, math.prod(self.image_shape)),
            nn.Tanh(),
        )

    def forward(self, latent, labels):
        joined = torch.cat([self.label_emb(labels), latent], 1)
        return self.model(joined).view(-1, *self.image_shape)


class Discriminator(nn.Module):
    def __init__(self, config):
        super().__init__()
        pixels = config.channels * config.img_size**2
        self.label_embedding = nn.Embedding(config.n_classes, config.n_classes)
        self.model = nn.Sequential(
            nn.Linear(pixels + config.n_classes, 512),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(512, 512),
            nn.Dropout(config.dropout),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(512, 512),
            nn.Dropout(config.dropout),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(512, 1),
        )

    def forward(self, images, labels):
        return self.model(torch.cat([images.flatten(1), self.label_embedding(labels)], 1))


class TorchCGAN:
    """The networks and optimisers of a minigan CGAN, with its weights."""

    criterion = staticmethod(F.mse_loss)

    def __init__(self, gan):
        config = gan.config
        self.networks = {"generator": Generator(config), "discriminator": Discriminator(config)}
        load_weights(torch, self.networks, gan)
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=config.lr, betas=(config.b1, config.b2))
            for name, net in self.networks.items()
        }

    def step(self, images, labels, latent, asked):
        """One step on tensors; returns its losses as tensors."""
        generator, discriminator = self.networks.values()
        real, fake = images.new_ones(len(images), 1), images.new_zeros(len(images), 1)

        fakes = generator(latent, asked)
        discriminator.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        g_loss = self.criterion(discriminator(fakes, asked), real)
        g_loss.backward()
        self.optimizers["generator"].step()
        discriminator.requires_grad_(True)

        self.optimizers["discriminator"].zero_grad()
        real_loss = self.criterion(discriminator(images, labels), real)
        fake_loss = self.criterion(discriminator(fakes.detach(), asked), fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        self.optimizers["discriminator"].step()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}
