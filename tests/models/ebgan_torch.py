"""The EBGAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

from minigan.models.ebgan import Config
from tests.models.against_torch import load_weights


def networks(torch, config: Config):
    nn = torch.nn
    eps, channels = config.bn_eps, config.channels

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = config.img_size // 4
            self.l1 = nn.Linear(config.latent_dim, 128 * self.start**2)
            self.conv_blocks = nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv2d(128, 128, 3, 1, 1),
                nn.BatchNorm2d(128, eps),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(128, 64, 3, 1, 1),
                nn.BatchNorm2d(64, eps),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(64, channels, 3, 1, 1),
                nn.Tanh(),
            )

        def forward(self, latent):
            return self.conv_blocks(self.l1(latent).view(-1, 128, self.start, self.start))

    class Autoencoder(nn.Module):
        def __init__(self):
            super().__init__()
            half = config.img_size // 2
            features = 64 * half**2
            self.encoder = nn.Sequential(
                nn.Conv2d(channels, 64, 3, 2, 1),
                nn.ReLU(inplace=True),
                nn.Flatten(),
                nn.Linear(features, config.embedding_dim),
            )
            self.decoder = nn.Sequential(
                nn.BatchNorm1d(config.embedding_dim, eps),
                nn.ReLU(inplace=True),
                nn.Linear(config.embedding_dim, features),
                nn.BatchNorm1d(features, eps),
                nn.ReLU(inplace=True),
                nn.Unflatten(1, (64, half, half)),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(64, channels, 3, 1, 1),
            )

        def forward(self, images):
            codes = self.encoder(images)
            return self.decoder(codes), codes

    return Generator(), Autoencoder()


class TorchEBGAN:
    """The networks and optimisers of a minigan EBGAN, with its weights."""

    def __init__(self, torch, gan):
        self.torch, self.config = torch, gan.config
        generator, discriminator = networks(torch, gan.config)
        self.networks = {"generator": generator, "discriminator": discriminator}
        load_weights(torch, self.networks, gan)
        config = gan.config
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=config.lr, betas=(config.b1, config.b2))
            for name, net in self.networks.items()
        }

    def energies(self, images):
        """The energy of each image [N], and the codes."""
        F = self.torch.nn.functional
        reconstruction, codes = self.networks["discriminator"](images)
        return F.mse_loss(reconstruction, images, reduction="none").mean((1, 2, 3)), codes

    def pulling_away(self, codes):
        """The mean squared cosine of all pairs i != j, pair by pair."""
        F, n = self.torch.nn.functional, len(codes)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        cosines = [F.cosine_similarity(codes[i], codes[j], dim=0) for i, j in pairs]
        return self.torch.stack(cosines).square().mean()

    def step(self, images, latent):
        """One step on arrays or tensors; returns the losses as tensors."""
        torch, config = self.torch, self.config
        images, latent = torch.as_tensor(images), torch.as_tensor(latent)
        discriminator = self.networks["discriminator"]

        fakes = self.networks["generator"](latent)
        discriminator.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        energies, codes = self.energies(fakes)
        apart = self.pulling_away(codes)
        g_loss = energies.mean() + config.lambda_pt * apart
        g_loss.backward()
        self.optimizers["generator"].step()
        discriminator.requires_grad_(True)

        self.optimizers["discriminator"].zero_grad()
        real, _ = self.energies(images)
        fake, _ = self.energies(fakes.detach())
        d_loss = real.mean() + torch.clamp(config.margin - fake, min=0).mean()
        d_loss.backward()
        self.optimizers["discriminator"].step()
        return {
            "d_loss": d_loss.detach(),
            "g_loss": g_loss.detach(),
            "real_energy": real.mean().detach(),
            "fake_energy": fake.mean().detach(),
            "pulling_away": apart.detach(),
        }
