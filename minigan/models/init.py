"""The weight initialisation of DCGAN (Radford et al. 2015), used by most variants since."""

from __future__ import annotations

from minigan import nn


def dcgan_init_(network: nn.Module) -> None:
    """Convolutions ~ N(0, 0.02), BatchNorm2d scales ~ N(1, 0.02) and shifts 0; the rest as it is.

    Biases of convolutions keep their default, as in the reference implementations.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
