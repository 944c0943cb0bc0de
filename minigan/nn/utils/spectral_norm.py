"""Spectral normalisation: a weight divided by its largest singular value (Miyato et al. 2018).

With W as a matrix [rows, rest], one power iteration per training forward keeps u and v close to
the first singular vectors; sigma = u^T W v, differentiated through W only. u and v are buffers,
untouched in eval mode. State names are those of torch.nn.utils.spectral_norm: weight_orig,
weight_u, weight_v.
"""

from __future__ import annotations

from typing import Any, TypeVar

from minigan import creation
from minigan.autograd import no_grad
from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.nn import init
from minigan.nn.convolution import ConvTranspose2d
from minigan.nn.module import Module
from minigan.nn.parameter import Parameter
from minigan.tensor import Tensor

_M = TypeVar("_M", bound=Module)


class _SpectralNorm:
    """The forward pre-hook that puts the normalised weight in place."""

    def __init__(self, name: str, iterations: int, dim: int, eps: float) -> None:
        self.name, self.iterations, self.dim, self.eps = name, iterations, dim, eps

    def matrix(self, weight: Tensor) -> Tensor:
        """[shape[dim], rest]."""
        if self.dim != 0:
            rest = [d for d in range(weight.ndim) if d != self.dim]
            weight = weight.permute(self.dim, *rest)
        return weight.flatten(1)

    def __call__(self, module: Any, args: Any) -> None:
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = self.matrix(weight)
        if module.training:
            with no_grad():
                for _ in range(self.iterations):
                    v.copy_(F.normalize(matrix.t() @ u, dim=0, eps=self.eps))
                    u.copy_(F.normalize(matrix @ v, dim=0, eps=self.eps))
            # The graph keeps these; the next forward changes the buffers.
            u, v = u.clone(), v.clone()
        sigma = (u * (matrix @ v)).sum()
        object.__setattr__(module, self.name, weight / sigma)


def spectral_norm(
    module: _M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> _M:  # fmt: skip
    """Normalise a weight of `module` before each forward; returns the module."""
    if f"{name}_orig" in module._parameters:
        raise ConfigError(f"{module!r}: {name} is spectrally normalised already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ConfigError(f"{module!r} has no parameter {name!r} to normalise")
    axis = dim if dim is not None else int(isinstance(module, ConvTranspose2d))
    hook = _SpectralNorm(name, n_power_iterations, axis, eps)
    rows, columns = hook.matrix(weight.detach()).shape
    like: dict[str, Any] = {"dtype": weight.dtype, "device": weight.device}
    with no_grad():
        u = F.normalize(init.normal_(creation.empty(rows, **like)), dim=0, eps=eps)
        v = F.normalize(init.normal_(creation.empty(columns, **like)), dim=0, eps=eps)
    del module._parameters[name]
    module.register_parameter(f"{name}_orig", Parameter(weight.detach()))
    object.__setattr__(module, name, weight.detach())
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: _M, name: str = "weight") -> _M:
    """Make the normalised weight, as it is now, a plain parameter again."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, _SpectralNorm) and hook.name == name:
            training = module.training
            module.training = False  # use u and v, do not move them
            with no_grad():
                hook(module, ())
            module.training = training
            weight = module.__dict__.pop(name)
            for suffix in ("_orig", "_u", "_v"):
                delattr(module, name + suffix)
            module.register_parameter(name, Parameter(weight.detach()))
            del module._forward_pre_hooks[key]
            return module
    raise ConfigError(f"{module!r}: {name} is not spectrally normalised")
