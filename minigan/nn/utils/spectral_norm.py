"""Spectral normalisation: a weight divided by its largest singular value (Miyato et al. 2018).

The weight, as a matrix M [rows, rest], has the singular value sigma = u^T M v for its leading
singular vectors u and v. Power iteration finds them, one round a training forward, since M changes
slowly; u and v are buffers, and count as constants in the gradient.
"""

from __future__ import annotations

from typing import Any

from minigan.backends import kernels_for
from minigan.creation import randn
from minigan.errors import ConfigError
from minigan.nn.convolution import ConvTranspose2d
from minigan.nn.module import Module
from minigan.nn.parameter import Parameter
from minigan.ops import matmul
from minigan.tensor import Tensor


class SpectralNorm:
    """The hooks that put weight = weight_orig / sigma in place around each forward."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.n_power_iterations = name, n_power_iterations
        self.dim, self.eps = dim, eps

    def matrix(self, weight: Tensor) -> Tensor:
        """[rows, rest], the axis `dim` of the weight as rows."""
        if self.dim != 0:
            weight = weight.permute(self.dim, *(d for d in range(weight.ndim) if d != self.dim))
        return weight.reshape(weight.shape[0], -1)

    def compute(self, module: Module, iterate: bool) -> Tensor:
        """The normalised weight, after another round of power iteration if `iterate`."""
        weight = getattr(module, f"{self.name}_orig")
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        matrix = self.matrix(weight)
        if iterate:
            self._iterate(matrix._array, u, v)
        # Copies: the next forward changes u and v in place, and this one's backward needs them.
        u, v = u.detach().clone(), v.detach().clone()
        sigma = (u * matmul(matrix, v)).sum()
        return weight / sigma

    def _iterate(self, matrix: Any, u: Tensor, v: Tensor) -> None:
        kernels = kernels_for(matrix)
        for _ in range(self.n_power_iterations):
            for vector, image in ((v, (matrix.T, u._array)), (u, (matrix, v._array))):
                product = kernels.matmul(*image)
                norm = kernels.xp.sqrt((product * product).sum())
                vector._array[...] = product / kernels.xp.maximum(norm, self.eps)
                vector._version[0] += 1

    def before(self, module: Module, args: tuple[Any, ...]) -> None:
        """The forward pre-hook."""
        setattr(module, self.name, self.compute(module, iterate=module.training))

    def after(self, module: Module, args: tuple[Any, ...], output: Any) -> None:
        """The forward hook: cut from the graph, the weight keeps none alive and can be copied."""
        setattr(module, self.name, getattr(module, self.name).detach())


def spectral_norm(
    module: Any,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Any:
    """Divide the parameter `name` of a layer by its largest singular value at each forward.

    The parameter becomes `name`_orig; the buffers `name`_u and `name`_v hold the singular vectors
    (PyTorch's keys). Axis `dim` makes the rows: 1 for ConvTranspose2d, else 0. Returns the layer.
    """
    if f"{name}_orig" in module._parameters:
        raise ConfigError(f"spectral_norm: {type(module).__name__}.{name} is normalised already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ConfigError(f"spectral_norm: {type(module).__name__} has no parameter {name!r}")
    if n_power_iterations < 1:
        raise ConfigError(f"spectral_norm: n_power_iterations must be 1 or more, "
                          f"got {n_power_iterations}")  # fmt: skip
    rows_axis = int(isinstance(module, ConvTranspose2d)) if dim is None else dim
    norm = SpectralNorm(name, n_power_iterations, rows_axis, eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    matrix = norm.matrix(weight.detach())
    for suffix, length in zip(("u", "v"), matrix.shape, strict=True):
        vector = randn(length, dtype=weight.dtype, device=weight.device)
        vector = vector / max(float(vector.norm()), eps)
        module.register_buffer(f"{name}_{suffix}", vector)
    setattr(module, name, weight.detach())  # until the first forward
    module.register_forward_pre_hook(norm.before)
    module.register_forward_hook(norm.after)
    return module


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make the normalised weight a plain parameter again. Returns the layer."""
    hooks = {key: hook for key, hook in module._forward_pre_hooks.items()
             if _norm_of(hook, name) is not None}  # fmt: skip
    if not hooks:
        raise ConfigError(f"remove_spectral_norm: {type(module).__name__}.{name} has none")
    weight = getattr(module, f"{name}_orig")
    norm = _norm_of(next(iter(hooks.values())), name)
    value = norm.compute(module, iterate=False).detach()
    for table in (module._forward_pre_hooks, module._forward_hooks):
        for key in [key for key, hook in table.items() if _norm_of(hook, name) is not None]:
            del table[key]
    for attribute in (name, f"{name}_orig", f"{name}_u", f"{name}_v"):
        delattr(module, attribute)
    module.register_parameter(name, Parameter(value, requires_grad=weight.requires_grad))
    return module


def _norm_of(hook: Any, name: str) -> Any:
    """The SpectralNorm of weight `name` behind a hook, or None."""
    norm = getattr(hook, "__self__", None)
    return norm if isinstance(norm, SpectralNorm) and norm.name == name else None
