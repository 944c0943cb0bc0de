"""`minigan evaluate`: which figures a run gets, that they tell good from bad, and its files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from minigan import evaluation
from minigan.cli import main
from minigan.data import load

COMMON = {
    "digits covered",
    "KL(generated || data) of digits",
    "classifier score",
    "Frechet distance (MNIST-CNN)",
    "KID (MNIST-CNN)",
    "precision",
    "recall",
    "1-NN two-sample accuracy",
}
FLAGS = ["--data", "mnist-embedded", "--max_steps", "2", "--sample_interval", "0"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, extra in (
        ("gan", []),
        ("acgan", ["--batch_size", "8"]),
    ):
        assert main(["train", name, *FLAGS, *extra, "--run_dir", str(folder / name)]) == 0
    return folder


def evaluate(capsys, *args):
    status = main(["evaluate", *map(str, args)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_generator_of_digits_gets_a_table_and_a_file(runs, capsys):
    status, out, _ = evaluate(capsys, runs / "gan", "-n", 200)
    assert status == 0
    report = json.loads((runs / "gan" / "evaluation.json").read_text())
    assert report["model"] == "gan" and report["step"] == 2 and report["images"] == 200
    assert set(report["figures"]) == COMMON
    for name, figure in report["figures"].items():
        assert name in out
        assert np.isfinite(list(v for v in figure.values() if not isinstance(v, str))).all()
    first = (runs / "gan" / "evaluation.json").read_bytes()
    assert evaluate(capsys, runs / "gan", "-n", 200)[0] == 0
    assert (runs / "gan" / "evaluation.json").read_bytes() == first
    assert evaluate(capsys, runs / "gan", "-n", 200, "--seed", 5)[0] == 0
    assert (runs / "gan" / "evaluation.json").read_bytes() != first


def test_a_model_with_labels_is_also_asked_whether_it_obeys(runs, capsys):
    status, out, _ = evaluate(capsys, runs / "acgan", "-n", 200, "--no-gan_train")
    assert status == 0
    figures = json.loads((runs / "acgan" / "evaluation.json").read_text())["figures"]
    assert set(figures) == COMMON | {"GAN-test (asked digit is read)", "1-NN error on test digits"}
    assert figures["GAN-test (asked digit is read)"]["value"] < 0.5  # two steps teach nothing
    assert figures["GAN-test (asked digit is read)"]["floor"] > 0.9


def test_real_digits_in_the_place_of_generated_ones_reach_the_floors(runs, monkeypatch):
    """What would be measured on a perfect generator, and on one that knows a single digit."""
    options = evaluation.EvaluateOptions(run=runs / "gan", n=400)
    digits = load("mnist-embedded")

    def pretend(indices):
        class Perfect:
            config, needs_labels, takes_pairs = None, False, False

            def sample(self, n, labels=None, seed=None):
                return digits[indices[:n]][0]

        real = saved(*arguments)
        fake = Perfect()
        fake.config = real.config
        return fake

    saved, arguments = evaluation.saved_gan, None
    results = {}
    labels = digits[:][1]
    for name, indices in (
        ("all", np.arange(1000, 2000)),
        ("ones", np.flatnonzero(labels == 1)),
    ):

        def stand_in(*args, indices=indices):
            nonlocal arguments
            arguments = args
            return pretend(indices)

        monkeypatch.setattr(evaluation, "saved_gan", stand_in)
        figures = evaluation.evaluate_run(replace(options))["figures"]
        results[name] = {key: figure["value"] for key, figure in figures.items()}
    good, bad = results["all"], results["ones"]
    assert good["digits covered"] == 10 and bad["digits covered"] <= 2
    assert good["KL(generated || data) of digits"] < 0.05 < bad["KL(generated || data) of digits"]
    assert good["Frechet distance (MNIST-CNN)"] < bad["Frechet distance (MNIST-CNN)"] / 5
    assert abs(good["1-NN two-sample accuracy"] - 0.5) < 0.12 < bad["1-NN two-sample accuracy"]
    assert good["recall"] > bad["recall"]


@pytest.mark.parametrize(
    "args, words",
    [
        (["nowhere"], "there is no run in nowhere"),
        (["RUN", "-n", "5"], "n is 5: figures need at least 200 images"),
        (["RUN", "--checkpoint", "nowhere"], "nowhere"),
        (["RUN", "--data_dir", "nowhere"], None),
    ],
)
def test_bad_input_is_one_line(runs, capsys, args, words):
    args = [str(runs / "gan") if a == "RUN" else a for a in args]
    before = sorted((runs / "gan").iterdir())
    status, _, err = evaluate(capsys, *args, *([] if "-n" in args else ["-n", "200"]))
    if words is None:  # the embedded sample needs no folder
        assert status == 0
        return
    assert status == 2 and words in err and err.count("\n") == 1
    assert sorted((runs / "gan").iterdir()) == before


def test_runs_on_other_pictures_are_refused(tmp_path, capsys):
    run = tmp_path / "run"
    flags = ["--data", "fashion-embedded", "--max_steps", "1", "--sample_interval", "0"]
    assert main(["train", "gan", *flags, "--run_dir", str(run)]) == 0
    status, _, err = evaluate(capsys, run, "-n", "200")
    assert status == 2 and "only runs on MNIST can be judged" in err
