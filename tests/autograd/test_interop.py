"""Out of minigan and back: NumPy, the array interface, DLPack, Python's own protocols."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import minigan as mg
from minigan.errors import DTypeError, GradError, ShapeError


# --- NumPy ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "uint8"])
def test_numpy_shares_memory_and_keeps_the_dtype(dtype):
    x = mg.ones(2, 3, dtype=dtype)
    for array in (x.numpy(), np.asarray(x), np.asarray(x.T).T):
        assert array.dtype == dtype and np.shares_memory(array, x.numpy())
    array = np.zeros((2, 2), dtype)
    t = mg.from_numpy(array)
    t[0, 0] = 1
    assert array[0, 0] == 1


def test_asarray_converts_and_copies_when_asked():
    x = mg.ones(2)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(x), x.numpy())
    with pytest.raises(ValueError):
        np.asarray(x, dtype=np.float64, copy=False)


def test_the_array_interface():
    class Holder:
        """Has nothing but the interface."""

        def __init__(self, tensor):
            self.__array_interface__ = tensor.__array_interface__
            self.tensor = tensor

    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    array = np.asarray(Holder(x.T))
    assert array.tolist() == [[1.0, 3.0], [2.0, 4.0]] and np.shares_memory(array, x.numpy())
    assert not hasattr(x, "__cuda_array_interface__")


def test_a_tensor_with_a_graph_says_detach():
    x = mg.ones(2, requires_grad=True)
    for convert in (np.asarray, lambda t: t.numpy(), lambda t: t.__dlpack__()):
        with pytest.raises(GradError, match="would lose the graph: use .detach"):
            convert(x)
    assert np.asarray(x.detach()).tolist() == [1.0, 1.0]
    assert (x * 2.0).tolist() == [2.0, 2.0] and x.sum().item() == 2.0


@pytest.mark.parametrize("operation", [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b,
    lambda a, b: a**b, lambda a, b: a @ b.T if hasattr(b, "T") else a @ b,
    lambda a, b: a == b, lambda a, b: a < b, lambda a, b: a >= b,
])  # fmt: skip
def test_an_array_on_the_left(operation):
    """NumPy hands the operation over, instead of looping over elements into an object array."""
    left = np.array([[1.0, 2.0], [3.0, 4.0]])
    right = np.array([[2.0, 2.0], [1.0, 0.5]])
    result = operation(left, mg.tensor(right))
    assert isinstance(result, mg.Tensor)
    np.testing.assert_allclose(result.numpy(), operation(left, right))


@pytest.mark.parametrize("number", [np.float32(2.0), np.float64(2.0), np.int64(2)])
def test_a_numpy_number_on_the_left(number):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = number * x + number
    assert isinstance(y, mg.Tensor) and y.requires_grad and y.dtype == np.float32
    assert y.tolist() == [4.0, 6.0]


def test_an_array_in_an_expression_keeps_the_gradient():
    x = mg.ones(2, dtype="float64", requires_grad=True)
    (np.array([3.0, 5.0]) * x).sum().backward()
    assert x.grad.tolist() == [3.0, 5.0]


def test_numpy_functions_refuse_instead_of_losing_the_graph():
    with pytest.raises(TypeError, match="__array_ufunc__"):
        np.exp(mg.ones(2, requires_grad=True))


# --- DLPack ---------------------------------------------------------------------------------------
def test_dlpack_with_numpy_both_ways():
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    array = np.from_dlpack(x.T)
    assert array.tolist() == [[1.0, 3.0], [2.0, 4.0]] and np.shares_memory(array, x.numpy())
    source = np.arange(6.0).reshape(2, 3)
    t = mg.from_dlpack(source)
    assert np.shares_memory(t.numpy(), source) and t.dtype == np.float64


def test_dlpack_with_torch_both_ways(torch):
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    there = torch.from_dlpack(x)
    there[0, 0] = 9.0
    assert x[0, 0].item() == 9.0, "the same memory"
    source = torch.arange(6, dtype=torch.float64).reshape(2, 3).T
    back = mg.from_dlpack(source)
    source[0, 1] = -1.0
    assert tuple(back.shape) == (3, 2) and back[0, 1].item() == -1.0


def test_tensor_from_torch(torch):
    t = mg.tensor(torch.ones(2, 2, dtype=torch.float64, requires_grad=True))
    assert t.dtype == np.float64 and t.is_leaf and not t.requires_grad


# --- Python ---------------------------------------------------------------------------------------
def test_numbers():
    x = mg.tensor(2.5)
    assert (float(x), int(x), x.item()) == (2.5, 2, 2.5)
    assert math.sqrt(mg.tensor([4.0])) == 2.0
    assert [10, 20, 30][mg.tensor(1)] == 20 and list(range(mg.tensor(3))) == [0, 1, 2]
    with pytest.raises(DTypeError, match="only integer tensors can index"):
        [1, 2][mg.tensor(1.0)]
    with pytest.raises(ShapeError, match="one element"):
        float(mg.ones(2))


def test_iteration_unpacking_and_length():
    a, b = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert a.tolist() == [1.0, 2.0] and b.tolist() == [3.0, 4.0]
    assert len(mg.ones(3, 2)) == 3
    x = mg.ones(2, requires_grad=True)
    sum(x).backward()  # rows of a tensor with a graph are in the graph
    assert x.grad.tolist() == [1.0, 1.0]


def test_shapes_are_tuples():
    x = mg.ones(2, 3)
    assert x.shape == (2, 3) and x.size() == (2, 3) and x.size(-1) == 3
    assert x.shape.numel() == x.numel() == 6 and x.ndim == x.dim() == 2
    n, c = x.shape
    assert (n, c) == (2, 3) and repr(x.shape) == "Size([2, 3])"


def test_deepcopy():
    x = mg.ones(2, requires_grad=True)
    x.grad = mg.ones(2)
    twin = copy.deepcopy(x)
    assert twin.requires_grad and twin.grad is None
    assert not np.shares_memory(twin.detach().numpy(), x.detach().numpy())
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    with pytest.raises(GradError, match="only leaf tensors can be deep-copied"):
        copy.deepcopy(x * 2.0)


def test_representation():
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(mg.ones(1, dtype="float64")) == "tensor([1.], dtype=float64)"
    x = mg.ones(1, requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2.0) == "tensor([2.], grad_fn=<Mul>)"


def test_data():
    x = mg.ones(2, requires_grad=True)
    x.data.mul_(3.0)
    assert x.tolist() == [3.0, 3.0] and x.requires_grad
    x.data = mg.zeros(2)
    assert x.tolist() == [0.0, 0.0] and x.requires_grad and x.is_leaf
    with pytest.raises(ShapeError, match="shape"):
        x.data = mg.zeros(3)
