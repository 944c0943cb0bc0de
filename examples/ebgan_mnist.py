"""Train an EBGAN on handwritten digits: the discriminator is an autoencoder with a margin.

    python examples/ebgan_mnist.py                                   the CPU, all cores
    python examples/ebgan_mnist.py --device cuda                     a GPU
    python examples/ebgan_mnist.py --margin 0.5                      a lower wall around the data
    python examples/ebgan_mnist.py --lambda_pt 0                     without the pulling-away term
    python examples/ebgan_mnist.py --n_epochs 3 --data_dir DIR       MNIST's four files in DIR
    python examples/ebgan_mnist.py --resume                          go on where it stopped
    python examples/ebgan_mnist.py --help                            all flags

It is the same as `minigan train ebgan --data mnist`, and fills the folder runs/ebgan-mnist. In its
losses.png, look at

    real_energy    the autoencoder's mean square error on data; falls as it learns digits
    fake_energy    the same on generated images: D holds it at the margin, G presses it down
    pulling_away   the mean squared cosine between the codes of a batch: 1 where all are one
                   direction, near 0 where they are not

A fake_energy far above the margin means that D is not challenged: its hinge is 0, and only G moves.
One that falls to the real_energy means that D no longer tells the two apart.

The autoencoder, its energy and why the target of its error must not be detached are in
minigan/models/ebgan.py; the margin and the pulling-away term are in minigan/objectives.py. The
heart, without files, is

    gan = minigan.models.create("ebgan", device="cpu", seed=0)
    digits = minigan.data.load("mnist", img_size=gan.config.img_size)
    for images, labels in minigan.data.DataLoader(digits, gan.config.batch_size):
        losses = gan.step((images, labels))
    images = gan.sample(16)
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "ebgan", "--data", "mnist", *sys.argv[1:]]))
