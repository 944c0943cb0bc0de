"""Functions that make tensors: dtypes, shapes, copies and shared memory, errors."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import minigan as mg
from minigan.errors import ConfigError, DeviceError, DTypeError, MiniganError, ShapeError


# --- tensor(): what comes in decides the dtype ---------------------------------------------------
@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (1, "int64", ()),
        (1.5, "float32", ()),
        (True, "bool", ()),
        ([1, 2], "int64", (2,)),
        ([1, 2.5], "float32", (2,)),
        ([True, False], "bool", (2,)),
        ([[1.0, 2.0, 3.0]], "float32", (1, 3)),
        ((1, (2)), "int64", (2,)),
        ([], "float32", (0,)),
        ([[], []], "float32", (2, 0)),
        (np.float64(2), "float64", ()),
        (np.zeros((2, 3)), "float64", (2, 3)),
        (np.zeros(3, "float16"), "float16", (3,)),
        (np.zeros(3, "uint8"), "uint8", (3,)),
        ([np.float32(1), np.float32(2)], "float32", (2,)),
        ([np.zeros(2), np.ones(2)], "float64", (2, 2)),
        (range(3), "int64", (3,)),
    ],
)
def test_dtype_and_shape(data, dtype: str, shape):
    x = mg.tensor(data)
    assert x.dtype == dtype and x.shape == shape
    np.testing.assert_array_equal(x.numpy(), np.asarray(data))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float16", "float64"])
def test_a_dtype_can_be_asked_for(dtype: str):
    for given in (dtype, np.dtype(dtype), getattr(np, dtype if dtype != "bool" else "bool_")):
        assert mg.tensor([0, 1], dtype=given).dtype == dtype
    assert mg.zeros(2, dtype=dtype).dtype == dtype
    assert mg.tensor(mg.ones(2), dtype=dtype).tolist() == [1, 1]


def test_a_list_of_tensors():
    assert mg.tensor([mg.tensor(1.0), mg.tensor(2.0)]).tolist() == [1, 2]
    assert mg.tensor([mg.tensor([1, 2]), mg.tensor([3, 4])]).tolist() == [[1, 2], [3, 4]]


def test_tensor_copies():
    array = np.zeros(3, "float32")
    source = mg.tensor(array)
    copies = (mg.tensor(array), mg.tensor(source), mg.tensor(array, dtype="float32"))
    array[0] = source.numpy()[0] = 7
    for copy in copies:
        assert copy.tolist() == [0, 0, 0]


def test_a_tensor_made_of_one_in_a_graph_is_a_leaf():
    x = mg.ones(2, requires_grad=True) * 2
    assert mg.tensor(x).is_leaf and not mg.tensor(x).requires_grad


def test_as_tensor_and_from_numpy_share_memory_where_they_can():
    array = np.zeros(3, "float32")
    for make in (mg.as_tensor, mg.from_numpy):
        shared = make(array)
        array[1] += 1
        assert shared.tolist()[1] == array[1]
    tensor = mg.zeros(3)
    assert mg.as_tensor(tensor) is tensor
    assert mg.as_tensor(tensor, dtype="float32", device="cpu") is tensor
    converted = mg.as_tensor(tensor, dtype="float64")
    converted.numpy()[0] = 1
    assert tensor.tolist() == [0, 0, 0]


def test_numpy_and_dlpack_share_memory_too():
    x = mg.zeros(3)
    x.numpy()[0] = 5
    np.asarray(x)[1] = 6
    np.from_dlpack(x)[2] = 7
    assert x.tolist() == [5, 6, 7]
    array = np.zeros(2)
    mg.from_dlpack(array).numpy()[0] = 3
    assert array[0] == 3


def test_torch_tensors_come_in_and_go_out(torch):
    theirs = torch.tensor([1.0, 2.0], requires_grad=True)
    assert mg.tensor(theirs).tolist() == [1, 2]
    shared = mg.from_dlpack(theirs.detach())
    shared.numpy()[0] = 9
    assert theirs[0] == 9
    assert torch.from_dlpack(mg.ones(2)).tolist() == [1, 1]


# --- filled and counted --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "shape"),
    [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), (((2, 3),), (2, 3)), (([2, 3],), (2, 3)),
     (((),), ()), ((0, 2), (0, 2)), ((np.int64(2),), (2,)), ((mg.Size((4, 1)),), (4, 1))],
)  # fmt: skip
def test_sizes(size, shape):
    for make in (mg.zeros, mg.ones, mg.empty, mg.rand, mg.randn):
        assert make(*size).shape == shape
        assert make(*size).dtype == mg.float32


def test_fillings():
    assert mg.zeros(2).tolist() == [0, 0]
    assert mg.ones(2, dtype="int64").tolist() == [1, 1]
    assert mg.full((2,), 3.5).tolist() == [3.5, 3.5]
    assert mg.full(2, 3).dtype == mg.int64
    assert mg.full((2,), 3, dtype="float32").dtype == mg.float32
    assert mg.full((1, 2), mg.tensor(2.0)).tolist() == [[2, 2]]
    assert mg.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert mg.eye(2, dtype="int64").tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "args",
    [(5,), (2, 7), (2, 7, 2), (7, 2, -2), (0,), (3, 3), (0, 1, 0.1), (1.0,), (5.5,), (-1, 1, 0.25)],
)
def test_arange(torch, args):
    ours, theirs = mg.arange(*args), torch.arange(*args)
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)
    assert mg.arange(3, dtype="float64").dtype == mg.float64


@pytest.mark.parametrize("args", [(0, 1, 5), (-2, 2, 4), (3, 1, 3), (0, 1, 1), (0, 1, 0)])
def test_linspace(torch, args):
    np.testing.assert_allclose(mg.linspace(*args).numpy(), torch.linspace(*args).numpy(), 1e-6)


def test_random_functions():
    assert mg.rand(1000).numpy().min() >= 0 and mg.rand(1000).numpy().max() < 1
    for x in (mg.randint(3, (50,)), mg.randint(0, 3, (50,)), mg.randint(3, size=(50,)),
              mg.randint(low=0, high=3, size=50)):  # fmt: skip
        assert x.dtype == mg.int64 and x.shape == (50,)
        assert set(x.tolist()) == {0, 1, 2}
    assert mg.randint(2, (3,), dtype="float32").dtype == mg.float32
    assert sorted(mg.randperm(5).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "rand", "randn", "full", "randint"])
def test_like_another(name: str):
    extra = {"full": (7,), "randint": (4,)}.get(name, ())
    like = getattr(mg, f"{name}_like")
    x = mg.zeros(2, 3, dtype="float64", requires_grad=True)
    y = like(x, *extra)
    assert y.shape == x.shape and y.dtype == x.dtype and y.device == x.device
    assert not y.requires_grad and y.is_leaf
    assert like(x, *extra, dtype="float32").dtype == mg.float32
    assert like(mg.zeros(2, 2).t(), *extra).is_contiguous()
    if name in ("zeros", "ones", "full"):
        assert set(y.numpy().ravel()) == {{"zeros": 0, "ones": 1, "full": 7}[name]}
    if name == "randint":
        assert set(like(mg.zeros(200), 2, 4).tolist()) == {2, 3}


MAKERS = {
    "tensor": lambda **k: mg.tensor([1.0], **k),
    "zeros": lambda **k: mg.zeros(2, **k),
    "ones": lambda **k: mg.ones(2, **k),
    "empty": lambda **k: mg.empty(2, **k),
    "full": lambda **k: mg.full((2,), 1.0, **k),
    "eye": lambda **k: mg.eye(2, **k),
    "arange": lambda **k: mg.arange(3.0, **k),
    "linspace": lambda **k: mg.linspace(0, 1, 3, **k),
    "rand": lambda **k: mg.rand(2, **k),
    "randn": lambda **k: mg.randn(2, **k),
    "zeros_like": lambda **k: mg.zeros_like(mg.zeros(2), **k),
    "full_like": lambda **k: mg.full_like(mg.zeros(2), 3, **k),
    "randn_like": lambda **k: mg.randn_like(mg.zeros(2), **k),
}
UNTRAINED = {
    "as_tensor": lambda **k: mg.as_tensor([1.0], **k),
    "randint": lambda **k: mg.randint(3, (2,), **k),
    "randperm": lambda **k: mg.randperm(3, **k),
}
every_maker = pytest.mark.parametrize(
    "make", [*MAKERS.values(), *UNTRAINED.values()], ids=[*MAKERS, *UNTRAINED]
)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_requires_grad(make):
    x = make(requires_grad=True)
    assert x.requires_grad and x.is_leaf and x.grad is None
    assert not make().requires_grad
    (x * 2).sum().backward()
    assert set(x.grad.numpy().ravel()) == {2}
    with pytest.raises(DTypeError, match="floating-point"):
        make(requires_grad=True, dtype="int64")


# --- devices --------------------------------------------------------------------------------------
@every_maker
def test_devices(make):
    for device in (None, "cpu", "cpu:0", mg.device("cpu")):
        assert make(device=device).device == "cpu"
    with pytest.raises(DeviceError, match="unknown device 'gpu': use 'cpu', 'cuda'"):
        make(device="gpu")


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
@every_maker
def test_cuda_without_cupy_says_what_to_install(make):
    with pytest.raises(DeviceError, match=r"'cuda:1' needs CuPy: pip install 'minigan\[cuda") as e:
        make(device="cuda:1")
    assert "\n" not in str(e.value)


# --- errors ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("run", "error", "says"),
    [
        (lambda: mg.tensor([[1, 2], [3]]), ShapeError, "same length"),
        (lambda: mg.tensor([1, [2, 3]]), ShapeError, "same length"),
        (lambda: mg.tensor("text"), DTypeError, "str"),
        (lambda: mg.tensor(None), DTypeError, "NoneType"),
        (lambda: mg.tensor([1, None]), DTypeError, "list"),
        (lambda: mg.tensor(1j), DTypeError, "complex"),
        (lambda: mg.tensor({1, 2}), DTypeError, "set"),
        (lambda: mg.tensor(["1.5"], dtype="float32"), DTypeError, "list"),
        (lambda: mg.tensor([1], dtype="complex64"), DTypeError, "not supported"),
        (lambda: mg.tensor([1], dtype=">f4"), DTypeError, "native"),
        (lambda: mg.zeros(2, dtype="banana"), DTypeError, "'banana'"),
        (lambda: mg.zeros(2, dtype="str"), DTypeError, "not supported"),
        (lambda: mg.from_numpy([1]), DTypeError, "list"),
        (lambda: mg.from_numpy(np.array(["a"])), DTypeError, "not supported"),
        (lambda: mg.zeros(-1), ShapeError, "negative"),
        (lambda: mg.zeros(2, -1), ShapeError, r"\(2, -1\)"),
        (lambda: mg.zeros(2.5), ShapeError, "ints"),
        (lambda: mg.zeros("ab"), ShapeError, "ints"),
        (lambda: mg.full((2,), [1, 2]), ShapeError, r"\(2,\)"),
        (lambda: mg.eye(-1), ShapeError, "negative"),
        (lambda: mg.arange(0, 5, 0), ConfigError, "step of 0"),
        (lambda: mg.arange(0, 5, -1), ConfigError, "step of -1"),
        (lambda: mg.linspace(0, 1, -1), ShapeError, "negative"),
        (lambda: mg.randint(3), ConfigError, "randint"),
        (lambda: mg.randint(3, 3, (2,)), ConfigError, "0 values"),
        (lambda: mg.randperm(-1), ShapeError, "negative"),
    ],
)
def test_misuse_is_said_in_one_line(run, error, says):
    with pytest.raises(error, match=says) as caught:
        run()
    assert isinstance(caught.value, MiniganError)
    assert "\n" not in str(caught.value)
