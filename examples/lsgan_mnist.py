"""Train an LSGAN on handwritten digits: squares in the place of logarithms.

    python examples/lsgan_mnist.py                      least squares
    python examples/lsgan_mnist.py --gan_mode vanilla   the same networks with the cross-entropy
    python examples/lsgan_mnist.py --dropout 0          a discriminator that forgets nothing

The cross-entropy has no more to say about a fake that D takes for data, even if it is far from all
data. The square pulls it on, to the value 1 and not beyond, and its gradient does not vanish where
D is sure.

Look at losses.png in runs/lsgan-mnist. D's loss would be 0.25 if it answered 1/2 to everything;
it should stay below, and `d_x` above `d_g_z`. Train once with each --gan_mode, into two folders
(--run_dir), and compare both curves and samples: nothing but the loss is different.

The networks are in minigan/models/lsgan.py, the losses in minigan/objectives.py.
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "lsgan", "--data", "mnist", *sys.argv[1:]]))
