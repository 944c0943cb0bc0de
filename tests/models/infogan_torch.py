"""The InfoGAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

import math

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from tests.models.against_torch import load_weights


class Generator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        start, eps = config.img_size // 4, config.bn_eps
        self.model = nn.Sequential(
            nn.Linear(config.latent_dim + config.code_dim + config.n_classes, 1024),
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

    def forward(self, noise, codes, categories):
        chosen = F.one_hot(categories, self.config.n_classes).float()
        return self.model(torch.cat([noise, codes, chosen], 1))


class Body(nn.Module):
    def __init__(self, config):
        super().__init__()
        eps, slope = config.bn_eps, config.slope
        self.model = nn.Sequential(
            nn.Conv2d(config.channels, 64, 4, 2, 1),
            nn.LeakyReLU(slope, inplace=True),
            nn.Conv2d(64, 128, 4, 2, 1),
            nn.BatchNorm2d(128, eps),
            nn.LeakyReLU(slope, inplace=True),
            nn.Flatten(),
            nn.Linear(128 * (config.img_size // 4) ** 2, 1024),
            nn.BatchNorm1d(1024, eps),
            nn.LeakyReLU(slope, inplace=True),
        )

    def forward(self, images):
        return self.model(images)


class Discriminator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.body = Body(config)
        self.adv_layer = nn.Linear(1024, 1)

    def forward(self, images):
        features = self.body(images)
        return self.adv_layer(features), features


class Recognition(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden = nn.Sequential(
            nn.Linear(1024, 128),
            nn.BatchNorm1d(128, config.bn_eps),
            nn.LeakyReLU(config.slope, inplace=True),
        )
        self.category = nn.Linear(128, config.n_classes)
        self.code = nn.Linear(128, config.code_dim * (1 if config.fix_sigma else 2))

    def forward(self, features):
        hidden = self.hidden(features)
        mean, *log_sigma = self.code(hidden).split(self.config.code_dim, dim=1)
        sigma = log_sigma[0].exp() if log_sigma else torch.ones_like(mean)
        return self.category(hidden), Normal(mean, sigma, validate_args=False)


class TorchInfoGAN:
    """The networks and optimisers of a minigan InfoGAN, with its weights."""

    def __init__(self, gan):
        config = self.config = gan.config
        self.generator, self.discriminator = Generator(config), Discriminator(config)
        self.recognition = Recognition(config)
        self.networks = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "recognition": self.recognition,
        }
        load_weights(torch, self.networks, gan)
        betas = (config.b1, config.b2)
        critics = [*self.discriminator.parameters(), *self.recognition.parameters()]
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), config.lr_g, betas)
        self.d_optimizer = torch.optim.Adam(critics, config.lr, betas)

    def information(self, features, categories, codes):
        """L_I, and the two bounds of the mutual information in nats."""
        logits, posterior = self.recognition(features)
        log_q_category = -F.cross_entropy(logits, categories)
        log_q_codes = posterior.log_prob(codes).sum(1).mean()
        config = self.config
        loss = -config.lambda_categorical * log_q_category
        loss = loss - config.lambda_continuous * log_q_codes
        entropy_of_category = math.log(config.n_classes)
        entropy_of_codes = config.code_dim * math.log(2)
        return loss, entropy_of_category + log_q_category, entropy_of_codes + log_q_codes

    def step(self, images, noise, codes, categories):
        """One step on arrays or tensors; returns the losses as tensors."""
        images, noise = torch.as_tensor(images), torch.as_tensor(noise)
        codes, categories = torch.as_tensor(codes), torch.as_tensor(categories)
        real, fake = images.new_ones(len(images), 1), images.new_zeros(len(images), 1)
        bce = F.binary_cross_entropy_with_logits

        fakes = self.generator(noise, codes, categories)
        self.discriminator.requires_grad_(False)
        self.recognition.requires_grad_(False)
        self.g_optimizer.zero_grad()
        validity, features = self.discriminator(fakes)
        g_loss = bce(validity, real) + self.information(features, categories, codes)[0]
        g_loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)
        self.recognition.requires_grad_(True)

        self.d_optimizer.zero_grad()
        real_validity, _ = self.discriminator(images)
        fake_validity, features = self.discriminator(fakes.detach())
        information, of_category, of_codes = self.information(features, categories, codes)
        d_loss = bce(real_validity, real) + bce(fake_validity, fake) + information
        d_loss.backward()
        self.d_optimizer.step()
        return {
            "g_loss": g_loss.detach(),
            "d_loss": d_loss.detach(),
            "mi_categorical": of_category.detach(),
            "mi_continuous": of_codes.detach(),
            "d_x": real_validity.sigmoid().mean().detach(),
            "d_g_z": fake_validity.sigmoid().mean().detach(),
        }
