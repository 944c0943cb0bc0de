"""Train a WGAN on handwritten digits: a critic that measures a distance.

    python examples/wgan_mnist.py
    python examples/wgan_mnist.py --clip_value 0.1     weights with more room: what does it change?
    python examples/wgan_mnist.py --n_critic 1         a critic that has no time to get good

The critic gives scores, high for data and low for G's images, as different as its clipped weights
allow. For the best critic of bounded slope that difference is, up to a factor, the earth mover's
distance between the two. The critic takes five steps for each of G's, so samples come slowly at
first; count G's steps.

Look at `critic_gap` in losses.png of runs/wgan-mnist. It is the one curve in this collection that
falls while the images get better. Keep an eye on its sign: below 0 the critic has lost its way.

The step is in minigan/models/wgan.py; the networks are those of gan_mnist.py.
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "wgan", "--data", "mnist", *sys.argv[1:]]))
