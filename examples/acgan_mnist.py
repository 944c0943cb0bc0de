"""Train an ACGAN on handwritten digits: a generator that draws the digit it is asked for.

    python examples/acgan_mnist.py                                   the CPU, all cores
    python examples/acgan_mnist.py --device cuda                     a GPU
    python examples/acgan_mnist.py --n_epochs 3 --data_dir DIR       MNIST's four files in DIR
    python examples/acgan_mnist.py --resume                          go on where it stopped
    python examples/acgan_mnist.py --help                            all flags

It is the same as `minigan train acgan --data mnist`, and fills the folder runs/acgan-mnist:

    samples/step-000400.png   the same 100 latents after each 400 steps; column k asks for digit k
    losses.png                both losses, the class accuracy, and how real D thinks G's images are
    metrics.jsonl             the numbers behind that plot, one line a step
    checkpoints/  final/      the networks, as safetensors, and all that resuming needs

Draw more from it with `minigan sample runs/acgan-mnist --labels 3 1 4`.

Without --data_dir, a download or a network, it trains on the real digits that come with minigan.
The networks and the two losses are in minigan/models/acgan.py, the loop that the flags control in
minigan/training/loop.py; the heart of both, without files, is

    gan = minigan.models.create("acgan", device="cpu", seed=0)
    digits = minigan.data.load("mnist", img_size=gan.config.img_size)
    for images, labels in minigan.data.DataLoader(digits, gan.config.batch_size):
        losses = gan.step((images, labels))
    threes = gan.sample(16, labels=[3] * 16)
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "acgan", "--data", "mnist", *sys.argv[1:]]))
