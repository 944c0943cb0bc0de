"""GAN, DCGAN, CGAN, LSGAN, WGAN and WGAN-GP: sizes, sub-steps, learning, options, known mistakes.

What every model has to do is in test_every_model.py, steps against PyTorch in
test_gan_family_torch.py.
"""

import dataclasses
import functools
import math

import numpy as np
import pytest

import minigan as mg
from minigan import models, nn
from minigan.data import ArrayDataset
from minigan.errors import ConfigError
from minigan.models import wgan_gp
from minigan.models.init import dcgan_init_
from minigan.training import loop, pictures, session
from minigan.training.options import TrainOptions

SMALL = {
    "gan": {"img_size": 8},
    "dcgan": {"img_size": 8, "trunk": "infogan"},
    "cgan": {"img_size": 8},
    "lsgan": {},
    "wgan": {"img_size": 8, "n_critic": 2},
    "wgan_gp": {"n_critic": 2},
    "acgan": {"ema": 0.0},
}
ADVERSARY = {name: "critic" if name.startswith("wgan") else "discriminator" for name in SMALL}


def small(name, seed=1, **options):
    return models.create(name, seed=seed, **(SMALL[name] | options))


def batch(gan, n=4, seed=0):
    config, rng = gan.config, np.random.default_rng(seed)
    shape = (n, config.channels, config.img_size, config.img_size)
    return rng.uniform(-1, 1, shape).astype(np.float32), np.arange(n) % 2


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, options, generator, adversary",
    [
        ("gan", {}, 1_510_032, 533_505),
        ("dcgan", {"img_size": 64, "channels": 3}, 3_576_704, 2_765_568),
        ("dcgan", {"img_size": 64}, 3_574_656, 2_763_520),
        ("dcgan", {"img_size": 32}, 1_049_985, 98_113),
        ("dcgan", {"latent_dim": 74}, 6_652_481, 6_558_144 + 1_025),
        ("cgan", {}, 1_757_412, 1_055_845),
        ("lsgan", {}, 1_049_729, 98_113),
        ("wgan", {}, 1_510_032, 533_505),
        ("wgan_gp", {}, 1_554_177, 1_030_145),
    ],
)
def test_parameter_totals_are_the_reference_implementations(name, options, generator, adversary):
    networks = models.create(name, **options).networks
    totals = {key: sum(p.numel() for p in net.parameters()) for key, net in networks.items()}
    assert totals == {"generator": generator, ADVERSARY[name]: adversary}


@pytest.mark.parametrize(
    "size, trunk",
    [(28, "infogan"), (32, "upsample"), (48, "upsample"), (96, "upsample"),
     (64, "strided"), (128, "strided")],
)  # fmt: skip
def test_auto_chooses_dcgans_networks_by_the_image_size(size, trunk):
    config = models.get("dcgan").Config(img_size=size)
    assert config.chosen_trunk == trunk


@pytest.mark.parametrize(
    "size, trunk", [(12, "infogan"), (16, "strided"), (64, "strided"), (48, "upsample")]
)
def test_dcgans_networks_come_in_other_sizes_and_in_colour(size, trunk):
    gan = models.create("dcgan", img_size=size, trunk=trunk, channels=3)
    losses = gan.step(batch(gan, 2))
    assert all(np.isfinite(float(value)) for value in losses.values())
    assert gan.sample(3, seed=0).shape == (3, 3, size, size)


@pytest.mark.parametrize("trunk, size", [("upsample", 32), ("strided", 32), ("infogan", 28)])
def test_dcgans_weights_start_from_the_papers_distributions(trunk, size):
    gan = models.create("dcgan", img_size=size, trunk=trunk)
    for network in gan.networks.values():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                w = module.weight.detach().numpy()
                assert abs(w.std() - 0.02) < 0.02 * 4 / math.sqrt(w.size) + 1e-4
            elif isinstance(module, nn.BatchNorm2d):
                scale = module.weight.detach().numpy()
                assert abs(scale.mean() - 1) < 0.02 and 0.01 < scale.std() < 0.03
                assert not module.bias.detach().numpy().any()
            elif isinstance(module, nn.Linear):  # keeps its default, U(+-1/sqrt(inputs))
                bound = 1 / math.sqrt(module.in_features)
                assert 0.9 * bound < np.abs(module.weight.detach().numpy()).max() <= bound


def test_dcgans_initialisation_leaves_biases_and_linear_layers_as_they_are():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Linear(4, 4), nn.BatchNorm2d(8, affine=False))
    before = weights(network)
    dcgan_init_(network)
    after = weights(network)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["0.weight"]


def test_wgan_gps_weights_start_from_the_authors_distributions():
    gan = models.create("wgan_gp", seed=3)
    expected = {  # variance 4 / (fan_in + fan_out), with the stride in the fan that it thins out
        "up1": 4 / (256 * 25 / 4 + 128 * 25),
        "up2": 4 / (128 * 25 / 4 + 64 * 25),
        "up3": 4 / (64 * 25 / 4 + 1 * 25),
        "model.0": 4 / (1 * 25 + 64 * 25 / 4),
        "model.2": 4 / (64 * 25 + 128 * 25 / 4),
        "model.4": 4 / (128 * 25 + 256 * 25 / 4),
        "l1": 2 / (128 + 4096),
        "model.7": 2 / (4096 + 1),
    }
    found = weights(gan.generator) | weights(gan.critic)
    for name, variance in expected.items():
        w = found[f"{name}.weight"]
        assert w.var() == pytest.approx(variance, rel=5 / math.sqrt(w.size)), name
        assert np.abs(w).max() <= math.sqrt(3 * variance) * 1.0001  # uniform
        assert not found[f"{name}.bias"].any()


def test_wgan_gps_critic_judges_each_image_alone():
    """BatchNorm would tie the images of a batch together, and the penalty with them."""
    gan = models.create("wgan_gp")
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in gan.critic.modules())
    assert wgan_gp.Critic(channels=2)(mg.ones(3, 2, 28, 28)).shape == (3, 1)


# --- sub-steps ----------------------------------------------------------------------------------


def watch(gan, monkeypatch):
    """Records each optimiser's step: its name, and of every network the gradients that it finds
    and the weights that it leaves."""
    seen = []

    def watched(name, original):
        def step():
            gradients = {
                key: [None if p.grad is None else p.grad.numpy().copy() for p in net.parameters()]
                for key, net in gan.networks.items()
            }
            original()
            seen.append((name, gradients, {k: weights(net) for k, net in gan.networks.items()}))

        return step

    for name, optimizer in gan.optimizers.items():
        monkeypatch.setattr(optimizer, "step", watched(name, optimizer.step))
    return seen


@pytest.mark.parametrize("name", SMALL)
def test_each_sub_step_moves_its_network_alone_and_leaves_no_foreign_gradient(name, monkeypatch):
    # Clipping comes after the critic's step; here only the step itself shall move it.
    gan = small(name, **({"clip_value": 10.0} if name == "wgan" else {}))
    last = {key: weights(net) for key, net in gan.networks.items()}
    found = {key: [None] * len(list(net.parameters())) for key, net in gan.networks.items()}
    seen = watch(gan, monkeypatch)
    for i in range(4):
        gan.step(batch(gan, seed=i))
    for who, gradients, after in seen:
        for key in gan.networks:
            if key == who:
                assert all(g is not None for g in gradients[key])
                moved = [n for n in after[key] if not np.array_equal(after[key][n], last[key][n])]
                # With the Wasserstein loss the last bias cancels between data and fakes.
                still = set(after[key]) - set(moved)
                assert len(still) <= (key == "critic"), (who, still)
            else:
                assert same(after[key], last[key]), f"{who}'s step moved {key}"
                for now, before in zip(gradients[key], found[key], strict=True):
                    assert now is before is None or np.array_equal(now, before), (who, key)
        last, found = after, gradients
    order = [who for who, _, _ in seen]
    if ADVERSARY[name] == "critic":  # n_critic is 2
        assert order == ["critic", "critic", "generator"] * 2
    else:
        assert order == ["generator", "discriminator"] * 4
    assert all(p.requires_grad for net in gan.networks.values() for p in net.parameters())


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_the_generator_takes_its_step_after_n_critic_steps_and_not_before(name):
    gan = small(name, n_critic=3)
    start = weights(gan.generator)
    for i in range(1, 7):
        losses = gan.step(batch(gan, seed=i))
        assert ("g_loss" in losses) == (i % 3 == 0)
        assert same(weights(gan.generator), start) == (i < 3)


@pytest.mark.parametrize("name", SMALL)
def test_latents_are_drawn_anew_for_each_use(name, monkeypatch):
    """Not the fixed noise of the pictures, nor the critic's latents again for the generator."""
    gan = small(name)
    drawn, original = [], gan.draw_latent

    def draw_latent(*args):
        latent = original(*args)
        drawn.append(latent.numpy().copy())
        return latent

    monkeypatch.setattr(gan, "draw_latent", draw_latent)
    for _ in range(4):
        gan.step(batch(gan))
    assert len(drawn) == (6 if name.startswith("wgan") else 4)
    assert len({latent.tobytes() for latent in drawn}) == len(drawn)


def test_every_weight_of_wgans_critic_is_clipped():
    gan = small("wgan", clip_value=0.003)
    for _ in range(3):
        gan.step(batch(gan))
        for name, value in weights(gan.critic).items():
            assert np.abs(value).max() <= np.float32(0.003), name
    first = weights(gan.critic)["model.1.weight"]
    assert (first == np.float32(0.003)).any() and (first == -np.float32(0.003)).any()
    assert max(np.abs(value).max() for value in weights(gan.generator).values()) > 0.1


def test_wgan_gp_clips_nothing():
    gan = small("wgan_gp")
    gan.step(batch(gan))
    assert np.abs(weights(gan.critic)["model.0.weight"]).max() > 0.1


# --- learning -----------------------------------------------------------------------------------


def blobs(n, size, rng):
    """n images of a bright disk near the middle of a dark ground."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    middle = rng.uniform(0.3, 0.7, (n, 2, 1, 1))
    squares = (y - middle[:, 0]) ** 2 + (x - middle[:, 1]) ** 2
    return (1.8 * np.exp(-squares / 0.08) - 0.9).astype(np.float32)[:, None]


@pytest.mark.parametrize(
    "name, options, n, steps",
    [
        ("gan", {}, 16, 80),
        ("dcgan", {"img_size": 16, "trunk": "strided"}, 16, 75),
        ("cgan", {}, 16, 80),
        ("wgan", {"clip_value": 0.05}, 16, 80),
        ("wgan_gp", {"n_critic": 1}, 4, 24),
    ],
)
def test_it_learns_where_the_data_are_bright(name, options, n, steps):
    gan = small(name, seed=0, lr=1e-3, **options)
    size, rng = gan.config.img_size, np.random.default_rng(0)
    mean = blobs(1000, size, np.random.default_rng(9)).mean(0)

    def distance():
        return ((gan.sample(32, seed=0).mean(0) - mean) ** 2).mean()

    start = distance()
    for _ in range(steps):
        gan.step((blobs(n, size, rng), rng.integers(0, 10, n)))
    assert distance() < 0.5 * start


def test_each_player_of_lsgan_gains_while_the_other_is_held_still():
    """D's outputs go to 1 on data and 0 on fakes, then G draws those on fakes up again."""
    gan = small("lsgan", seed=0, img_size=32, dropout=0.0)
    rng = np.random.default_rng(0)

    def play(still, moving):
        gan.optimizers[still].param_groups[0]["lr"] = 0.0
        gan.optimizers[moving].param_groups[0]["lr"] = 1e-3
        rows = [gan.step((blobs(8, 32, rng), None)) for _ in range(20)]
        return {key: np.mean([float(row[key]) for row in rows[-5:]]) for key in rows[0]}

    judged = play(still="generator", moving="discriminator")
    assert judged["d_x"] > 0.7 and judged["d_g_z"] < 0.3
    fooled = play(still="discriminator", moving="generator")
    assert fooled["d_g_z"] > 0.5 and fooled["g_loss"] < 0.5 * judged["g_loss"]


# --- options ------------------------------------------------------------------------------------

# field: another value, and the options under which it matters
OTHER = {
    "lr": (3e-3, {}),
    "b1": (0.9, {}),
    "b2": (0.5, {}),
    "latent_dim": (7, {}),
    "img_size": (48, {}),
    "channels": (3, {}),
    "n_classes": (3, {}),
    "ema": (0.05, {}),
    "bn_eps": (0.8, {}),
    "dropout": (0.1, {}),
    "fake_class_weight": (1.0, {}),
    "asked_class_weight": (0.1, {}),
    "penalty": ("dragan", {}),
    "penalty_weight": (1.0, {"penalty": "wgan-gp"}),
    "gan_mode": ("hinge", {}),
    "trunk": ("upsample", {"img_size": 32}),
    "n_critic": (1, {}),
    "clip_value": (0.05, {}),
}
OTHER_OF_A_MODEL = {
    ("acgan", "dropout"): (0.4, {}),
    ("dcgan", "dropout"): (0.1, {"img_size": 32, "trunk": "upsample"}),
}
OF_THE_TRAINING = ("n_epochs", "n_epochs_decay", "batch_size", "sample_interval")


@functools.cache
def trace(name, options):
    """What three steps log, and samples, under these options; as bytes."""
    gan = small(name, **dict(options))
    rows = [gan.step(batch(gan, seed=i)) for i in range(3)]
    logged = [(key, float(value)) for row in rows for key, value in row.items()]
    return str(logged) + gan.sample(2, seed=0).tobytes().hex()


@pytest.mark.parametrize(
    "name, field",
    [
        (name, field.name)
        for name in SMALL
        for field in dataclasses.fields(models.get(name).Config)
        if field.name not in OF_THE_TRAINING
    ],
)
def test_every_option_changes_something(name, field):
    if (name, field) == ("wgan_gp", "img_size"):
        with pytest.raises(ConfigError, match="these networks make 28x28 images"):
            small(name, img_size=32)
        return
    value, under = OTHER_OF_A_MODEL.get((name, field), OTHER[field])
    options = SMALL[name] | under
    assert options.get(field) != value
    changed = options | {field: value}
    assert trace(name, tuple(options.items())) != trace(name, tuple(changed.items()))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "option, value, steps, grids",
    [("n_epochs", 2, 8, 4), ("batch_size", 3, 5, 3), ("sample_interval", 1, 4, 4)],
)
def test_the_options_of_the_training_change_its_length_and_its_pictures(
    tmp_path, monkeypatch, name, option, value, steps, grids
):
    """Of 16 images: 1 epoch of 4 batches, a picture after each 2nd, without the option. A last
    batch of one image, which batch norm can make nothing of, is left out."""
    config = models.get(name).Config(
        **(SMALL[name] | {"n_epochs": 1, "batch_size": 4, "sample_interval": 2, option: value})
    )
    size = config.img_size
    pixels = np.random.default_rng(0).integers(0, 256, (16, size, size), dtype=np.uint8)
    dataset = ArrayDataset(pixels, np.arange(16) % 10, name="tiny", source="16 tiny images")
    monkeypatch.setattr(session, "open_data", lambda options, gan, train: dataset)
    monkeypatch.setattr(loop.Recorder, "sample", lambda self, step: drawn.append(step))
    monkeypatch.setattr(pictures, "loss_plot", lambda rows, title: b"")
    drawn = []
    run = tmp_path / "run"
    result = session.run_training(name, TrainOptions(run_dir=run), config)
    assert result.step == steps and len(drawn) == grids


@pytest.mark.parametrize(
    "name", [name for name in SMALL if hasattr(models.get(name).Config, "bn_eps")]
)
def test_batch_norm_has_its_usual_eps_unless_told_otherwise(name):
    """0.8 in the place of eps, a slip of well-known implementations, leaves variance 1 at 0.56."""
    for eps in (1e-5, 0.8):
        options = {} if eps == 1e-5 else {"bn_eps": eps}
        norms = [
            module
            for network in small(name, **options).networks.values()
            for module in network.modules()
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        ]
        assert norms and all(norm.momentum == 0.1 for norm in norms)
        # The first norm of the upsampling generator has its default in the references too.
        assert sum(norm.eps != eps for norm in norms) <= (name == "acgan")


@pytest.mark.parametrize("name", SMALL)
def test_a_sample_does_not_depend_on_the_other_samples(name):
    """Batch norm and dropout in training mode would mix a batch's images, or change the next."""
    gan = small(name)
    gan.step(batch(gan))
    latent = np.random.default_rng(0).standard_normal((6, gan.config.latent_dim), np.float32)
    labels = np.arange(6) % 2 if gan.needs_labels else None
    together = gan.render(latent, labels)
    alone = gan.render(latent[3:4], None if labels is None else labels[3:4])
    np.testing.assert_allclose(together[3:4], alone, atol=1e-5)
    assert np.array_equal(together, gan.render(latent, labels))


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("gan", {"bn_eps": 0.0}, "bn_eps is 0.0"),
        ("gan", {"gan_mode": "best"}, "unknown gan_mode 'best'"),
        ("gan", {"penalty_weight": -1.0}, "penalty_weight is -1.0"),
        ("dcgan", {"img_size": 30}, "multiple of 16"),
        ("dcgan", {"img_size": 30, "trunk": "infogan"}, "multiple of 4"),
        ("dcgan", {"img_size": 48, "trunk": "strided"}, "power of two from 16 on"),
        ("dcgan", {"img_size": 8, "trunk": "strided"}, "power of two from 16 on"),
        ("dcgan", {"dropout": 1.0}, "dropout is 1.0"),
        ("cgan", {"dropout": -0.1}, "dropout is -0.1"),
        ("cgan", {"n_classes": 1}, "n_classes is 1"),
        ("lsgan", {"img_size": 28}, "multiple of 16"),
        ("lsgan", {"img_size": 16}, "tells no batch from another"),
        ("dcgan", {"img_size": 16}, "tells no batch from another"),
        ("wgan", {"n_critic": 0}, "n_critic is 0"),
        ("wgan", {"clip_value": 0.0}, "clip_value is 0.0"),
        ("wgan", {"b1": 0.5}, "no option 'b1'"),
        ("wgan_gp", {"img_size": 32}, "28x28"),
        ("wgan_gp", {"clip_value": 0.1}, "no option 'clip_value'"),
    ],
)
def test_bad_options_say_what_is_possible(name, options, words):
    with pytest.raises(ConfigError, match=words) as error:
        models.create(name, **options)
    assert "\n" not in str(error.value)


def test_cgans_penalty_on_fakes_takes_the_labels_that_they_were_asked_for(monkeypatch):
    gan = models.create("cgan", seed=1, penalty="r2", dropout=0.0)
    images = np.zeros((8, 1, 32, 32), np.float32)
    seen = []
    original = gan.discriminator.forward

    def forward(x, labels):
        if x.requires_grad and x.is_leaf:  # the points of the penalty
            seen.append(labels.numpy())
        return original(x, labels)

    monkeypatch.setattr(gan.discriminator, "forward", forward)
    gan.step((images, np.full(8, 3)))
    assert len(seen) == 1 and (seen[0] != 3).any()
