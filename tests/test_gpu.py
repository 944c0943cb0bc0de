"""On a real GPU: pytest -m cuda. Tensors, kernels, whole models and captured steps.

The same is tested without a GPU in tests/cuda_on_cpu, on a stand-in for CuPy; what can only be seen
here is that CuPy and the GPU do as the stand-in does.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import minigan as mg
from minigan import backends, models
from minigan.backends import kernels_on, require_cuda
from minigan.backends.cuda import precision
from minigan.backends.cuda.memory import Inbox
from minigan.errors import DeviceError
from minigan.models.captured import CaptureWarning
from tests.cuda_on_cpu.small_models import NAMES, batch, differences, numbers, small
from tests.kernel_cases import CASES, compare


def _reason() -> str:
    """Why there is no GPU; empty if there is one."""
    try:
        require_cuda(mg.device("cuda"))
    except DeviceError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.cuda, pytest.mark.skipif(bool(_reason()), reason=_reason())]


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """No tensor cores, unless a test asks for them."""
    monkeypatch.setattr(precision, "_chosen", ["fp32"])


@pytest.fixture
def xp():
    return kernels_on(mg.device("cuda")).xp


# --- tensors --------------------------------------------------------------------------------------
def test_tensors_move_and_gradients_follow():
    values = np.arange(5, dtype=np.float32)
    x = mg.tensor(values, requires_grad=True)
    y = x.to("cuda")
    assert y.device == "cuda:0" and repr(y.detach()).endswith("device='cuda:0')")
    (y * y).cpu().sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * values)
    assert (y.sum().item(), y[1:3].tolist(), float(y[4])) == (10.0, [1.0, 2.0], 4.0)


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_cupy_refuses_what_the_stand_in_refuses(xp):
    array, host = mg.ones(3, device="cuda")._array, np.ones(3, np.float32)
    for mistake in (
        lambda: np.asarray(array),
        lambda: array + host,
        lambda: array.__setitem__(Ellipsis, host),
        lambda: xp.concatenate([array, host]),
    ):
        with pytest.raises((TypeError, ValueError)):
            mistake()


def test_operands_on_two_devices_are_refused():
    with pytest.raises(DeviceError, match=r"cuda:0.*cpu"):
        mg.ones(3, device="cuda") + mg.ones(3)
    with pytest.raises(DeviceError, match="there"):
        mg.ones(3, device="cuda:99")


def test_random_numbers_are_those_of_the_cpu():
    draws = {
        device: [
            mg.rand(1031, generator=mg.Generator(3), device=device),
            mg.randint(0, 10, (77,), generator=mg.Generator(3), device=device),
            mg.randperm(50, generator=mg.Generator(3), device=device),
            mg.randperm(5000, generator=mg.Generator(3), device=device),
        ]
        for device in ("cpu", "cuda")
    }
    for there, here in zip(draws["cuda"], draws["cpu"], strict=True):
        np.testing.assert_array_equal(there.numpy(), here.numpy())


def test_lists_and_masks_index():
    x = mg.arange(6.0, device="cuda")
    assert x[[0, 5]].tolist() == [0, 5] and x[x > 3].tolist() == [4, 5]
    x[[1, 2]] = mg.tensor([7.0, 8.0], device="cuda")
    assert x.tolist() == [0, 7, 8, 3, 4, 5]


def test_dlpack_shares_memory(xp):
    x = mg.zeros(3, device="cuda")
    xp.from_dlpack(x)[1] = 5
    assert x.tolist() == [0, 5, 0]
    assert mg.from_dlpack(xp.arange(3)).tolist() == [0, 1, 2]
    assert xp.asarray(x).data.ptr == x.__cuda_array_interface__["data"][0]


def test_dlpack_with_torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")
    theirs = torch.arange(4.0, device="cuda")
    ours = mg.from_dlpack(theirs)
    torch.cuda.synchronize()
    ours[2] = 9.0
    assert theirs.tolist() == [0, 1, 9, 3]
    assert torch.from_dlpack(ours).data_ptr() == theirs.data_ptr()


def test_batches_arrive_whole_while_the_gpu_is_busy(xp):
    """More uploads than there are pinned pieces, each read by work that is still waiting."""
    inbox = Inbox((256, 1024), np.float32)
    busy, sums = mg.rand(1024, 1024, device="cuda"), []
    for i in range(30):
        busy = busy @ busy * 1e-3
        inbox.fill(np.full((256, 1024), float(i), np.float32))
        sums.append(inbox.array.sum())
    assert [float(s) for s in sums] == [i * 256.0 * 1024 for i in range(30)]


# --- kernels --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_agrees_with_the_reference(name):
    compare(name)


@pytest.mark.parametrize("name", [name for name in CASES if "conv2d" in name])
@pytest.mark.parametrize("chosen, tolerance", [("tf32", 2e-3), ("3xtf32", 2e-5)])
def test_convolutions_in_other_precisions(name, chosen, tolerance, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", [chosen])
    compare(name, tolerance)


def test_float64_runs_through_cupy():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3))
    here = mg.nn.functional.conv2d(mg.tensor(x), mg.tensor(w), padding=1)
    there = mg.nn.functional.conv2d(mg.tensor(x).cuda(), mg.tensor(w).cuda(), padding=1)
    np.testing.assert_allclose(there.numpy(), here.numpy(), rtol=1e-12, atol=1e-12)


# --- models ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_two_steps_as_on_the_cpu(name):
    there = small(name, "cuda", ema=0.5)
    with backends.use_backend("reference"):
        here = small(name, ema=0.5)
        expected = [numbers(here.step(batch(here, i))) for i in range(2)]
    losses = [numbers(there.step(batch(there, i))) for i in range(2)]
    for actual, row in zip(losses, expected, strict=True):
        assert actual == pytest.approx(row, rel=1e-3, abs=1e-4)
    if not here.takes_pairs:
        here.load_state_dict(there.state_dict())
        np.testing.assert_allclose(there.sample(3, seed=1), here.sample(3, seed=1), atol=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("chosen", ["fp32", "tf32"])
@pytest.mark.parametrize("name", ["acgan", "wgan_gp", "cyclegan", "stackedgan"])
def test_a_hundred_replays_equal_eager_steps(name, chosen, xp, monkeypatch):
    """Bit for bit, with work of others on the GPU and in its memory between them."""
    monkeypatch.setattr(precision, "_chosen", [chosen])
    eager, replayed = small(name, "cuda"), small(name, "cuda")
    replayed.capture()
    rng, others = np.random.default_rng(0), []
    for i in range(110):
        given = batch(eager, i)
        kept = replayed.step(given), eager.step(given)
        others = [xp.full(int(n), float(i), xp.float32) for n in rng.integers(1, 100_000, 20)]
        if i % 10 == 9:
            assert numbers(kept[0]) == numbers(kept[1]), i
            np.testing.assert_array_equal(xp.asnumpy(others[0]), float(i))
    assert differences(eager, replayed) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_can_be_captured(name):
    eager, replayed = small(name, "cuda"), small(name, "cuda")
    replayed.capture()
    for i in range(14):
        assert numbers(replayed.step(batch(eager, i))) == numbers(eager.step(batch(eager, i))), i
    assert differences(eager, replayed) == []


@pytest.mark.parametrize("captured", [True, False])
def test_memory_is_constant_over_200_steps(captured, xp):
    gan = models.create("acgan", batch_size=8, device="cuda")
    if captured:
        gan.capture()
    given, used = batch(gan, n=8), []
    for i in range(200):
        gan.step(given)
        if i in (20, 199):
            xp.cuda.Device().synchronize()
            free, total = xp.cuda.runtime.memGetInfo()
            used.append((xp.get_default_memory_pool().used_bytes(), total - free))
    (pool_before, before), (pool_after, after) = used
    assert pool_after == pool_before
    assert after - before <= 1 << 20  # the driver's own bookkeeping


def test_a_step_that_reads_a_value_runs_without_a_graph():
    eager, refused = small("gan", "cuda"), small("gan", "cuda")
    update = refused.update

    def reading(images, labels):
        losses = update(images, labels)
        losses["d_loss"].item()
        return losses

    refused.update = reading
    refused.capture()
    for i in range(2):
        refused.step(batch(refused, i))
    with pytest.warns(CaptureWarning, match="it reads a value back"):
        refused.step(batch(refused, 2))
    refused.step(batch(refused, 3))
    for i in range(4):
        eager.step(batch(eager, i))
    assert differences(eager, refused) == []


def test_a_captured_run_goes_on_from_its_state():
    one, two = small("dcgan", "cuda"), small("dcgan", "cuda", seed=2)
    one.capture()
    for i in range(6):
        one.step(batch(one, i))
    two.load_state_dict(one.state_dict())
    two.capture()
    for i in range(6, 12):
        assert numbers(one.step(batch(one, i))) == numbers(two.step(batch(two, i)))
    assert differences(one, two) == []
