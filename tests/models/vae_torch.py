"""The VAE step in PyTorch, written as a good user of PyTorch would: the yardstick."""

from minigan.models.vae import Config
from tests.models.against_torch import load_weights


def mlp(torch, config: Config):
    """784-400-20 and back, as encoder body, width of its features, and decoder up to logits."""
    nn = torch.nn
    shape = (config.channels, config.img_size, config.img_size)
    pixels = config.channels * config.img_size**2
    body = nn.Sequential(nn.Flatten(), nn.Linear(pixels, config.hidden_dim), nn.ReLU())
    decoder = nn.Sequential(
        nn.Linear(config.latent_dim, config.hidden_dim),
        nn.ReLU(),
        nn.Linear(config.hidden_dim, pixels),
        nn.Unflatten(1, shape),
    )
    return body, config.hidden_dim, decoder


def dcgan(torch, config: Config):
    """The same for DCGAN's networks; the generator's last tanh is left to the step."""
    nn = torch.nn
    start, eps = config.img_size // 4, config.bn_eps

    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Sequential(
                nn.Conv2d(config.channels, 64, 4, 2, 1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(64, 128, 4, 2, 1),
                nn.BatchNorm2d(128, eps),
                nn.LeakyReLU(0.1),
                nn.Flatten(),
                nn.Linear(128 * start**2, 1024),
                nn.BatchNorm1d(1024, eps),
                nn.LeakyReLU(0.1),
            )

        def forward(self, x):
            return self.model(x)

    decoder = nn.Sequential(
        nn.Linear(config.latent_dim, 1024),
        nn.BatchNorm1d(1024, eps),
        nn.ReLU(),
        nn.Linear(1024, 128 * start**2),
        nn.BatchNorm1d(128 * start**2, eps),
        nn.ReLU(),
        nn.Unflatten(1, (128, start, start)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1),
        nn.BatchNorm2d(64, eps),
        nn.ReLU(),
        nn.ConvTranspose2d(64, config.channels, 4, 2, 1),
    )
    return Body(), 1024, decoder


class TorchVAE:
    """The networks and the optimiser of a minigan VAE, with its weights."""

    def __init__(self, torch, vae):
        self.torch, nn = torch, torch.nn
        config = vae.config
        self.ends_in_tanh = config.decoder == "dcgan"
        body, features, model = (dcgan if self.ends_in_tanh else mlp)(torch, config)

        class Encoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = body
                self.mean = nn.Linear(features, config.latent_dim)
                self.log_var = nn.Linear(features, config.latent_dim)

            def forward(self, x):
                h = self.body(x)
                return self.mean(h), self.log_var(h)

        class Decoder(nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, z):
                return self.model(z)

        self.networks = {"encoder": Encoder(), "generator": Decoder()}
        load_weights(torch, self.networks, vae)
        parameters = [p for net in self.networks.values() for p in net.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=config.lr, betas=(config.b1, config.b2))

    def step(self, images, noise):
        """One step on arrays or tensors; returns the losses as tensors."""
        torch, F = self.torch, self.torch.nn.functional
        x, noise = (torch.as_tensor(images) + 1) / 2, torch.as_tensor(noise)
        mean, log_var = self.networks["encoder"](x)
        z = mean + torch.exp(0.5 * log_var) * noise
        logits = self.networks["generator"](z)
        if self.ends_in_tanh:
            # In float64, because a probability near 1 has lost its digits in float32.
            logits = torch.special.logit((torch.tanh(logits.double()) + 1) / 2)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
        kl = -0.5 * torch.sum(1 + log_var - mean**2 - torch.exp(log_var)) / len(x)
        loss = reconstruction + kl
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        losses = {"vae_loss": loss, "reconstruction": reconstruction, "kl": kl}
        return {name: value.detach() for name, value in losses.items()}
