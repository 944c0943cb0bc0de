"""The judge: a small CNN that reads handwritten digits, trained by minigan itself.

`examples/digit_classifier.py` trains it on all of MNIST and writes the weights that are shipped
here. It has never seen a generated image. Its 128 features are also what distances between sets
of images are measured in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from minigan import creation, nn
from minigan.autograd import no_grad
from minigan.errors import CheckpointError, DataError
from minigan.metrics.checks import class_labels, images_in_range
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


def as_digits(images: np.ndarray) -> np.ndarray:
    """Images [N,1,H,W] in [-1,1] as the classifier takes them: float32 [N,1,28,28], bilinear.

    Raises DataError for another shape, no image, NaN, or pixels on another scale.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1] != 1:
        raise DataError(f"digits must be [N,1,H,W] to be classified; got shape {images.shape}")
    images_in_range("digits", images)
    images = images.astype(np.float32, copy=False)
    if images.shape[2:] == (IMG_SIZE, IMG_SIZE):
        return images
    with no_grad():
        parts = [
            F.interpolate(
                creation.as_tensor(images[start : start + _BATCH]),
                size=(IMG_SIZE, IMG_SIZE),
                mode="bilinear",
            ).numpy()
            for start in range(0, len(images), _BATCH)
        ]
    return np.concatenate(parts)


def digit_batches(images: np.ndarray) -> Iterator[Tensor]:
    """`as_digits` of images in batches of bounded memory."""
    digits = as_digits(images)
    for start in range(0, len(digits), _BATCH):
        yield creation.as_tensor(digits[start : start + _BATCH])


def classify(images: np.ndarray, model: nn.Module | None = None) -> np.ndarray:
    """Digits 0..9 [N] for images [N,1,H,W] in [-1,1]; other sizes are resized to 28x28.

    model: the shipped classifier, or another that gives logits [N,10], in eval mode. Raises
    DataError for images of another kind.
    """
    model = load_classifier() if model is None else model
    with no_grad():
        return np.concatenate([model(batch).numpy().argmax(1) for batch in digit_batches(images)])


def accuracy(images: np.ndarray, labels: np.ndarray, model: nn.Module | None = None) -> float:
    """The share of images that are read as their label, from 0 to 1."""
    labels = class_labels("labels", labels, len(images), n_classes=10)
    return float((classify(images, model) == labels).mean())
