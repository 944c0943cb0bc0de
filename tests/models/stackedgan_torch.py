"""The StackedGAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.against_torch import load_weights


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(config.channels, 32, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * config.smallest**2, 256),
            nn.ReLU(),
        )
        self.classes = nn.Linear(256, config.n_classes)


class FeatureGenerator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(config.z1_dim + config.n_classes, 512),
            nn.BatchNorm1d(512, config.bn_eps),
            nn.ReLU(inplace=True),
            nn.Linear(512, 512),
            nn.BatchNorm1d(512, config.bn_eps),
            nn.ReLU(inplace=True),
            nn.Linear(512, 256),
            nn.ReLU(inplace=True),
        )


class ImageGenerator(nn.Module):
    def __init__(self, config):
        super().__init__()
        eps, start = config.bn_eps, config.smallest
        self.embedding = nn.Sequential(
            nn.Linear(config.z0_dim, 128), nn.BatchNorm1d(128, eps), nn.ReLU(inplace=True)
        )
        self.model = nn.Sequential(
            nn.Linear(256 + 128, 128 * start**2),
            nn.BatchNorm1d(128 * start**2, eps),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (128, start, start)),
            nn.ConvTranspose2d(128, 128, 5, 2, 2, 1),
            nn.BatchNorm2d(128, eps),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(128, 64, 5),
            nn.BatchNorm2d(64, eps),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(64, 64, 5, 2, 2, 1),
            nn.BatchNorm2d(64, eps),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(64, config.channels, 5),
            nn.Tanh(),
        )


class Discriminator(nn.Module):
    def __init__(self, body, noise_dim):
        super().__init__()
        self.body = body
        self.adv_layer = nn.Linear(256, 1)
        self.noise_layer = nn.Sequential(nn.Linear(256, noise_dim), nn.Sigmoid())

    def forward(self, inputs):
        features = self.body(inputs)
        return self.adv_layer(features), self.noise_layer(features)


def feature_body():
    return nn.Sequential(
        nn.Linear(256, 256), nn.LeakyReLU(0.2), nn.Linear(256, 256), nn.LeakyReLU(0.2)
    )


def image_body(config):
    size = (config.img_size + 7) // 8
    return nn.Sequential(
        nn.Conv2d(config.channels, 32, 5, 2, 2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 5, 2, 2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 5, 2, 2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(128 * size**2, 256),
        nn.LeakyReLU(0.2),
    )


class TorchStackedGAN:
    """The networks and optimisers of a minigan StackedGAN, with its weights."""

    def __init__(self, gan):
        config = self.config = gan.config
        self.encoder = Encoder(config)
        self.g1, self.g0 = FeatureGenerator(config), ImageGenerator(config)
        self.d1 = Discriminator(feature_body(), config.z1_dim)
        self.d0 = Discriminator(image_body(config), config.z0_dim)
        self.networks = {
            "encoder": self.encoder,
            "generator_1": self.g1,
            "generator_0": self.g0,
            "discriminator_1": self.d1,
            "discriminator_0": self.d0,
        }
        load_weights(torch, self.networks, gan)
        betas = (config.b1, config.b2)
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(), config.lr_encoder if name == "encoder" else config.lr, betas
            )
            for name, network in self.networks.items()
        }

    def encoder_step(self, images, labels):
        """One step of the first phase on arrays or tensors; returns the losses as tensors."""
        images, labels = torch.as_tensor(images), torch.as_tensor(labels)
        self.optimizers["encoder"].zero_grad()
        logits = self.encoder.classes(self.encoder.body(images))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        self.optimizers["encoder"].step()
        accuracy = (logits.argmax(1) == labels).float().mean()
        return {"encoder_loss": loss.detach(), "encoder_accuracy": accuracy.detach()}

    def levels_step(self, images, labels, latent, joint):
        """One step of the other phases on arrays or tensors; returns the losses as tensors."""
        config = self.config
        images, labels, latent = (torch.as_tensor(v) for v in (images, labels, latent))
        z1, z0 = latent.split([config.z1_dim, config.z0_dim], dim=1)
        bce, one, zero = F.binary_cross_entropy_with_logits, images.new_ones, images.new_zeros
        n = len(images)
        frozen = [self.encoder, self.d1, self.d0]
        for network in frozen:
            network.requires_grad_(False)
        for name in ("generator_1", "generator_0"):
            self.optimizers[name].zero_grad()

        real_features = self.encoder.body(images)
        one_hot = F.one_hot(labels, config.n_classes).float()
        features = self.g1.model(torch.cat([z1, one_hot], 1))
        given = features if joint else real_features
        fakes = self.g0.model(torch.cat([given, self.g0.embedding(z0)], 1))
        found = self.encoder.body(fakes)
        losses = {
            "conditional_1": F.cross_entropy(self.encoder.classes(features), labels),
            "conditional_0": ((found - given.detach()) ** 2).mean(),
        }
        for level, d, made, z in ((1, self.d1, features, z1), (0, self.d0, fakes, z0)):
            validity, recovered = d(made)
            losses[f"entropy_{level}"] = ((recovered - z) ** 2).mean()
            losses[f"g{level}_loss"] = (
                bce(validity, one(n, 1))
                + config.lambda_conditional * losses[f"conditional_{level}"]
                + config.lambda_entropy * losses[f"entropy_{level}"]
            )
        (losses["g1_loss"] + losses["g0_loss"]).backward()
        for name in ("generator_1", "generator_0"):
            self.optimizers[name].step()
        for network in frozen:
            network.requires_grad_(True)

        for level, d, real, made, z in (
            (1, self.d1, real_features, features.detach(), z1),
            (0, self.d0, images, fakes.detach(), z0),
        ):
            optimizer = self.optimizers[f"discriminator_{level}"]
            optimizer.zero_grad()
            real_logits, _ = d(real)
            fake_logits, recovered = d(made)
            adversarial = (bce(real_logits, one(n, 1)) + bce(fake_logits, zero(n, 1))) / 2
            loss = adversarial + config.lambda_entropy * ((recovered - z) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses[f"d{level}_loss"] = loss
        losses["d_x"] = real_logits.sigmoid().mean()
        losses["d_g_z"] = fake_logits.sigmoid().mean()
        return {name: value.detach() for name, value in losses.items()}
