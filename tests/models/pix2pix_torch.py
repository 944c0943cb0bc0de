"""The pix2pix step in PyTorch, with the U-Net nested as its authors write it: the yardstick."""

from minigan.models.pix2pix import Config
from tests.models.against_torch import load_weights


def unet(torch, channels, levels, ngf, norm, dropout):
    """A U-Net built from its innermost level outwards; `dropout` makes its dropout layers.

    Its parameters have the names and the order of minigan's.
    """
    nn = torch.nn
    bias = norm == "instance"

    def norm_layer(width):
        if norm == "instance":
            return nn.InstanceNorm2d(width)
        return nn.BatchNorm2d(width, track_running_stats=False)

    class Level(nn.Module):
        def __init__(self, down, inside, up):
            super().__init__()
            self.down, self.inside, self.up = down, inside, up

        def forward(self, x):
            inner = self.down(x)
            if self.inside is not None:
                inner = torch.cat([inner, self.inside(inner)], 1)
            return self.up(inner)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [channels] + [ngf * min(2**i, 8) for i in range(levels)]
            downs, ups, level = [], [], None
            for n in range(levels, 0, -1):  # level n halves the image for the n-th time
                outer, inner = widths[n - 1], widths[n]
                down = nn.Sequential(
                    *([nn.LeakyReLU(0.2)] if n > 1 else []),
                    nn.Conv2d(outer, inner, 4, 2, 1, bias=bias),
                    *([norm_layer(inner)] if 1 < n < levels else []),
                )
                inputs = inner if n == levels else 2 * inner
                end = [nn.Tanh()] if n == 1 else [norm_layer(outer)]
                dropped = n in ({5, 6, 7} if levels > 5 else {levels - 1}) and n < levels
                up = nn.Sequential(
                    nn.ReLU(),
                    nn.ConvTranspose2d(inputs, outer, 4, 2, 1, bias=bias or n == 1),
                    *end,
                    *([dropout()] if dropped else []),
                )
                level = Level(down, level, up)
                downs.insert(0, down)
                ups.append(up)
            self.downs, self.ups = nn.ModuleList(downs), nn.ModuleList(ups)
            self.levels = [level]  # in a list, so that parameters are counted once

        def forward(self, x):
            return self.levels[0](x)

    return UNet()


def patchgan(torch, channels, ndf, n_layers, norm):
    nn = torch.nn
    bias = norm == "instance"
    layers = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    width = ndf
    for i in range(1, n_layers + 1):
        before, width = width, ndf * min(2**i, 8)
        layers += [
            nn.Conv2d(before, width, 4, 2 if i < n_layers else 1, 1, bias=bias),
            nn.InstanceNorm2d(width) if bias else nn.BatchNorm2d(width, track_running_stats=False),
            nn.LeakyReLU(0.2),
        ]
    layers.append(nn.Conv2d(width, 1, 4, 1, 1))
    return nn.ModuleDict({"model": nn.Sequential(*layers)})


class TorchPix2Pix:
    """The networks and optimisers of a minigan Pix2Pix, with its weights.

    `dropout` makes a dropout layer; without it, `step` takes the masks.
    """

    def __init__(self, torch, gan, dropout=None):
        self.torch = torch
        config: Config = gan.config
        self.lambda_l1 = config.lambda_L1
        masks = self.masks = []

        class Masked(torch.nn.Module):
            def forward(self, x):
                return x * masks.pop(0) * 2

        self.networks = {
            "generator": unet(
                torch, config.channels, config.levels, config.ngf, config.norm, dropout or Masked
            ),
            "discriminator": patchgan(
                torch, 2 * config.channels, config.ndf, config.n_layers_D, config.norm
            ),
        }
        load_weights(torch, self.networks, gan)
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=config.lr, betas=(config.b1, config.b2))
            for name, net in self.networks.items()
        }

    def step(self, a, b, masks=()):
        """One step on arrays or tensors; dropout of one half by 0-1 masks. Returns the losses."""
        torch, F = self.torch, self.torch.nn.functional
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        self.masks[:] = [torch.as_tensor(mask) for mask in masks]
        generator = self.networks["generator"]
        judge = self.networks["discriminator"]["model"]
        bce = F.binary_cross_entropy_with_logits

        made = generator(a)
        self.optimizers["discriminator"].zero_grad()
        fake = judge(torch.cat([a, made.detach()], 1))
        real = judge(torch.cat([a, b], 1))
        d_loss = 0.5 * (bce(fake, torch.zeros_like(fake)) + bce(real, torch.ones_like(real)))
        d_loss.backward()
        self.optimizers["discriminator"].step()

        judge.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        fake = judge(torch.cat([a, made], 1))
        gan_loss = bce(fake, torch.ones_like(fake))
        l1_loss = F.l1_loss(made, b)
        g_loss = gan_loss + self.lambda_l1 * l1_loss
        g_loss.backward()
        self.optimizers["generator"].step()
        judge.requires_grad_(True)
        return {
            "d_loss": d_loss.detach(),
            "g_loss": g_loss.detach(),
            "g_gan_loss": gan_loss.detach(),
            "g_l1_loss": l1_loss.detach(),
        }
