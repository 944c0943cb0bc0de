"""The backward engine, and the two ways to a gradient: `backward` and `grad`.

The graph is walked by decreasing creation number, which is a topological order because an
operation is always younger than its inputs. It is a loop over a heap, never a recursion, so a
chain of any length can be differentiated. Nothing here knows a single derivative.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigan.autograd.function import Function
from minigan.autograd.modes import set_grad_enabled
from minigan.backends import kernels_for
from minigan.errors import DeviceError, DTypeError, GradError, ShapeError
from minigan.tensor import Tensor

Edge = Function | Tensor  # where a gradient goes: to an operation, or to a leaf


class _Gradients:
    """The gradients that have arrived at each edge so far, and the operations to visit next."""

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}
        self.aliased: set[int] = set()  # keys whose sum may share memory with another gradient
        self.owned: set[int] = set()  # keys whose sum is memory that nobody else can know of
        self.leaves: dict[int, Tensor] = {}
        self.queue: list[tuple[int, Function]] = []

    def add(self, edge: Edge, grad: Tensor, aliased: bool, owned: bool = False) -> None:
        key = id(edge)
        if key in self.sums:
            total = self.sums[key]
            if key in self.owned and _same_kind(total._array, grad._array):
                kernels_for(total._array).add_to(total._array, grad._array)
                return
            self.sums[key] = total + grad
            self.aliased.discard(key)
            return
        self.sums[key] = grad
        if aliased:
            self.aliased.add(key)
        elif owned:
            self.owned.add(key)
        if isinstance(edge, Function):
            heapq.heappush(self.queue, (-edge.number, edge))
        else:
            self.leaves[key] = edge

    def total(self, edge: Edge | None) -> Any:
        """The array of the sum so far, where a rule may add to it."""
        key = id(edge)
        return self.sums[key]._array if key in self.owned and key in self.sums else None

    def take(self, edge: Edge) -> Tensor:
        """The complete gradient at an edge, after its hooks."""
        grad = self.sums.pop(id(edge))
        if not edge._hooks:
            return grad
        for hook in list(edge._hooks.values()):
            replaced = hook(grad)
            if replaced is None:
                continue
            if replaced.shape != grad.shape:
                raise ShapeError(
                    f"a gradient hook returned shape {tuple(replaced.shape)} for a gradient of "
                    f"shape {tuple(grad.shape)}"
                )
            grad = replaced
        return grad


def _same_kind(a: Any, b: Any) -> bool:
    """Whether b can be added to a in place: NumPy's numbers are no arrays, and never change."""
    return type(a) is type(b) and a.ndim > 0 and a.shape == b.shape and a.dtype == b.dtype


def _alone(array: Any, known: list[Any], makes_new: bool) -> bool:
    """Whether nothing else lies in a gradient's memory.

    `known` are the gradient that it was made from and all that were made with it. A rule that
    makes new arrays may return views of them, broadcast ones too; another's may be of anything.
    """
    if array.base is not None and not (makes_new and _writeable(array.flags)):
        return False
    others = [other for other in known if other is not array]
    if len(others) + 1 < len(known):
        return False  # the same array twice
    may_share = kernels_for(array).xp.may_share_memory
    return not any(
        (array.base is not None or other.base is not None)
        and type(other) is type(array)  # on one device
        and may_share(array, other)
        for other in others
    )


def _writeable(flags: Any) -> bool:
    """Whether each element has memory of its own; NumPy's broadcast arrays are read-only."""
    return flags.c_contiguous and getattr(flags, "writeable", True)


def _on_the_way(roots: Sequence[Edge], targets: set[int]) -> set[int]:
    """Keys of the edges from which one of `targets` can be reached, targets included."""
    nodes: dict[int, Function] = {}
    stack = [edge for edge in roots if isinstance(edge, Function)]
    while stack:
        node = stack.pop()
        if id(node) not in nodes:
            nodes[id(node)] = node
            stack.extend(edge for edge in node.edges if isinstance(edge, Function))
    found = set(targets)
    for node in sorted(nodes.values(), key=lambda node: node.number):
        if any(id(edge) in found for edge in node.edges):
            found.add(id(node))
    return found


def _apply_rule(node: Function, grad: Tensor, recorded: bool) -> tuple[Tensor | None, ...]:
    if node.backward_arrays is not None and not recorded:
        arrays = node.backward_arrays(grad._array)
        arrays = arrays if isinstance(arrays, tuple) else (arrays,)
        result = tuple([None if a is None else Tensor._wrap(a) for a in arrays])
    else:
        result = node.backward(grad)
        result = result if isinstance(result, tuple) else (result,)
    if len(result) != len(node.edges):
        raise GradError(
            f"{node.name}: its backward returned {len(result)} gradients "
            f"for {len(node.edges)} inputs"
        )
    if node.called_at and any(g is not None and np.isnan(g._array).any() for g in result):
        raise GradError(
            f"{node.name}: its backward returned NaN; it was called here:\n{node.called_at}"
        )
    return result


def _fill_retained(node: Function, grad: Tensor) -> None:
    """`.grad` of the node's output, where retain_grad() asked for it."""
    output = None if node._retained is None else node._retained()
    if output is not None and output._grad is not None:
        output._grad = output._grad + grad
    elif output is not None:  # what flows on may become the .grad of others too
        output._grad = grad if grad.requires_grad else Tensor._wrap(grad._array.copy())


def _walk(
    roots: Sequence[tuple[Edge, Tensor]],
    retain_graph: bool,
    create_graph: bool,
    targets: set[int] | None = None,
) -> tuple[_Gradients, dict[int, Tensor]]:
    """Carry gradients from `roots` to all leaves, or only towards `targets` when given."""
    way = None if targets is None else _on_the_way([edge for edge, _ in roots], targets)
    grads = _Gradients()
    found: dict[int, Tensor] = {}
    with set_grad_enabled(create_graph):
        for edge, grad in roots:
            if way is None or id(edge) in way:
                grads.add(edge, grad, aliased=True)
        while grads.queue:
            node = heapq.heappop(grads.queue)[1]
            grad = grads.take(node)
            if targets is None:
                _fill_retained(node, grad)
            elif id(node) in targets:
                found[id(node)] = grad
            node.needs = tuple(
                [edge is not None and (way is None or id(edge) in way) for edge in node.edges]
            )
            if True not in node.needs:
                continue
            totals: tuple[Any, ...] = (None,) * len(node.edges)
            if node.backward_arrays is not None and not create_graph:
                wanted = zip(node.edges, node.needs, strict=True)
                totals = tuple([grads.total(e) if need else None for e, need in wanted])
            node.totals = totals
            results = _apply_rule(node, grad, create_graph)
            node.totals = ()
            makes_new = not create_graph and (node.makes_new or node.backward_arrays is not None)
            known = [grad._array, *(r._array for r in results if r is not None)]
            for target, need, total, result in zip(
                node.edges, node.needs, totals, results, strict=True
            ):
                if total is not None and result is not None and result._array is total:
                    continue  # the rule has added to it
                if target is not None and need and result is not None:
                    alone = _alone(result._array, known, makes_new)
                    grads.add(target, result, not alone, owned=alone and makes_new)
            if not retain_graph:
                node.free()
    return grads, found


def _seed(output: Tensor, grad: Tensor | None) -> Tensor:
    """The gradient to start from, checked against the output."""
    if not output.requires_grad:
        raise GradError(
            "the tensor to differentiate does not require a gradient: no tensor that it was "
            "computed from has requires_grad=True"
        )
    if grad is None:
        if output.numel() != 1:
            raise GradError(
                "only a scalar can be differentiated without a gradient to start from; this "
                f"tensor has shape {tuple(output.shape)}: reduce it, or pass its gradient"
            )
        return Tensor._wrap(kernels_for(output._array).xp.ones_like(output._array))
    if grad.shape != output.shape:
        raise ShapeError(
            f"the gradient has shape {tuple(grad.shape)}, the tensor {tuple(output.shape)}"
        )
    if grad.dtype != output.dtype:
        raise DTypeError(
            f"the gradient is {grad.dtype}, the tensor {output.dtype}: convert it with .to()"
        )
    if grad.device != output.device:
        raise DeviceError(f"the gradient is on {grad.device}, the tensor on {output.device}")
    return grad


def backward(
    output: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add d(output)/d(leaf) to `.grad` of every leaf that requires a gradient."""
    seed = _seed(output, gradient)
    keep = create_graph if retain_graph is None else retain_graph
    grads, _ = _walk([(output._grad_fn or output, seed)], keep, create_graph)
    with set_grad_enabled(create_graph):
        for key, leaf in grads.leaves.items():
            grad = grads.take(leaf)
            _check_shape(grad, leaf)
            if leaf._grad is not None:
                leaf._grad = leaf._grad + grad
            elif (key in grads.aliased or leaf._hooks) and not create_graph:
                leaf._grad = Tensor._wrap(grad._array.copy())
            else:
                leaf._grad = grad


def _check_shape(grad: Tensor, tensor: Tensor) -> None:
    if grad.shape != tensor.shape:
        raise ShapeError(
            f"a backward rule gave a gradient of shape {tuple(grad.shape)} for a tensor of shape "
            f"{tuple(tensor.shape)}: it must sum over what the forward has broadcast"
        )


def _listed(value: Any) -> list[Any]:
    return [value] if value is None or isinstance(value, Tensor) else list(value)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`; touches no `.grad`.

    Only what lies between outputs and inputs is computed. An input that takes no part is an
    error, or None with `allow_unused=True`.
    """
    outs, ins, seeds = _listed(outputs), _listed(inputs), _listed(grad_outputs)
    seeds = seeds * len(outs) if grad_outputs is None else seeds
    if len(seeds) != len(outs):
        raise GradError(f"{len(outs)} outputs need as many grad_outputs; got {len(seeds)}")
    for i, tensor in enumerate(ins):
        if not tensor.requires_grad:
            raise GradError(
                f"input {i} of shape {tuple(tensor.shape)} does not require a gradient: "
                "set requires_grad=True before the computation"
            )
    edges = [tensor._grad_fn or tensor for tensor in ins]
    roots = [(o._grad_fn or o, _seed(o, seed)) for o, seed in zip(outs, seeds, strict=True)]
    keep = create_graph if retain_graph is None else retain_graph
    grads, found = _walk(roots, keep, create_graph, {id(edge) for edge in edges})
    with set_grad_enabled(create_graph):
        found.update({key: grads.take(leaf) for key, leaf in grads.leaves.items()})
    result = tuple(found.get(id(edge)) for edge in edges)
    for i, value in enumerate(result):
        if value is None and not allow_unused:
            raise GradError(
                f"input {i} of shape {tuple(ins[i].shape)} was not used to compute the outputs: "
                "pass allow_unused=True to get None for it"
            )
        if value is not None:
            _check_shape(value, ins[i])
    return result
