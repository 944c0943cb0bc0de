"""The CycleGAN step in PyTorch, written as a good user of PyTorch would: the yardstick."""

import torch
from torch import nn
from torch.nn import functional as F

from tests.models.against_torch import load_weights
from tests.models.pix2pix_torch import patchgan


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x):
        return x + self.conv_block(x)


def resnet(config):
    w = config.ngf

    def up(i, o):
        if config.upsampling == "nearest":
            larger = [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(i, o, 3)]
        else:
            larger = [nn.ConvTranspose2d(i, o, 3, 2, 1, 1)]
        return [*larger, nn.InstanceNorm2d(o), nn.ReLU(True)]

    layers = [nn.ReflectionPad2d(3), nn.Conv2d(config.channels, w, 7)]
    layers += [nn.InstanceNorm2d(w), nn.ReLU(True)]
    for i in (w, 2 * w):
        layers += [nn.Conv2d(i, 2 * i, 3, 2, 1), nn.InstanceNorm2d(2 * i), nn.ReLU(True)]
    layers += [Block(4 * w) for _ in range(config.blocks)]
    layers += [*up(4 * w, 2 * w), *up(2 * w, w)]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(w, config.channels, 7), nn.Tanh()]
    return nn.ModuleDict({"model": nn.Sequential(*layers)})


class TorchCycleGAN:
    """The networks and optimisers of a minigan CycleGAN, with its weights."""

    def __init__(self, gan):
        config = self.config = gan.config
        self.networks = {name: resnet(config) for name in ("generator_a", "generator_b")}
        for name in ("discriminator_a", "discriminator_b"):
            self.networks[name] = patchgan(
                torch, config.channels, config.ndf, config.n_layers_D, "instance"
            )
        load_weights(torch, self.networks, gan)
        self.optimizers = {
            kind: torch.optim.Adam(
                [p for side in "ab" for p in self.networks[f"{kind}_{side}"].parameters()],
                config.lr,
                (config.b1, config.b2),
            )
            for kind in ("generator", "discriminator")
        }

    def step(self, a, b, history_a=None, history_b=None):
        """One step on arrays or tensors; returns the losses as tensors. `history_*`: the generated
        images that the discriminators see, by default those of this step."""
        config = self.config
        a, b = torch.as_tensor(a), torch.as_tensor(b)
        g_a, g_b = (self.networks[f"generator_{side}"]["model"] for side in "ab")
        d_a, d_b = (self.networks[f"discriminator_{side}"]["model"] for side in "ab")
        judges = [self.networks[f"discriminator_{side}"] for side in "ab"]

        def mse(logits, goal):
            return F.mse_loss(logits, torch.full_like(logits, goal))

        for judge in judges:
            judge.requires_grad_(False)
        self.optimizers["generator"].zero_grad()
        fake_b, fake_a = g_a(a), g_b(b)
        losses = {
            "g_a_loss": mse(d_a(fake_b), 1.0),
            "g_b_loss": mse(d_b(fake_a), 1.0),
            "cycle_a_loss": F.l1_loss(g_b(fake_b), a),
            "cycle_b_loss": F.l1_loss(g_a(fake_a), b),
            "idt_a_loss": F.l1_loss(g_a(b), b),
            "idt_b_loss": F.l1_loss(g_b(a), a),
        }
        losses["g_loss"] = (
            losses["g_a_loss"]
            + losses["g_b_loss"]
            + config.lambda_A * losses["cycle_a_loss"]
            + config.lambda_B * losses["cycle_b_loss"]
            + config.lambda_B * config.lambda_idt * losses["idt_a_loss"]
            + config.lambda_A * config.lambda_idt * losses["idt_b_loss"]
        )
        losses["g_loss"].backward()
        self.optimizers["generator"].step()
        for judge in judges:
            judge.requires_grad_(True)

        shown_b = fake_b.detach() if history_b is None else torch.as_tensor(history_b)
        shown_a = fake_a.detach() if history_a is None else torch.as_tensor(history_a)
        self.optimizers["discriminator"].zero_grad()
        losses["d_a_loss"] = 0.5 * (mse(d_a(b), 1.0) + mse(d_a(shown_b), 0.0))
        losses["d_b_loss"] = 0.5 * (mse(d_b(a), 1.0) + mse(d_b(shown_a), 0.0))
        losses["d_a_loss"].backward()
        losses["d_b_loss"].backward()
        self.optimizers["discriminator"].step()
        return {name: value.detach() for name, value in losses.items()}
