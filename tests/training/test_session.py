"""The commands from flags to files, with a fake model: what they write, print and refuse."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from fake_gan import FakeGAN
from PIL import Image

from minigan.training import checkpoint


@pytest.fixture
def run(minigan, tmp_path):
    """A finished run of six steps."""
    status, _, err = minigan("train", "fake", "--run_dir", "run", "--max_steps", 6)
    assert status == 0, err
    return tmp_path / "run"


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def image_size(path):
    with Image.open(path) as image:
        return image.size


# --- train and resume ---------------------------------------------------------------------------
def test_train_prints_what_it_does_and_stores_its_settings(minigan, tmp_path):
    status, out, err = minigan("train", "fake", "--lr", 0.2, "--data-dir", ".", "--seed", 3)
    assert (status, "Traceback" in err) == (0, False)
    assert "fake on cpu; parameters: generator 12, discriminator 12" in out
    assert "22 tiny images" in out and "done: 12 steps" in out
    run = tmp_path / "runs" / "fake-mnist"
    about = json.loads((run / "config.json").read_text())
    assert about["model"] == "fake" and about["config"]["lr"] == 0.2
    assert about["options"]["seed"] == 3 and about["options"]["data_dir"] == str(tmp_path)
    assert "12/12" in err and "g_loss" in err and "images/s" in err


def test_the_seed_decides_everything(minigan, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        minigan("train", "fake", "--run_dir", name, "--seed", seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert list(a.values())[1:] == list(b.values())[1:]
    assert (tmp_path / "a/metrics.jsonl").read_bytes() != (
        tmp_path / "c/metrics.jsonl"
    ).read_bytes()


@pytest.mark.parametrize("command", ["train", "resume"])
def test_resume_keeps_the_settings_of_the_run(minigan, tmp_path, command):
    settings = ["--lr", "0.3", "--widths", "2", "5", "--seed", "4", "--sample_interval", "5"]
    minigan("train", "fake", "--run_dir", "whole", *settings)
    minigan("train", "fake", "--run_dir", "run", *settings, "--max_steps", 7)
    start = ["train", "fake", "--resume", "--run-dir"] if command == "train" else ["resume"]
    status, out, err = minigan(*start, "run", "--max_steps", 12)
    assert status == 0, err
    assert "resume: after step 7" in out and "done: 12 steps" in out
    whole, run = tmp_path / "whole", tmp_path / "run"
    for name in ("metrics.jsonl", "final/generator.safetensors", "samples/step-000010.png"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    # The new limit is a setting from now on.
    assert json.loads((run / "config.json").read_text())["options"]["max_steps"] == 12
    status, out, _ = minigan("resume", "run")
    assert status == 0 and "nothing to do: 12 of 12 steps" in out
    status, out, _ = minigan("resume", "run", "--n_epochs", 3, "--max_steps", "None")
    assert status == 0 and "done: 18 steps" in out


def test_resume_before_the_first_checkpoint_starts_again(minigan, run, tmp_path):
    whole = contents(run)
    for folder in ("checkpoints", "final"):
        os.rename(run / folder, tmp_path / folder)
    status, out, _ = minigan("resume", run)
    assert status == 0 and "no checkpoint yet, starting from step 0" in out
    assert contents(run) == whole


def test_resume_skips_a_broken_checkpoint_and_says_so(minigan, run):
    whole = contents(run)
    minigan("resume", run, "--max_steps", 9)
    broken = run / "checkpoints/step-000009/generator.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    status, out, err = minigan("resume", run)
    assert status == 0 and "resume: after step 6" in out
    assert f"skipped a broken checkpoint: {broken} is corrupt" in err
    assert checkpoint.load(broken.parent).step == 9
    assert contents(run).keys() > whole.keys()


def test_overwrite_starts_anew(minigan, run):
    before = contents(run)
    status, _, _ = minigan("train", "fake", "--run_dir", run, "--max_steps", 3, "--overwrite")
    assert status == 0
    assert (run / "metrics.jsonl").read_text().count("\n") == 3
    assert len(contents(run)) < len(before)


def test_threads_are_set_before_the_model_is_made(minigan, monkeypatch):
    monkeypatch.setenv("MINIGAN_NUM_THREADS", "")
    seen = []
    make = FakeGAN.__init__
    monkeypatch.setattr(
        FakeGAN,
        "__init__",
        lambda *args: seen.append(os.environ["MINIGAN_NUM_THREADS"]) or make(*args),
    )
    minigan("train", "fake", "--max_steps", 1, "--threads", 3)
    assert seen == ["3"]


# --- refusals -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "args, message",
    [
        ("train nogan", "unknown model 'nogan': use one of fake"),
        ("train", "which model?"),
        ("train --lr 3", "which model?"),
        ("train fake --foo", "unknown flag --foo"),
        ("train fake --img_size 9", "img_size is 9"),
        ("train fake --device tpu", "unknown device 'tpu'"),
        ("train fake --resume", "there is no run in runs/fake-mnist"),
        ("train fake --n_classes 3", "n_classes is 3"),
        ("train fake --run_dir file", "run folder file is a file"),
        ("train fake --run_dir file/run", "cannot write file/run: Not a directory"),
        ("resume", "which run?"),
        ("resume nowhere", "there is no run in nowhere"),
        ("sample nowhere", "there is no run in nowhere"),
        ("sample", "minigan sample"),
        ("info nowhere", "there is no run in nowhere"),
        ("info . extra", "unexpected argument 'extra'"),
        ("models extra", "unexpected argument 'extra'"),
    ],
)
def test_refused_before_anything_is_written(fails, tmp_path, args, message):
    (tmp_path / "file").write_text("")
    assert message in fails(*args.split())
    assert os.listdir(tmp_path) == ["file"]


def test_missing_extras_are_named(fails, monkeypatch, tmp_path):
    find = __import__("importlib.util").util.find_spec
    absent = ("cupy", "tensorboardX")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: None if name in absent else find(name, *a)
    )
    assert "needs CuPy: pip install" in fails("train", "fake", "--device", "cuda")
    assert "pip install 'minigan[tensorboard]'" in fails("train", "fake", "--tensorboard")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "args, parts",
    [
        ("train fake --run_dir run", ["--resume", "--run_dir", "--overwrite"]),
        ("train fake --run_dir run --resume --lr 0.7", ["keeps lr at 0.1, not 0.7"]),
        ("resume run --batch_size 8", ["keeps batch_size at 4, not 8"]),
        ("resume run --seed 9", ["keeps seed at 0, not 9"]),
        ("sample run --labels 99", ["labels must be"]),
        ("sample run -n 0", ["n is 0"]),
        ("sample run --out x.jpg", [".png or .npy"]),
        ("sample run --out no/where.png", ["cannot write no/where.png: No such file"]),
        ("sample run --checkpoint run/checkpoints/step-000001", ["cannot read"]),
    ],
)
def test_refusals_leave_a_run_as_it_is(run, fails, args, parts):
    before = contents(run)
    message = fails(*args.split())
    assert all(part in message for part in parts), message
    assert contents(run) == before


def test_a_run_of_another_version_or_model(run, fails):
    path = run / "config.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "model": "other"}))
    assert "unknown model 'other'" in fails("resume", run)
    assert "run of 'other', not of 'fake'" in fails("train", "fake", "--run_dir", run, "--resume")
    path.write_text(json.dumps({**about, "config": {**about["config"], "novel": 1}}))
    assert "unknown setting 'novel'" in fails("resume", run)


def test_write_errors_say_how_to_go_on(fails, minigan, run, monkeypatch):
    def no_space(path, content):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as full:
        full.setattr("minigan.training.files.write_synced", no_space)
        # config.json itself is the first thing that cannot be written
        assert "No space left on device" in fails("resume", run, "--max_steps", 9)
        full.setattr("minigan.training.run_folder.RunFolder.describe", lambda self, about: None)
        full.setattr("minigan.training.run_folder.RunFolder.rewind", lambda self, step: None)
        message = fails("resume", run, "--max_steps", 9)
        assert f"continue with minigan resume {run}" in message
    assert minigan("resume", run, "--max_steps", 9)[0] == 0


def test_a_resumed_run_with_other_networks_is_refused_as_it_is(run, fails, monkeypatch):
    state_dict = FakeGAN.state_dict
    monkeypatch.setattr(
        FakeGAN, "state_dict", lambda self: {**state_dict(self), "networks": {"critic": {}}}
    )
    before = contents(run)
    assert fails("resume", run) == "network 'critic' is missing from the checkpoint"
    assert contents(run) == before


def test_divergence_is_one_line(fails):
    assert "g_loss became nan at step 2" in fails("train", "fake", "--diverge_at", 2)


# --- sample, info, models -----------------------------------------------------------------------
def test_sample(minigan, run, tmp_path):
    status, out, _ = minigan("sample", run)
    assert (status, out) == (0, f"{run / 'sample.png'}\n")
    assert image_size(run / "sample.png") == (10 * 10 + 2, 10 * 10 + 2)
    minigan("sample", run, "-n", 5, "--labels", 7, 1, "--out", "a.png")
    assert image_size("a.png") == (2 * 10 + 2, 3 * 10 + 2)
    minigan("sample", run, "--n", 5, "--labels", 7, 1, "--seed", 0, "--out", "a.npy")
    images = np.load("a.npy")
    assert images.shape == (5, 1, 8, 8) and images.dtype == np.float32
    gan = FakeGAN(FakeGAN.Config(), "cpu", 5)
    weights = checkpoint.load(run / "final").state
    gan.load_state_dict({"networks": weights["networks"], **weights["gan"]})
    np.testing.assert_array_equal(images, gan.sample(5, labels=[7, 1, 7, 1, 7], seed=0))


def test_sample_from_an_older_checkpoint(minigan, run):
    minigan("resume", run, "--max_steps", 9)
    minigan("sample", run, "--out", "new.npy")
    old = run / "checkpoints" / "step-000006"
    minigan("sample", run, "--out", "old.npy", "--checkpoint", old)
    assert not np.array_equal(np.load("new.npy"), np.load("old.npy"))


def test_sample_of_a_run_without_a_checkpoint(run, fails, tmp_path):
    os.rename(run / "final", tmp_path / "final")
    os.rename(run / "checkpoints", tmp_path / "checkpoints")
    assert "no checkpoint that can be used yet" in fails("sample", run)


def test_sample_with_final_alone(minigan, run, tmp_path):
    os.rename(run / "checkpoints", tmp_path / "checkpoints")
    assert minigan("sample", run)[0] == 0


def test_info_of_a_run(minigan, run):
    status, out, _ = minigan("info", run)
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    assert status == 0
    assert facts["model"] == "fake" and facts["checkpoint"] == "step 6"
    assert facts["parameters of generator"] == "12" and facts["last step"] == "6"
    assert float(facts["last g_loss"]) > 0 and facts["--widths"] == "[4, 3]"


def test_help(minigan):
    for args, part in [
        ([], "train"),
        (["--help"], "models"),
        (["train", "--help"], "models: fake"),
        (["train", "fake", "--help"], "--batch_size INT"),
        (["resume", "--help"], "--max_steps"),
        (["sample", "--help"], "--labels"),
        (["info", "--help"], "usage"),
        (["models", "--help"], "usage"),
    ]:
        status, out, err = minigan(*args)
        assert (status, err) == (0, "") and part in out, args
    assert os.listdir(Path.cwd()) == []
