"""A captured step gives the numbers of an eager one, bit for bit, or says why it is none."""

import numpy as np
import pytest

import minigan as mg
from minigan.backends.cuda import graph, precision
from minigan.models import captured
from tests.cuda_on_cpu import fake_cupy
from tests.cuda_on_cpu.small_models import NAMES, batch, differences, numbers, small


def pair(name, warm_up=2, **options):
    """The same model twice, the second captured."""
    one, two = (small(name, "cuda", **options) for _ in range(2))
    two.capture(warm_up)
    return one, two


def foreign_work(i):
    """What others do with the GPU's memory meanwhile."""
    made = [fake_cupy.cupy.full((n * 50 + i,), float(i)) for n in range(1, 60, 7)]
    return sum(float(a.sum()) for a in made)


def graphs(gan):
    return list(gan._captured._graphs.values())


def launches(gan):
    return [g for g in graphs(gan) if g._losses is not None]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_captured_equals_eager(name, fast_gpu):
    eager, replayed = pair(name, warm_up=1, ema=0.5)
    # Each kind of step is run, recorded and launched, and launched again.
    for i in range({"wgan": 6, "wgan_gp": 6, "stackedgan": 9, "cyclegan": 5}.get(name, 3)):
        assert numbers(replayed.step(batch(eager, i))) == numbers(eager.step(batch(eager, i))), i
        foreign_work(i)
    assert differences(eager, replayed) == []
    kinds = {"wgan": 2, "wgan_gp": 2, "stackedgan": 3}.get(name, 1)
    assert len(launches(replayed)) == kinds


def test_acgan_on_the_real_kernels(gpu):
    eager, replayed = pair("acgan", warm_up=1)
    for i in range(3):
        assert numbers(replayed.step(batch(eager, i))) == numbers(eager.step(batch(eager, i)))
        foreign_work(i)
    assert differences(eager, replayed) == [] and len(launches(replayed)) == 1


def test_a_replay_makes_no_launch_of_its_own(fast_gpu):
    _, gan = pair("dcgan")
    for i in range(3):
        gan.step(batch(gan, i))
    held = graphs(gan)[0]._graph._held
    fast_gpu.launched.clear()
    gan.step(batch(gan, 3))
    drawn = graphs(gan)[0]._graph.drawn
    assert drawn > 0 and graphs(gan)[0]._graph._held == (held[0], held[1] + drawn)
    assert set(fast_gpu.launched) <= {"philox_normal"}  # counted as it is replayed


def test_losses_are_copies(fast_gpu):
    _, gan = pair("gan")
    kept = [gan.step(batch(gan, i)) for i in range(6)]
    values = [numbers(losses) for losses in kept]
    for i in range(3):
        gan.step(batch(gan, i))
    assert [numbers(losses) for losses in kept] == values
    assert len({tuple(v.values()) for v in values}) == 6


def test_another_shape_of_batch_has_a_graph_of_its_own(fast_gpu):
    eager, replayed = pair("gan")
    for i, n in enumerate([4, 4, 3, 4, 3, 4, 3, 4]):  # the last batch of each epoch is smaller
        assert numbers(eager.step(batch(eager, i, n))) == numbers(replayed.step(batch(eager, i, n)))
    assert differences(eager, replayed) == [] and len(launches(replayed)) == 2


def test_the_number_of_graphs_is_bounded(fast_gpu, monkeypatch):
    monkeypatch.setattr(captured, "MOST_GRAPHS", 2)
    eager, replayed = pair("gan")
    for i, n in enumerate([2, 3, 4, 5, 2, 2, 4, 3, 2]):
        assert numbers(eager.step(batch(eager, i, n))) == numbers(replayed.step(batch(eager, i, n)))
    assert differences(eager, replayed) == [] and len(graphs(replayed)) == 2


def test_a_checkpoint_after_replays_is_that_of_eager_steps(fast_gpu):
    """And one that is loaded in the middle goes on from there."""
    eager, replayed = pair("dcgan")
    for i in range(5):
        eager.step(batch(eager, i))
        replayed.step(batch(eager, i))
    state = replayed.state_dict()
    for i in range(5, 8):
        eager.step(batch(eager, i))
        replayed.step(batch(eager, i))
    assert differences(eager, replayed) == []
    for gan in (eager, replayed):
        gan.load_state_dict(state)
        for i in range(5, 7):
            gan.step(batch(gan, i))
    assert differences(eager, replayed) == []


def test_learning_rates_change_between_replays(fast_gpu):
    eager, replayed = pair("pix2pix", n_epochs=1, n_epochs_decay=4)
    for i in range(6):
        for gan in (eager, replayed):
            gan.step(batch(gan, i))
            gan.end_epoch(i + 1)
    assert differences(eager, replayed) == []
    assert eager.optimizers["generator"].param_groups[0]["lr"] < eager.config.lr


def test_sampling_between_replays_changes_nothing(fast_gpu):
    eager, replayed = pair("dcgan")
    for i in range(6):
        eager.step(batch(eager, i))
        replayed.step(batch(eager, i))
        np.testing.assert_array_equal(replayed.sample(2, seed=i), eager.sample(2, seed=i))
    assert differences(eager, replayed) == []


def test_networks_that_move_are_recorded_anew(fast_gpu):
    eager, replayed = pair("gan")
    for i in range(8):
        eager.step(batch(eager, i))
        replayed.step(batch(eager, i))
        if i == 4:  # other memory, the same values
            for p in replayed.generator.parameters():
                p.data = p.detach().clone()
    assert differences(eager, replayed) == [] and len(launches(replayed)) == 1


def test_another_precision_is_recorded_anew(fast_gpu, monkeypatch):
    _, gan = pair("gan")
    for chosen in ("fp32", "tf32"):
        monkeypatch.setattr(precision, "_chosen", [chosen])
        gan.step(batch(gan))
    assert len(graphs(gan)) == 2


def test_memory_stays_constant(fast_gpu):
    _, gan = pair("dcgan")
    used = []
    for i in range(8):
        gan.step(batch(gan, i))
        used.append(fake_cupy._default_pool.used_bytes())
    assert len(set(used[-4:])) == 1


# --- what cannot be captured --------------------------------------------------------------------
def reading(gan, read):
    """A model whose step looks at a loss."""
    update = gan.update

    def update_and_look(images, labels):
        losses = update(images, labels)
        read(losses["d_loss"])
        return losses

    gan.update = update_and_look
    return gan


@pytest.mark.parametrize(
    "read, what",
    [
        (lambda loss: loss.item(), r"it reads a value back, with item\(\)"),
        (lambda loss: float(loss), r"it reads a value back, with item\(\)"),
        (lambda loss: bool(loss > 0), r"it reads a value back, with item\(\)"),
        (lambda loss: np.asarray(loss), r"it reads a value back, with numpy\(\)"),
        (lambda loss: loss._array.get(), "CUDARuntimeError: cudaErrorStreamCaptureUnsupported"),
        (lambda loss: mg.tensor([1.0, 2.0], device="cuda"), "a copy from the host"),
        (lambda loss: mg.rand(3, generator=mg.Generator(5), device="cuda"), "a generator of its"),
        (lambda loss: mg.randperm(5000, device="cuda"), "Thrust's sort"),
        (lambda loss: fake_cupy.cupy.matmul(loss._array[None], loss._array[None]), "cuBLAS"),
    ],
)
def test_a_step_that_cannot_be_captured_says_why_once_and_runs(read, what, fast_gpu):
    eager, refused = (reading(small("gan", "cuda"), read) for _ in range(2))
    refused.capture()
    for i in range(2):
        eager.step(batch(eager, i))
        refused.step(batch(eager, i))
    with pytest.warns(captured.CaptureWarning, match=what) as caught:
        refused.step(batch(eager, 2))
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    refused.step(batch(eager, 3))  # without another word
    for i in (2, 3):
        eager.step(batch(eager, i))
    assert differences(eager, refused) == []


def test_a_scalar_that_is_frozen_shows(fast_gpu):
    """What these tests compare would differ: a plant that no launch can know of."""
    eager, replayed = pair("gan")
    for gan in (eager, replayed):
        update = gan.update

        def planted(images, labels, gan=gan, update=update):
            losses = update(images, labels)
            return losses | {"planted": losses["d_loss"] * float(gan.iteration)}

        gan.update = planted
    rows = [
        [numbers(gan.step(batch(gan, i)))["planted"] for gan in (eager, replayed)] for i in range(6)
    ]
    assert [one == two for one, two in rows] == [True, True, True, False, False, False]


def spoilt_by_replays(allocator):
    """How many arrays of others change while a captured model trains."""
    _, gan = pair("gan")
    for i in range(3):
        gan.step(batch(gan, i))
    xp = fake_cupy.cupy
    with xp.cuda.using_allocator(allocator):
        others = [xp.full((n,), 7.0, np.float32) for n in range(100, 30_000, 100)]
    for i in range(3, 6):
        gan.step(batch(gan, i))
    return sum(bool((array != 7.0).any()) for array in others)


def test_replays_leave_the_memory_of_others_alone(fast_gpu):
    assert spoilt_by_replays(fake_cupy._default_pool.malloc) == 0


def test_replays_spoil_memory_that_they_share(fast_gpu, monkeypatch):
    """The plant for the test above: a graph whose pool is not its own."""
    shared = fake_cupy.MemoryPool()
    monkeypatch.setattr(fake_cupy.cupy.cuda, "MemoryPool", lambda: shared)
    assert spoilt_by_replays(shared.malloc) > 0


def test_an_error_of_the_step_is_raised_as_it_is(fast_gpu):
    _, gan = pair("gan")
    for i in range(2):
        gan.step(batch(gan, i))

    def broken(images, labels):
        raise ZeroDivisionError("a bug")

    gan.update = broken
    with (
        pytest.warns(captured.CaptureWarning, match="ZeroDivisionError: a bug"),
        pytest.raises(ZeroDivisionError),
    ):
        gan.step(batch(gan, 2))
    assert graph.recording() is None
