"""Tensors on a GPU, the stand-in's: where they live, how they move, and what is refused."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan import backends, nn, optim
from minigan.backends import cuda, reference
from minigan.backends.cuda import launch
from minigan.errors import DeviceError
from minigan.nn import functional as F
from tests.cuda_on_cpu import fake_cupy

FIVE = np.arange(5, dtype=np.float32)


def on_gpu(values, **kwargs):
    return mg.tensor(values, device="cuda", **kwargs)


def test_where_a_tensor_lives(gpu):
    x = mg.tensor([1.0, 2.0], device="cuda:1")
    assert x.device == "cuda:1" and x.device == mg.device("cuda:1")
    assert repr(x) == "tensor([1., 2.], device='cuda:1')"
    assert x.tolist() == [1.0, 2.0] and x[1].item() == 2.0 and float(x[0]) == 1.0
    assert mg.zeros(2, device="cuda").device == "cuda:0"
    np.testing.assert_array_equal(x.numpy(), [1, 2])
    np.testing.assert_array_equal(np.asarray(x), [1, 2])
    assert (x * 2).sum().device == "cuda:1"


def test_moving_is_differentiable(gpu):
    x = mg.tensor(FIVE, requires_grad=True)
    y = x.to("cuda")
    assert y.device == "cuda:0" and y.to("cuda:0") is y
    (y * y).cuda(1).cpu().sum().backward()
    assert x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), 2 * FIVE)
    assert x.to("cuda", mg.float64).dtype == np.float64


def test_second_order_across_devices(gpu):
    x = mg.tensor(FIVE, requires_grad=True)
    (slope,) = mg.autograd.grad((x.cuda() ** 3).sum(), x, create_graph=True)
    (curvature,) = mg.autograd.grad(slope.sum(), x)
    np.testing.assert_allclose(curvature.numpy(), 6 * FIVE)


def test_operands_on_two_devices_are_an_error_that_names_both(gpu):
    x, y, z = mg.ones(3, device="cuda"), mg.ones(3), mg.ones(3, device="cuda:1")
    rows, labels = mg.arange(3), mg.arange(3)
    for mixed in (
        lambda: x + y,
        lambda: y * x,
        lambda: x + z,
        lambda: x < y,
        lambda: mg.where(x > 0, y, y),
        lambda: x[rows],
        lambda: x.index_select(0, rows),
        lambda: x.gather(0, rows),
        lambda: F.embedding(rows, x.reshape(3, 1)),
        lambda: F.cross_entropy(mg.ones(3, 4, device="cuda"), labels),
    ):
        with pytest.raises(DeviceError, match=r"cuda:0.*cpu|cpu.*cuda:0|cuda:0.*cuda:1"):
            mixed()


def test_making_tensors(gpu):
    device = "cuda"
    for make in (
        lambda **kw: mg.arange(2, 8, 2, **kw),
        lambda **kw: mg.arange(0.0, 1.0, 0.25, **kw),
        lambda **kw: mg.linspace(0, 1, 5, **kw),
        lambda **kw: mg.full((2, 3), 7, **kw),
        lambda **kw: mg.eye(2, 3, **kw),
        lambda **kw: mg.ones_like(mg.zeros(2, 2, **kw)),
        lambda **kw: mg.as_tensor([[1, 2]], **kw),
        lambda **kw: mg.tensor(mg.ones(3, **kw), dtype="float64"),
    ):
        there, here = make(device=device), make(device="cpu")
        assert there.device == "cuda:0" and there.dtype == here.dtype
        np.testing.assert_array_equal(there.numpy(), here.numpy())


@pytest.mark.parametrize(
    "draw",
    [
        lambda **kw: mg.rand(3, 5, **kw),
        lambda **kw: mg.randint(0, 10, (7,), **kw),
        lambda **kw: mg.randperm(9, **kw),
        lambda **kw: mg.rand(3, dtype="float64", **kw),
    ],
)
def test_random_numbers_are_those_of_the_cpu(gpu, draw):
    there, here = (draw(device=d, generator=mg.Generator(3)) for d in ("cuda", "cpu"))
    np.testing.assert_array_equal(there.numpy(), here.numpy())
    assert there.device == "cuda:0"


def test_changes_in_place(gpu):
    x = mg.zeros(2, 3, device="cuda")
    x[0] = [1.0, 2.0, 3.0]
    x[:, 2] = np.float32([7, 8])
    x[1, :2].copy_(mg.ones(2))  # from the host, as in PyTorch
    np.testing.assert_array_equal(x.numpy(), [[1, 2, 7], [1, 1, 8]])
    x.fill_(2.0).mul_(3.0).clamp_(max=5.0)
    assert x.numpy().max() == 5


def test_indexing_with_lists_and_host_arrays(gpu):
    x = on_gpu(FIVE)
    np.testing.assert_array_equal(x[[0, 3]].numpy(), [0, 3])
    np.testing.assert_array_equal(x[np.array([4, 4])].numpy(), [4, 4])
    np.testing.assert_array_equal(x[x > 2].numpy(), [3, 4])


def test_a_module_and_its_optimiser_move(gpu):
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()).to("cuda")
    assert {t.device for t in net.state_dict().values()} == {mg.device("cuda")}
    adam = optim.Adam(net.parameters())
    net(mg.ones(5, 4, device="cuda")).sum().backward()
    adam.step()
    moments = next(iter(adam.state.values()))
    assert moments["exp_avg"].device == "cuda:0"
    state = copy.deepcopy(net).cpu().state_dict()
    assert all(value.device == "cpu" for value in state.values())
    net.load_state_dict({key: value.numpy() for key, value in state.items()})
    assert net[0].weight.device == "cuda:0"


def test_dlpack_and_the_cuda_array_interface_share_memory(gpu):
    x = on_gpu(FIVE)
    shared = mg.from_dlpack(x)
    shared[0] = 9.0
    assert x[0].item() == 9.0 and shared.device == "cuda:0"
    assert x.__cuda_array_interface__["data"][0] == x._array.data.ptr
    assert not hasattr(x, "__array_interface__")


def test_the_current_gpu_follows_the_operands(gpu):
    first, second = mg.ones(2, device="cuda:0"), mg.ones(2, device="cuda:1")
    assert [(first + first).device.index, (second * 2).device.index] == [0, 1]
    assert (first - 1).device == "cuda:0" and second.exp().device == "cuda:1"


def test_a_gpu_that_is_not_there(gpu):
    with pytest.raises(DeviceError, match="'cuda:2': there are only cuda:0 to cuda:1"):
        mg.zeros(1, device="cuda:2")


def test_cupy_without_a_gpu(gpu, monkeypatch):
    monkeypatch.setattr(fake_cupy.cupy, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="finds no GPU that it can use: see whether nvidia-smi"):
        mg.zeros(1, device="cuda")


def test_cupy_that_cannot_be_imported(gpu, monkeypatch):
    def broken():
        raise ImportError("libcuda.so is missing")

    monkeypatch.setattr(launch, "launcher", broken)
    with pytest.raises(DeviceError, match="cannot be imported: libcuda.so is missing"):
        mg.zeros(1, device="cuda")


def test_kernels_of_a_gpu_array_are_the_cuda_backends(gpu):
    kernels = backends.kernels_for(mg.ones(1, device="cuda")._array)
    assert kernels.name == "cuda" and kernels.conv2d is cuda.conv2d
    assert backends.kernels_for(np.ones(1)).name != "cuda"
    assert vars(kernels)["tanh"] is not reference.tanh


# --- the stand-in itself ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: np.asarray(x),
        lambda x: x + FIVE,
        lambda x: FIVE + x,
        lambda x: fake_cupy.cupy.concatenate([x, FIVE]),
        lambda x: fake_cupy.cupy.where(x > 0, x, FIVE),
        lambda x: x.__setitem__(Ellipsis, FIVE),
        lambda x: x[[0, 1]],
        lambda x: x.set(FIVE.astype(np.float64)),
    ],
)
def test_the_stand_in_refuses_what_cupy_refuses(gpu, mistake):
    with pytest.raises((TypeError, ValueError, IndexError)):
        mistake(on_gpu(FIVE)._array)
