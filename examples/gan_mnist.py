"""Train a GAN on handwritten digits: two fully connected networks and nothing else.

    python examples/gan_mnist.py                      200 epochs, as in the common implementation
    python examples/gan_mnist.py --n_epochs 20        digits can be made out
    python examples/gan_mnist.py --gan_mode minimax   the loss that theory starts from
    python examples/gan_mnist.py --help               all flags

The discriminator D learns to tell digits from the generator's images, the generator G to be taken
for digits. G never sees a digit: all it learns comes as a gradient through D.

Look at losses.png in runs/gan-mnist. The losses do not fall: each is measured by an opponent that
learns too. `d_x` and `d_g_z` are the probabilities that D gives to data and to G's images; they
should keep some distance and not go to 1 and 0. Under minimax, G's gradient vanishes there.
In samples/, see whether all ten digits come: a GAN may settle on a few of them.

The networks and the losses are in minigan/models/gan.py; every flag of acgan_mnist.py is here too.
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "gan", "--data", "mnist", *sys.argv[1:]]))
