"""Helpers around modules, under the name that PyTorch users know."""

from minigan.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_
from minigan.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm

__all__ = ["clip_grad_norm_", "clip_grad_value_", "remove_spectral_norm", "spectral_norm"]
