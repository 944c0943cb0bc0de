"""The training loop and what surrounds it, on a fake model: 22 images, batches of 4, so that an
epoch has 6 steps and its last batch 2 images."""

import errno
import json
import os

import numpy as np
import pytest
from fake_gan import Config, FakeGAN, Scalar, dataset
from PIL import Image

from minigan.data import DataLoader
from minigan.errors import CheckpointError, ConfigError, MiniganError
from minigan.training import checkpoint, session
from minigan.training.files import remove_folder
from minigan.training.loop import Result, train
from minigan.training.metrics_log import read_metrics
from minigan.training.options import TrainOptions
from minigan.training.recorder import restore
from minigan.training.run_folder import RunFolder

ABOUT = {"model": "fake", "config": {}, "options": {}}


@pytest.fixture(autouse=True)
def quick_plots(monkeypatch):
    """The rows themselves in the place of a picture of them, which takes half a second."""
    plot = "minigan.training.pictures.loss_plot"
    monkeypatch.setattr(plot, lambda rows, title: json.dumps(rows).encode())


@pytest.fixture
def start(tmp_path):
    """Train a new or resumed run; returns (gan, loader, run, result)."""
    opened = []

    def start(name, step=0, config=None, **options):
        path = tmp_path / name
        run = RunFolder.open(path) if path.exists() else RunFolder.create(path, ABOUT)
        opened.append(run)
        gan = FakeGAN(config or Config(), "cpu", seed=0)
        loader = DataLoader(dataset(), 4, seed=0)
        if step:
            found, errors = run.newest_checkpoint()
            assert found.step == step and not errors
            restore(gan, loader, found)
            run.rewind(step)
        return gan, loader, run, train(gan, loader, TrainOptions(**options), run, step)

    yield start
    for run in opened:
        run.unlock()


def files(run):
    """Every file of a run and its bytes."""
    return {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in sorted(run.path.rglob("*"))
        if path.is_file()
    }


def test_what_a_run_leaves(start):
    gan, _, run, result = start("run")
    assert result == Result(12) and result.exit_status == 0
    rows = read_metrics(run.metrics)
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["epoch"] for row in rows] == [1] * 6 + [2] * 6
    assert list(rows[0]) == ["step", "epoch", "g_loss", "d_loss", "accuracy"]
    assert gan.epochs_ended == [(1, 6), (2, 12)]
    pictures = [f"step-{step:06d}{s}.png" for step in (3, 6, 9, 12) for s in ("-examples", "")]
    assert sorted(os.listdir(run.path / "samples")) == pictures
    with Image.open(run.sample_path(12)) as image:
        assert image.size == (3 * 10 + 2, 2 * 10 + 2)
    assert os.listdir(run.path / "checkpoints") == ["step-000012"]
    for folder in (run.final, run.checkpoint_path(12)):
        state = checkpoint.load(folder, "fake").state
        weights = state["networks"]["generator"]["weight"]
        np.testing.assert_array_equal(weights, gan.state_dict()["networks"]["generator"]["weight"])
    assert b'"step": 12' in (run.path / "losses.png").read_bytes()


def test_intervals_and_limits(start):
    config = Config(sample_interval=0, n_epochs=5)
    _, _, run, result = start("run", config=config, max_steps=7, checkpoint_interval=2)
    assert result.step == 7
    assert sorted(os.listdir(run.path / "samples")) == [
        "step-000007-examples.png",
        "step-000007.png",
    ]
    # The newest three of 2, 4, 6 and 7.
    names = [f"step-{step:06d}" for step in (4, 6, 7)]
    assert sorted(os.listdir(run.path / "checkpoints")) == names


@pytest.mark.parametrize("k", range(1, 12))
def test_resume_is_bit_exact_after_every_step(start, k):
    options = {"checkpoint_interval": 4, "keep_checkpoints": 9}
    _, _, whole, _ = start("whole", **options)
    _, _, run, _ = start("parts", **options, max_steps=k)
    _, _, run, result = start("parts", step=k, **options)
    assert result.step == 12
    expected, found = files(whole), files(run)
    # The stop itself leaves a sample and a checkpoint of step k.
    extra = {name for name in found if f"step-{k:06d}" in name} - expected.keys()
    assert {name: found[name] for name in found if name not in extra} == expected


def test_resume_without_the_random_state_is_noticed(start):
    _, _, whole, _ = start("whole")
    start("parts", max_steps=5)
    forget = FakeGAN.load_state_dict
    try:
        FakeGAN.load_state_dict = lambda self, state: forget(
            self, {**state, "random": self._noise.bit_generator.state}
        )
        _, _, run, _ = start("parts", step=5)
    finally:
        FakeGAN.load_state_dict = forget
    assert run.metrics.read_bytes() != whole.metrics.read_bytes()


def test_resume_refuses_other_data(start):
    _, _, run, _ = start("run", max_steps=5)
    found, _ = run.newest_checkpoint()
    loader = DataLoader(dataset(18), 4)
    with pytest.raises(CheckpointError, match="22 images of 'tiny'.*now 18 images"):
        restore(FakeGAN(Config(), "cpu", 0), loader, found)


def test_resuming_a_finished_run_writes_what_a_kill_at_the_very_end_left_out(start):
    _, _, run, _ = start("run")
    before = files(run)
    remove_folder(run.final)
    (run.path / "losses.png").unlink()
    assert start("run", step=12)[3] == Result(12)
    assert files(run) == before


def test_losses_are_not_read_in_every_step(start, monkeypatch):
    reads = []
    step = FakeGAN.step
    monkeypatch.setattr(FakeGAN, "step", lambda s, b: reads.append(Scalar.reads) or step(s, b))
    Scalar.reads = 0
    # One long second: only the checkpoint in the middle and the end read anything.
    monkeypatch.setattr("minigan.training.metrics_log.READ_SECONDS", 1e9)
    start("run", checkpoint_interval=6)
    assert reads == [0] * 6 + [18] * 6 and Scalar.reads == 36


def test_divergence_keeps_the_checkpoint_before_it(start, tmp_path):
    with pytest.raises(MiniganError, match="g_loss became nan at step 8"):
        start("run", config=Config(diverge_at=8), checkpoint_interval=4)
    run = RunFolder.open(tmp_path / "run")
    found, errors = run.newest_checkpoint()
    assert found.step == 4 and not errors and not run.final.exists()
    assert [row["step"] for row in read_metrics(run.metrics)] == list(range(1, 9))


def test_disk_that_fills_up_at_any_write(start, tmp_path, monkeypatch):
    """Let the n-th fsync fail, for every n: the newest checkpoint stays whole, and the run can be
    resumed to the bytes of an undisturbed one."""
    options = {"checkpoint_interval": 4, "max_steps": 9}
    _, _, whole, _ = start("whole", **options)
    real, count = os.fsync, 0

    def fsync(handle):
        nonlocal count
        count += 1
        if count == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    n_failures = 0
    for fails_at in range(5, 90, 4):  # the first four create the run folder
        count, name = 0, f"run{fails_at}"
        try:
            start(name, **options)
            break  # the run needs fewer calls than that
        except CheckpointError as error:
            assert "No space left on device" in str(error) and "\n" not in str(error)
            n_failures += 1
        run = RunFolder.open(tmp_path / name)
        run.rewind(0 if (found := run.newest_checkpoint()[0]) is None else found.step)
        _, _, run, _ = start(name, step=0 if found is None else found.step, **options)
        assert files(run) == files(whole)
    else:
        pytest.fail("the last run should have needed fewer calls than were tried")
    assert n_failures >= 10


def test_tensorboard_gets_all_rows(start, monkeypatch):
    import sys
    from types import SimpleNamespace

    events = []

    class Writer:
        def __init__(self, folder, purge_step):
            events.append((os.path.basename(folder), purge_step))

        def add_scalar(self, name, value, step):
            events.append((name, value, step))

        def add_image(self, name, pixels, step, dataformats):
            events.append((name, pixels.shape, step, dataformats))

        def close(self):
            events.append("closed")

    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=Writer))
    _, _, run, _ = start("run", max_steps=3, tensorboard=True)
    assert events[0] == ("tensorboard", 1) and events[-1] == "closed"
    for row in read_metrics(run.metrics):
        assert ("d_loss", row["d_loss"], row["step"]) in events
    assert ("samples", (22, 32, 1), 3, "HWC") in events


# --- make_loader --------------------------------------------------------------------------------
@pytest.mark.parametrize("n, batch_size, sizes", [(22, 4, [4] * 5 + [2]), (21, 4, [4] * 5)])
def test_last_batch_is_used_unless_it_is_a_single_image(n, batch_size, sizes):
    gan = FakeGAN(Config(batch_size=batch_size), "cpu", 0)
    loader = session.make_loader(gan, dataset(n), seed=0)
    assert [len(images) for images, _ in loader] == sizes and len(loader) == len(sizes)


def test_make_loader_refuses_what_cannot_be_trained():
    with pytest.raises(ConfigError, match="n_classes is 7, .*use --n_classes 10"):
        session.make_loader(FakeGAN(Config(n_classes=7), "cpu", 0), dataset(), 0)
    with pytest.raises(ConfigError, match="batch_size is 1"):
        session.make_loader(FakeGAN(Config(batch_size=1), "cpu", 0), dataset(), 0)
    with pytest.raises(ConfigError, match="has 1 images"):
        session.make_loader(FakeGAN(Config(), "cpu", 0), dataset(1), 0)
    unlabelled = dataset()
    unlabelled.n_classes = 0
    with pytest.raises(ConfigError, match="fake needs labels, and .* has none: use data with"):
        session.make_loader(FakeGAN(Config(), "cpu", 0), unlabelled, 0)


def test_metrics_hold_no_clock(start):
    _, _, run, _ = start("run", max_steps=2)
    for line in run.metrics.read_text().splitlines():
        assert not {"time", "seconds", "date"} & json.loads(line).keys()
