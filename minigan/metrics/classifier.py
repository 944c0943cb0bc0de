"""The judge: a small CNN that reads handwritten digits, trained by minigan itself.

`examples/digit_classifier.py` trains it on all of MNIST and writes the weights that are shipped
here. It has never seen a generated image. Its 128 features are also what distances between sets
of images are measured in.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from minigan import creation, nn
from minigan.autograd import no_grad
from minigan.errors import CheckpointError, DataError
from minigan.nn import functional as F
from minigan.tensor import Tensor

IMG_SIZE = 28
WEIGHTS = Path(__file__).with_name("mnist_classifier.safetensors")
WEIGHTS_SHA256 = "cfaa4d930245bdba3aab5815ffda21623d42597c872f07b2938157fc0e521ddf"
_BATCH = 500


class DigitClassifier(nn.Module):
    """Images [N,1,28,28] in [-1,1] -> logits [N,10]; `features` gives what the last layer sees."""

    def __init__(self) -> None:
        super().__init__()

        def block(in_channels: int, out_channels: int) -> list[nn.Module]:
            return [
                nn.Conv2d(in_channels, out_channels, 3, padding=1),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]

        self.body = nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), nn.Flatten())
        self.hidden = nn.Linear(64 * 3 * 3, 128)
        self.dropout = nn.Dropout(0.3)
        self.logits = nn.Linear(128, 10)

    def features(self, images: Tensor) -> Tensor:
        """[N,128], after the ReLU of the last hidden layer."""
        return F.relu(self.hidden(self.body(images)))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits(self.dropout(self.features(images)))


@cache
def load_classifier() -> DigitClassifier:
    """The shipped classifier, in eval mode. Raises CheckpointError if its file was changed."""
    from safetensors.numpy import load

    try:
        content = WEIGHTS.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{WEIGHTS.name}: {error.strerror}: reinstall minigan") from None
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        raise CheckpointError(f"{WEIGHTS.name} is not the file that was shipped: reinstall minigan")
    model = DigitClassifier()
    model.load_state_dict(load(content))
    return model.eval()


def _logits(model: DigitClassifier, images: np.ndarray) -> np.ndarray:
    if images.ndim != 4 or images.shape[1] != 1:
        raise DataError(f"digits must be [N,1,H,W] to be classified; got shape {images.shape}")
    parts = []
    with no_grad():
        for start in range(0, len(images), _BATCH):
            x = creation.as_tensor(images[start : start + _BATCH])
            if x.shape[2:] != (IMG_SIZE, IMG_SIZE):
                x = F.interpolate(x, size=(IMG_SIZE, IMG_SIZE), mode="bilinear")
            parts.append(model(x).numpy())
    return np.concatenate(parts)


def classify(images: np.ndarray, model: DigitClassifier | None = None) -> np.ndarray:
    """Digits 0..9 [N] for float32 images [N,1,H,W] in [-1,1]; other sizes are resized to 28x28."""
    return _logits(model or load_classifier(), images).argmax(1)


def accuracy(images: np.ndarray, labels: np.ndarray, model: DigitClassifier | None = None) -> float:
    """The share of images that are read as their label, from 0 to 1."""
    return float((classify(images, model) == np.asarray(labels)).mean())
