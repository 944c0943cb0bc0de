"""The ACGAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

from minigan.models.acgan import Config
from tests.models.against_torch import load_weights


def networks(torch, config: Config):
    nn = torch.nn

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.start = config.img_size // 4
            self.label_emb = nn.Embedding(config.n_classes, config.latent_dim)
            self.l1 = nn.Linear(config.latent_dim, 128 * self.start**2)
            self.conv_blocks = nn.Sequential(
                nn.BatchNorm2d(128),
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

        def forward(self, latent, labels):
            x = self.l1(self.label_emb(labels) * latent)
            return self.conv_blocks(x.view(-1, 128, self.start, self.start))

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()

            def block(i, o, norm=True):
                layers = [
                    nn.Conv2d(i, o, 3, 2, 1),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.Dropout2d(config.dropout),
                ]
                return layers + ([nn.BatchNorm2d(o, config.bn_eps)] if norm else [])

            self.conv_blocks = nn.Sequential(
                *block(config.channels, 16, False), *block(16, 32), *block(32, 64), *block(64, 128)
            )
            features = 128 * (config.img_size // 16) ** 2
            self.adv_layer = nn.Linear(features, 1)
            self.aux_layer = nn.Linear(features, config.n_classes)

        def forward(self, images):
            features = self.conv_blocks(images).flatten(1)
            return self.adv_layer(features), self.aux_layer(features)

    return Generator(), Discriminator()


class TorchACGAN:
    """The networks and optimisers of a minigan ACGAN, with its weights."""

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

    def step(self, images, labels, latent, asked):
        """One step on arrays or tensors; returns the losses as tensors."""
        torch, F = self.torch, self.torch.nn.functional
        images, latent = torch.as_tensor(images), torch.as_tensor(latent)
        labels, asked = torch.as_tensor(labels), torch.as_tensor(asked)
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]
        real, fake = images.new_ones(len(images), 1), images.new_zeros(len(images), 1)
        bce = F.binary_cross_entropy_with_logits

        fakes = generator(latent, asked)
        discriminator.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        validity, classes = discriminator(fakes)
        asked_class_loss = self.config.asked_class_weight * F.cross_entropy(classes, asked)
        g_loss = 0.5 * (bce(validity, real) + asked_class_loss)
        g_loss.backward()
        self.optimizers["generator"].step()
        discriminator.requires_grad_(True)

        self.optimizers["discriminator"].zero_grad()
        validity, classes = discriminator(images)
        class_loss = F.cross_entropy(classes, labels)
        d_real = 0.5 * (bce(validity, real) + class_loss)
        validity, classes = discriminator(fakes.detach())
        fake_class_loss = self.config.fake_class_weight * F.cross_entropy(classes, asked)
        d_fake = 0.5 * (bce(validity, fake) + fake_class_loss)
        d_loss = 0.5 * (d_real + d_fake)
        d_loss.backward()
        self.optimizers["discriminator"].step()
        losses = {"g_loss": g_loss, "d_loss": d_loss, "class_loss": class_loss}
        return {name: value.detach() for name, value in losses.items()}
