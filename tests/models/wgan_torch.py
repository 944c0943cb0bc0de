"""The steps of WGAN and WGAN-GP in PyTorch, written as a good user of PyTorch would."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.against_torch import load_weights
from tests.models.gan_torch import Discriminator as MLPCritic
from tests.models.gan_torch import Generator as MLPGenerator


class TorchWGAN:
    """The networks and optimisers of a minigan WGAN, with its weights."""

    def __init__(self, gan):
        self.config = gan.config
        generator, critic = self.build(gan.config)
        self.networks = {"generator": generator, "critic": critic}
        load_weights(torch, self.networks, gan)
        self.optimizers = {
            name: self.optimizer(net.parameters()) for name, net in self.networks.items()
        }

    def build(self, config):
        shape = (config.channels, config.img_size, config.img_size)
        return MLPGenerator(config.latent_dim, shape, config.bn_eps), MLPCritic(shape)

    def optimizer(self, parameters):
        return torch.optim.RMSprop(parameters, lr=self.config.lr)

    def critic_step(self, images, latent):
        """The critic's loss and its gap, as tensors."""
        generator, critic = self.networks.values()
        with torch.no_grad():
            fakes = generator(latent)
        self.optimizers["critic"].zero_grad()
        gap = critic(images).mean() - critic(fakes).mean()
        loss = -gap
        loss.backward()
        self.optimizers["critic"].step()
        with torch.no_grad():
            for p in critic.parameters():
                p.clamp_(-self.config.clip_value, self.config.clip_value)
        return {"d_loss": loss.detach(), "critic_gap": gap.detach()}

    def generator_step(self, latent):
        """The generator's loss, as a tensor."""
        generator, critic = self.networks.values()
        critic.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        loss = -critic(generator(latent)).mean()
        loss.backward()
        self.optimizers["generator"].step()
        critic.requires_grad_(True)
        return {"g_loss": loss.detach()}

    def step(self, images, *draws, generator_latent=None):
        """A step of the critic on its random `draws`, and the generator's if that has a latent."""
        losses = self.critic_step(images, *draws)
        if generator_latent is not None:
            losses |= self.generator_step(generator_latent)
        return losses


class Generator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.l1 = nn.Linear(config.latent_dim, 256 * 4 * 4)
        self.up1 = nn.ConvTranspose2d(256, 128, 5, 2, 2, output_padding=1)
        self.up2 = nn.ConvTranspose2d(128, 64, 5, 2, 2, output_padding=1)
        self.up3 = nn.ConvTranspose2d(64, config.channels, 5, 2, 2, output_padding=1)

    def forward(self, latent):
        x = F.relu(self.l1(latent)).view(-1, 256, 4, 4)
        x = F.relu(self.up1(x))[:, :, :7, :7]
        x = F.relu(self.up2(x))
        return torch.tanh(self.up3(x))


class Critic(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(config.channels, 64, 5, 2, 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, 128, 5, 2, 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(128, 256, 5, 2, 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Flatten(),
            nn.Linear(256 * 4 * 4, 1),
        )

    def forward(self, images):
        return self.model(images)


class TorchWGANGP(TorchWGAN):
    """The networks and optimisers of a minigan WGAN-GP, with its weights."""

    def build(self, config):
        return Generator(config), Critic(config)

    def optimizer(self, parameters):
        return torch.optim.Adam(
            parameters, lr=self.config.lr, betas=(self.config.b1, self.config.b2)
        )

    def critic_step(self, images, latent, share):
        """The critic's loss, its gap and the penalty, as tensors; share [N,1,1,1] is e."""
        generator, critic = self.networks.values()
        with torch.no_grad():
            fakes = generator(latent)
        self.optimizers["critic"].zero_grad()
        gap = critic(images).mean() - critic(fakes).mean()
        points = torch.lerp(fakes, images, share).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = self.config.penalty_weight * penalty - gap
        loss.backward()
        self.optimizers["critic"].step()
        losses = {"d_loss": loss, "critic_gap": gap, "penalty": penalty}
        return {name: value.detach() for name, value in losses.items()}
