"""A step that is recorded on the CPU gives the numbers of one that is not, bit for bit."""

import copy
import threading

import numpy as np
import pytest

import minigan as mg
from minigan import models
from minigan.backends import use_backend
from minigan.errors import CaptureError
from minigan.models import captured
from tests.cuda_on_cpu.small_models import NAMES, batch, differences, numbers, small

pytest.importorskip("numba")
threads = pytest.importorskip("minigan.backends.cpu.threads")

pytestmark = pytest.mark.filterwarnings("error")


def pair(name, warm_up=1, **options):
    """The same model twice, the second captured."""
    one, two = (small(name, **options) for _ in range(2))
    two.capture(warm_up)
    return one, two


def together(one, two, steps, n=2):
    for i in steps:
        expected = numbers(one.step(batch(one, i, n)))
        assert numbers(two.step(batch(one, i, n))) == expected, i
        assert differences(one, two) == [], i


def recorded(gan):
    return [g for g in gan._captured._graphs.values() if g._losses is not None]


@pytest.mark.parametrize("name", NAMES)
def test_captured_equals_eager(name):
    eager, repeated = pair(name, ema=0.5)
    together(eager, repeated, range({"wgan": 8, "wgan_gp": 8, "stackedgan": 11}.get(name, 5)))
    assert len(recorded(repeated)) == {"wgan": 2, "wgan_gp": 2, "stackedgan": 3}.get(name, 1)


# Sizes at which convolutions go by Winograd and large layers by the packed products.
@pytest.mark.parametrize(
    "name, options, n",
    [
        ("dcgan", {}, 16),
        ("acgan", {}, 16),
        ("wgan_gp", {"n_critic": 2}, 50),
        ("stackedgan", {"encoder_steps": 0, "independent_steps": 0}, 16),
        ("gan", {}, 64),
        ("vae", {"decoder": "dcgan"}, 16),
    ],
)
def test_captured_equals_eager_at_full_size(name, options, n):
    eager, repeated = (models.create(name, seed=1, **options) for _ in range(2))
    repeated.capture(1)
    together(eager, repeated, range(2 * options.get("n_critic", 1) + 3), n)
    assert recorded(repeated)


@pytest.mark.parametrize("penalty", ["wgan-gp", "r1", "dragan"])
def test_a_penalty_in_a_recorded_step(penalty):
    together(*pair("gan", penalty=penalty, img_size=8), range(4))


def test_on_other_numbers_of_threads():
    eager, repeated = pair("dcgan")
    before = threads.get_num_threads()
    try:
        for i, count in enumerate([1, 2, 1, 3, 5]):
            threads.set_num_threads(count)
            together(eager, repeated, [i])
    finally:
        threads.set_num_threads(before)


def test_another_shape_of_batch_is_recorded_by_itself():
    eager, repeated = pair("gan")
    for i, n in enumerate([4, 4, 3, 4, 3, 4, 3, 4]):  # the last batch of each epoch is smaller
        together(eager, repeated, [i], n)
    assert len(recorded(repeated)) == 2


def test_losses_are_copies():
    _, gan = pair("gan")
    kept = [gan.step(batch(gan, i)) for i in range(5)]
    values = [numbers(losses) for losses in kept]
    for i in range(3):
        gan.step(batch(gan, i))
    assert [numbers(losses) for losses in kept] == values
    assert len({tuple(v.values()) for v in values}) == 5


def test_learning_rates_change_between_steps():
    eager, repeated = pair("pix2pix", n_epochs=1, n_epochs_decay=4)
    for i in range(5):
        together(eager, repeated, [i])
        for gan in (eager, repeated):
            gan.end_epoch(i + 1)
    assert eager.optimizers["generator"].param_groups[0]["lr"] < eager.config.lr


def test_a_checkpoint_and_what_goes_on_from_it():
    eager, repeated = pair("dcgan")
    together(eager, repeated, range(4))
    state = repeated.state_dict()
    together(eager, repeated, range(4, 6))
    for gan in (eager, repeated):
        gan.load_state_dict(state)
    together(eager, repeated, range(4, 8))


def test_moments_that_are_loaded_alone():
    eager, repeated = pair("gan")
    together(eager, repeated, range(3))
    state = copy.deepcopy(eager.optimizers["generator"].state_dict())
    together(eager, repeated, range(3, 5))
    for gan in (eager, repeated):
        gan.optimizers["generator"].load_state_dict(state)
    together(eager, repeated, range(5, 9))


def test_networks_that_move_are_recorded_anew():
    eager, repeated = pair("gan")
    together(eager, repeated, range(4))
    for gan in (eager, repeated):
        for p in gan.generator.parameters():
            p.data = p.detach().clone()
    together(eager, repeated, range(4, 8))
    assert len(recorded(repeated)) == 1


def test_weights_that_others_change_between_steps():
    eager, repeated = pair("wgan_gp")
    for i in range(8):
        together(eager, repeated, [i])
        for gan in (eager, repeated):
            with mg.no_grad():
                for p in gan.generator.parameters():
                    p.mul_(0.5)


def test_sampling_between_steps():
    eager, repeated = pair("dcgan")
    for i in range(5):
        together(eager, repeated, [i])
        np.testing.assert_array_equal(repeated.sample(2, seed=i), eager.sample(2, seed=i))


def test_a_recorded_step_leaves_no_gradient_in_its_memory():
    _, gan = pair("gan")
    for i in range(3):
        gan.step(batch(gan, i))
    for p in (*gan.generator.parameters(), *gan.discriminator.parameters()):
        assert type(p._array) is np.ndarray
        assert p.grad is None or type(p.grad._array) is np.ndarray


class Reads:
    """A step that reads a value back, and goes another way by it."""

    def __init__(self, gan):
        self.plain = gan.update

    def __call__(self, images, labels):
        losses = self.plain(images, labels)
        if float(losses["g_loss"]) > 0:
            losses["g_loss"] = losses["g_loss"] * 2
        return losses


def test_a_step_that_cannot_be_repeated_is_done_all_the_same():
    eager, repeated = pair("gan")
    for gan in (eager, repeated):
        gan.update = Reads(gan)
    together(eager, repeated, [0])
    with pytest.warns(captured.CaptureWarning, match=r"it reads a value back, with item\(\)"):
        together(eager, repeated, [1])
    together(eager, repeated, range(2, 5))
    assert not recorded(repeated)


def test_an_error_of_the_step_is_raised_as_it_is():
    eager, repeated = pair("gan")
    together(eager, repeated, [0])
    plain = repeated.update

    def broken(images, labels):
        raise ZeroDivisionError("a bug")

    repeated.update = broken
    with pytest.raises(ZeroDivisionError):
        repeated.step(batch(repeated, 1))
    repeated.update = plain
    losses = repeated.step(batch(repeated, 1))
    assert np.isfinite(list(numbers(losses).values())).all()


def test_what_another_thread_computes_meanwhile_is_not_recorded():
    eager, repeated = pair("gan")
    rng = np.random.default_rng(0)
    x, w = (mg.tensor(rng.standard_normal((96, 96)).astype(np.float32)) for _ in range(2))
    expected = ((x @ w).tanh() * 2).numpy().copy()
    done, differing = threading.Event(), []

    def compute():
        while not done.is_set():
            if not np.array_equal(((x @ w).tanh() * 2).numpy(), expected):
                differing.append(1)

    other = threading.Thread(target=compute)
    other.start()
    try:
        together(eager, repeated, range(6))
    finally:
        done.set()
        other.join()
    assert differing == [] and recorded(repeated)


@pytest.mark.parametrize("warm_up", [0, 1, None])
def test_a_step_of_another_model_inside_of_a_recorded_one(warm_up):
    pairs = pair("gan")
    for gan in pairs:
        gan.inner, gan.plain = small("vae"), gan.update
        gan.update = lambda images, labels, gan=gan: (
            gan.inner.step(batch(gan.inner, gan.iteration)) and gan.plain(images, labels)
        )
    if warm_up is not None:
        pairs[1].inner.capture(warm_up)
    together(*pairs, [0])
    with pytest.warns(captured.CaptureWarning) as caught:
        together(*pairs, [1])
    assert any("it takes a step of another model" in str(w.message) for w in caught)
    together(*pairs, range(2, 5))
    assert differences(pairs[0].inner, pairs[1].inner) == []


def test_the_reference_has_nothing_to_record():
    gan = small("gan")
    with use_backend("reference"), pytest.raises(CaptureError, match="the reference has none"):
        gan.capture()


def test_a_captured_model_computes_by_the_reference_where_it_is_asked_to():
    _, gan = pair("gan")
    for i in range(3):
        gan.step(batch(gan, i))
    with use_backend("reference"):
        losses = gan.step(batch(gan, 3))
    assert np.isfinite(list(numbers(losses).values())).all()
