"""Train a CGAN on handwritten digits: both networks are told which digit it is.

    python examples/cgan_mnist.py                      least squares, as commonly implemented
    python examples/cgan_mnist.py --gan_mode vanilla   the paper's cross-entropy
    minigan sample runs/cgan-mnist --labels 3 1 4      digits of your choice, afterwards

G gets a label with its latent vector. D gets the label with the image and says whether the two
belong together, so a good 7 under the label 1 is a fake. ACGAN asks D for the label instead.

Look at samples/ in runs/cgan-mnist: column k was asked for digit k. Columns agree with their digit
early, while the strokes are still rough: the label is the easy part. Rows share nothing; each
image has a latent vector of its own. With least squares, `d_x` and `d_g_z` are D's raw outputs,
drawn to 1 and to 0, and no probabilities.

The networks and the step are in minigan/models/cgan.py.
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "cgan", "--data", "mnist", *sys.argv[1:]]))
