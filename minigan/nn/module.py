"""Module: a function with parameters, and the tree of modules that it is made of.

The file is long because PyTorch's Module is one class, and users expect all of it here. Saving
and loading stand in state.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from minigan.device import Device, device
from minigan.errors import ConfigError, DTypeError, ShapeError
from minigan.nn.parameter import Parameter
from minigan.nn.state import LoadResult, StateDict, collect_state, load_state
from minigan.tensor import HookHandle, Tensor

Self = TypeVar("Self", bound="Module")


class Module:
    """Base of all layers and networks.

    Subclasses call `super().__init__()`, set parameters and submodules as attributes and define
    `forward`. Attributes that are a Parameter, a Module or (by register_buffer) a buffer are found
    by `parameters()`, `state_dict()`, `to()` and the rest, in the order in which they were set.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: dict[str, None]  # buffers that are not saved; a dict keeps the order
    _forward_hooks: dict[int, Callable[..., Any]]
    _forward_pre_hooks: dict[int, Callable[..., Any]]

    def __init__(self) -> None:
        tables = ("_parameters", "_buffers", "_modules", "_transient",
                  "_forward_hooks", "_forward_pre_hooks")  # fmt: skip
        for table in tables:
            object.__setattr__(self, table, {})
        object.__setattr__(self, "training", True)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; each subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(): add one")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for pre_hook in list(self._forward_pre_hooks.values()):
            changed = pre_hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks.values()):
            changed = hook(self, args, output)
            output = output if changed is None else changed
        return output

    # --- attributes -----------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        kind = Parameter if isinstance(value, Parameter) else Module
        if isinstance(value, Parameter | Module):
            if "_parameters" not in tables:
                raise ConfigError(
                    f"{type(self).__name__}: self.{name} is set before super().__init__() was "
                    "called: call it first"
                )
            owner = "_parameters" if kind is Parameter else "_modules"
            self._forget(name, keep=owner)
            tables[owner][name] = value
            return
        for owner, expected in (("_parameters", "a Parameter"), ("_modules", "a Module"),
                                ("_buffers", "a Tensor")):  # fmt: skip
            if name in tables.get(owner, ()):
                if value is not None and not (owner == "_buffers" and isinstance(value, Tensor)):
                    raise DTypeError(
                        f"{type(self).__name__}.{name} must be {expected} or None, "
                        f"got {type(value).__name__}"
                    )
                tables[owner][name] = value
                return
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for owner in ("_parameters", "_buffers", "_modules"):
            table = self.__dict__.get(owner, {})
            if name in table:
                return table[name]
        hint = "" if "_modules" in self.__dict__ else ": super().__init__() was not called yet"
        raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'{hint}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _forget(self, name: str, keep: str = "") -> bool:
        """Take `name` out of every table but `keep`; says whether it was in one."""
        found = False
        for owner in ("_parameters", "_buffers", "_modules", "_transient"):
            if owner != keep and name in self.__dict__.get(owner, ()):
                del self.__dict__[owner][name]
                found = True
        if keep:  # what takes the name over must not be hidden by a plain attribute
            self.__dict__.pop(name, None)
        return found

    def __dir__(self) -> list[str]:
        tables = (self._parameters, self._buffers, self._modules)
        return sorted({*super().__dir__(), *(name for table in tables for name in table)})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or None for a parameter that this module goes without."""
        self._check_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"register_parameter {name!r}: needs a Parameter or None, "
                             f"got {type(param).__name__}")  # fmt: skip
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained; saved if `persistent`."""
        self._check_name(name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise DTypeError(f"register_buffer {name!r}: needs a Tensor or None, "
                             f"got {type(tensor).__name__}")  # fmt: skip
        self._buffers[name] = tensor
        if persistent:
            self._transient.pop(name, None)
        else:
            self._transient[name] = None

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule, or None."""
        self._check_name(name)
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"register_module {name!r}: needs a Module or None, "
                             f"got {type(module).__name__}")  # fmt: skip
        self._modules[name] = module

    add_module = register_module

    def _check_name(self, name: str) -> None:
        if "_parameters" not in self.__dict__:
            raise ConfigError(f"{type(self).__name__}: {name!r} is registered before "
                              "super().__init__() was called: call it first")  # fmt: skip
        tables = (self._parameters, self._buffers, self._modules)
        taken = hasattr(self, name) and not any(name in table for table in tables)
        if not isinstance(name, str) or not name or "." in name or taken:
            raise ConfigError(f"{type(self).__name__}: {name!r} cannot name a parameter, buffer or "
                              "module: it is taken, empty or contains a dot")  # fmt: skip

    # --- the tree -------------------------------------------------------------------------------
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct submodules, each module once."""
        seen: dict[int, None] = {}
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen[id(module)] = None
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: dict[int, None] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module ("") and everything below it, depth first."""
        memo = {} if memo is None else memo
        if remove_duplicate and id(self) in memo:
            return
        memo[id(self)] = None
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and everything below it, each module once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: dict[int, None] = {}
        own = [(prefix, self)]
        owners = self.named_modules(None, prefix, remove_duplicate) if recurse else own
        for path, module in owners:
            for name, tensor in module.__dict__[table].items():
                if tensor is None or (remove_duplicate and id(tensor) in seen):
                    continue
                seen[id(tensor)] = None
                yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter), a shared parameter once."""
        return self._named_tensors("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, for an optimiser."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer), a shared buffer once."""
        return self._named_tensors("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers: running statistics and the like."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call fn on every module of the tree, children before their parent."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # --- modes, gradients, placement ------------------------------------------------------------
    def train(self: Self, mode: bool = True) -> Self:
        """Training mode for the whole tree: batch statistics, dropout."""
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode for the whole tree: running statistics, no dropout."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Whether the parameters ask for gradients."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad = param.grad.detach() * 0

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device and/or convert to a floating-point dtype, in place.

        As Tensor.to: `to("cuda")`, `to(minigan.float64)`, `to(device=..., dtype=...)`. Integer
        buffers keep their dtype; parameters stay the same objects.
        """
        tensors = [*self.parameters(), *self.buffers()]
        for tensor in tensors + [t.grad for t in tensors if t.grad is not None]:
            moved = tensor.detach().to(*args, **kwargs)
            if moved.is_floating_point() != tensor.is_floating_point():
                if tensor.is_floating_point():
                    raise DTypeError(f"a module holds floating-point parameters; got {moved.dtype}")
                moved = tensor.detach().to(moved.device)
            tensor.data = moved
        return self

    def float(self: Self) -> Self:
        """Convert to float32."""
        return self.to("float32")

    def double(self: Self) -> Self:
        """Convert to float64."""
        return self.to("float64")

    def cpu(self: Self) -> Self:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self: Self, index: int | str | Device = 0) -> Self:
        """Move to a GPU."""
        return self.to(device(f"cuda:{index}" if isinstance(index, int) else index))

    # --- hooks ----------------------------------------------------------------------------------
    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call hook(module, args) before forward; what it returns replaces the arguments."""
        return _add_hook(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call hook(module, args, output) after forward; what it returns replaces the output."""
        return _add_hook(self._forward_hooks, hook)

    # --- state ----------------------------------------------------------------------------------
    def state_dict(
        self, destination: StateDict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> StateDict:
        """{dotted name: tensor} of all parameters and saved buffers, with PyTorch's key names.

        The tensors are detached and share memory with the module; `keep_vars` gives them as they
        are.
        """
        return collect_state(self, {} if destination is None else destination, prefix, keep_vars)

    def load_state_dict(self, state_dict: StateDict, strict: bool = True) -> LoadResult:
        """Copy values (tensors, NumPy arrays or torch tensors) into parameters and buffers.

        Returns the missing and the unexpected keys; with `strict` any of these is an error, and a
        wrong shape always is. A CheckpointError leaves the module as it was.
        """
        return load_state(self, state_dict, strict)

    # --- representation -------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What stands in the parentheses of repr(): the arguments of a layer."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if not self._modules:
            body = lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
            return f"{self._get_name()}({body}{chr(10) if len(lines) > 1 else ''})"
        for name, module in self._modules.items():
            lines += f"({name}): {module!r}".split("\n")
        return f"{self._get_name()}(\n" + "\n".join(f"  {line}" for line in lines) + "\n)"


def _add_hook(hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> HookHandle:
    key = max(hooks, default=-1) + 1
    hooks[key] = hook
    return HookHandle(hooks, key)


def require_input(layer: Module, x: Any, fits: Callable[[Any], bool], expected: str) -> None:
    """Raise an error that names the layer unless x is a Tensor that fits.

    `expected` describes the shape, for example "[N, 3, H, W]".
    """
    if not isinstance(x, Tensor):
        raise DTypeError(f"{layer!r}: the input is a {type(x).__name__}, not a Tensor: "
                         "use minigan.tensor(...)")  # fmt: skip
    if not fits(x.shape):
        raise ShapeError(f"{layer!r}: input of shape {tuple(x.shape)}; expected {expected}")
