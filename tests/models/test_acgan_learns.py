"""Slow: ACGAN on all of MNIST for three epochs, judged by a classifier it has never met."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigan import data, models
from minigan.autograd import no_grad
from minigan.creation import as_tensor
from minigan.metrics import accuracy
from minigan.training import checkpoint

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("MINIGAN_DATA", ROOT.parent / "shared" / "data"))
DOUBLE_SOFTMAX_FLOOR = 1.4612  # ln(e + 9) - 1: the class loss of a softmax too many stops here

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs MNIST: set MINIGAN_DATA to its folder"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run; MINIGAN_RUN names one that is there already."""
    if "MINIGAN_RUN" in os.environ:
        return Path(os.environ["MINIGAN_RUN"])
    folder = tmp_path_factory.mktemp("runs") / "acgan"
    script = ROOT / "examples" / "acgan_mnist.py"
    flags = ["--data_dir", DATA, "--n_epochs", "3", "--run_dir", folder]
    subprocess.run([sys.executable, script, *map(str, flags)], check=True)
    return folder


@pytest.fixture(scope="module")
def gan(run):
    saved = checkpoint.load(run / "final")
    model = models.create("acgan", **saved.config)
    model.load_state_dict({"networks": saved.state["networks"], **saved.state["gan"]})
    return model


def test_the_discriminator_reads_real_test_digits(gan):
    images, labels = data.load("mnist", train=False, data_dir=DATA, img_size=32)[:]
    discriminator = gan.sampler("discriminator").eval()  # its average
    with no_grad():
        parts = np.split(images, 20)
        logits = np.concatenate([discriminator(as_tensor(x))[1].numpy() for x in parts])
    share = (logits.argmax(1) == labels).mean()
    print(f"class accuracy of D on the test digits: {share:.2%}")
    assert share > 0.98


def test_the_class_loss_is_below_the_floor_of_the_double_softmax(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = np.mean([row["class_loss"] for row in rows[-200:]])
    print(f"class loss, mean of the last 200 steps: {last:.4f}")
    assert last < DOUBLE_SOFTMAX_FLOOR


def test_samples_show_the_digit_that_was_asked_for(gan):
    labels = np.arange(10_000) % 10
    share = accuracy(gan.sample(len(labels), labels=labels, seed=0), labels)
    print(f"agreement of the classifier with the asked label: {share:.2%}")
    assert share >= 0.90
