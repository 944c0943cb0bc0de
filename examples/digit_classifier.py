"""Train the digit classifier that judges generated images: a CNN on minigan, no GAN involved.

    python examples/digit_classifier.py --data_dir DIR

trains on MNIST for a few minutes, prints the accuracy on the test set after each epoch, and
writes the weights, with their SHA-256, to --out.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from safetensors.numpy import save
from tqdm import tqdm

import minigan as mg
from minigan import data, nn, optim
from minigan.metrics import DigitClassifier, accuracy


@dataclass
class Options:
    data_dir: Path | None = None
    """Folder with the MNIST files."""
    out: Path = Path("mnist_classifier.safetensors")
    """Where the weights go."""
    n_epochs: int = 10
    batch_size: int = 64
    lr: float = 0.001
    seed: int = 0


def shifted(images: np.ndarray, rng: np.random.Generator, by: int = 2) -> np.ndarray:
    """Each image moved by up to `by` pixels either way: a digit is the same digit beside itself."""
    n, _, h, w = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (by, by), (by, by)), constant_values=-1.0)
    top, left = rng.integers(0, 2 * by + 1, (2, n, 1, 1))
    rows, columns = top + np.arange(h)[:, None], left + np.arange(w)
    return padded[np.arange(n)[:, None, None], 0, rows, columns][:, None]


def main(options: Options) -> None:
    mg.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    train = data.load("mnist", train=True, data_dir=options.data_dir)
    test_images, test_labels = data.load("mnist", train=False, data_dir=options.data_dir)[:]
    print(f"training on {train.source}")
    loader = data.DataLoader(train, options.batch_size, seed=options.seed)
    model = DigitClassifier()
    optimizer = optim.Adam(model.parameters(), lr=options.lr)
    loss_of = nn.CrossEntropyLoss()
    steps = options.n_epochs * len(loader)
    # From lr down to 0 in a half cosine.
    schedule = optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: 0.5 + 0.5 * np.cos(np.pi * i / steps)
    )
    for epoch in range(1, options.n_epochs + 1):
        model.train()
        for images, labels in tqdm(loader, desc=f"epoch {epoch}", leave=False, disable=None):
            optimizer.zero_grad()
            loss = loss_of(model(mg.tensor(shifted(images, rng))), mg.tensor(labels))
            loss.backward()
            optimizer.step()
            schedule.step()
        score = accuracy(test_images, test_labels, model.eval())
        print(f"epoch {epoch}: accuracy on the test set {score:.2%}", flush=True)
    content = save({key: value.numpy() for key, value in model.state_dict().items()})
    options.out.write_bytes(content)
    print(f"wrote {options.out}, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main(tyro.cli(Options, config=(tyro.conf.OmitArgPrefixes,)))
