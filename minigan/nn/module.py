"""Module: a tree of layers with its parameters, buffers, modes, hooks and state.

The behaviour is PyTorch's, names of state included, so that a model class written for torch.nn
runs here unchanged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigan.errors import CheckpointError, ConfigError
from minigan.nn.parameter import Parameter
from minigan.tensor import HookHandle, Tensor

_M = TypeVar("_M", bound="Module")


class IncompatibleKeys(NamedTuple):
    """What load_state_dict(strict=False) could not place."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers and networks: a subclass assigns parts in __init__ and defines forward.

    Parameters, buffers and modules that are assigned as attributes are found again by
    parameters(), state_dict(), train(), to(), ... in the order of their assignment.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _forward_hooks: dict[int, Any]
    _forward_pre_hooks: dict[int, Any]
    _transient_buffers: set[str]

    def __init__(self) -> None:
        for name, value in (
            ("_parameters", {}),
            ("_buffers", {}),
            ("_modules", {}),
            ("_forward_hooks", {}),
            ("_forward_pre_hooks", {}),
            ("_transient_buffers", set()),
            ("training", True),
        ):
            object.__setattr__(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for hook in list(self._forward_pre_hooks.values()):
            replaced = hook(self, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
        out = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            replaced = hook(self, args, out)
            out = out if replaced is None else replaced
        return out

    # --- parts ----------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter | Module) and "_parameters" not in self.__dict__:
            raise ConfigError(
                f"{type(self).__name__}: call super().__init__() before assigning self.{name}"
            )
        if isinstance(value, Parameter):
            self._forget(name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif name in self.__dict__.get("_buffers", ()) and (
            value is None or isinstance(value, Tensor)
        ):
            self._buffers[name] = value
        elif name in self.__dict__.get("_parameters", ()):
            if value is not None:
                raise ConfigError(f"self.{name} is a parameter: assign a Parameter, or None")
            self._parameters[name] = None
        elif name in self.__dict__.get("_modules", ()) and value is None:
            self._modules[name] = None
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table, {})
            if name in found:
                return found[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def _forget(self, name: str) -> bool:
        """Remove what is registered under a name; a new value takes its place at the end."""
        tables = (self._parameters, self._buffers, self._modules)
        found = [table for table in tables if name in table]
        for table in found:
            if table is self._buffers:
                self._transient_buffers.discard(name)
            del table[name]
        self.__dict__.pop(name, None)
        return bool(found)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None reserves the name."""
        self._forget(name)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; part of state_dict if persistent."""
        self._forget(name)
        self._buffers[name] = tensor
        if not persistent:
            self._transient_buffers.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name."""
        self._forget(name)
        self._modules[name] = module

    add_module = register_module

    # --- walks ----------------------------------------------------------------------------------
    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with dotted names."""
        seen: set[int] = set()
        yield from self._walk(prefix, seen)

    def _walk(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Module]]:
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module._walk(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below this one."""
        return ((name, m) for name, m in self._modules.items() if m is not None)

    def children(self) -> Iterator[Module]:
        """The modules right below this one."""
        return (module for _, module in self.named_children())

    def _named(self, table: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix) if recurse else iter([(prefix, self)])
        for path, module in modules:
            for name, tensor in getattr(module, table).items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield f"{path}.{name}" if path else name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with dotted names, each once, in order of assignment."""
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once, in order of assignment."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Buffers with dotted names."""
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Buffers."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def apply(self: _M, fn: Callable[[Module], Any]) -> _M:
        """Call fn on every module below, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # --- modes and conversions ------------------------------------------------------------------
    def train(self: _M, mode: bool = True) -> _M:
        """Training mode (or eval mode) for this module and all below it."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: _M) -> _M:
        """Eval mode: BatchNorm uses its running statistics, dropout does nothing."""
        return self.train(False)

    def requires_grad_(self: _M, requires_grad: bool = True) -> _M:
        """Ask for gradients of all parameters, or stop asking."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zeros."""
        for p in self.parameters():
            if p._grad is not None:
                p._grad = None if set_to_none else p._grad.detach() * 0.0

    def to(self: _M, *args: Any, **kwargs: Any) -> _M:
        """Move to a device and/or convert floating-point tensors to a dtype, in place."""
        for tensor in [*self.parameters(), *self.buffers()]:
            moved = tensor.detach().to(*args, **kwargs)
            if moved.is_floating_point() or tensor.device != moved.device:
                keep = moved if moved.is_floating_point() else moved.to(tensor.dtype)
                tensor.data = keep
        return self

    def float(self: _M) -> _M:
        """float32 parameters and buffers."""
        return self._converted(np.float32)

    def double(self: _M) -> _M:
        """float64 parameters and buffers."""
        return self._converted(np.float64)

    def _converted(self: _M, dtype: Any) -> _M:
        for tensor in [*self.parameters(), *self.buffers()]:
            if tensor.is_floating_point():
                tensor.data = tensor.detach().to(np.dtype(dtype))
        return self

    def cpu(self: _M) -> _M:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self: _M, index: int = 0) -> _M:
        """Move to a GPU."""
        return self.to(f"cuda:{index}")

    # --- hooks ----------------------------------------------------------------------------------
    def register_forward_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call hook(module, args, output) after forward; what it returns replaces the output."""
        return _add_hook(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call hook(module, args) before forward; what it returns replaces the arguments."""
        return _add_hook(self._forward_pre_hooks, hook)

    # --- state ----------------------------------------------------------------------------------
    def state_dict(self, prefix: str = "") -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name; detached, sharing memory."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        self._collect(prefix, state)
        return state

    def _collect(self, prefix: str, state: OrderedDict[str, Tensor]) -> None:
        own = {
            **self._parameters,
            **{k: b for k, b in self._buffers.items() if k not in self._transient_buffers},
        }
        for name, tensor in own.items():
            if tensor is not None:
                state[prefix + name] = tensor.detach()
        for name, module in self.named_children():
            module._collect(f"{prefix}{name}.", state)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values (tensors or arrays) into the tensors of the same names.

        Raises CheckpointError for a wrong shape, and when strict for missing or unexpected
        names; then nothing has been changed.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        if strict and (missing or unexpected):
            parts = [("missing", missing), ("unexpected", unexpected)]
            text = "; ".join(f"{what} {', '.join(keys)}" for what, keys in parts if keys)
            raise CheckpointError(f"{type(self).__name__}: the state does not fit: {text}")
        values = {key: _array(state_dict[key]) for key in own if key in state_dict}
        for key, value in values.items():
            if value.shape != tuple(own[key].shape):
                raise CheckpointError(
                    f"{type(self).__name__}: {key} has shape {value.shape} in the state, "
                    f"{tuple(own[key].shape)} in the module"
                )
        for key, value in values.items():
            own[key].copy_(value)
        return IncompatibleKeys(missing, unexpected)

    # --- text -----------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What the repr shows between the parentheses of a layer."""
        return ""

    def __repr__(self) -> str:
        inner = [f"({name}): {m!r}".replace("\n", "\n  ") for name, m in self._modules.items()]
        extra = self.extra_repr()
        if not inner:
            return f"{type(self).__name__}({extra})"
        lines = [extra] if extra else []
        body = "\n  ".join([*lines, *inner])
        return f"{type(self).__name__}(\n  {body}\n)"


def _add_hook(hooks: dict[int, Any], hook: Callable[..., Any]) -> HookHandle:
    key = max(hooks, default=-1) + 1
    hooks[key] = hook
    return HookHandle(hooks, key)


def _array(value: Any) -> np.ndarray:
    return value._array if isinstance(value, Tensor) else np.asarray(value)
