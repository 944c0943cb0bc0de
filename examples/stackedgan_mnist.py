"""Train a StackedGAN on handwritten digits: a label becomes features, features become an image.

    python examples/stackedgan_mnist.py                                the CPU, all cores
    python examples/stackedgan_mnist.py --device cuda                  a GPU
    python examples/stackedgan_mnist.py --lambda_entropy 0             nobody asks for the noise
    python examples/stackedgan_mnist.py --lambda_conditional 0         nobody asks for the label
    python examples/stackedgan_mnist.py --independent_steps 0          jointly from the start
    python examples/stackedgan_mnist.py --data_dir DIR                 MNIST's four files in DIR
    python examples/stackedgan_mnist.py --resume                       go on where it stopped
    python examples/stackedgan_mnist.py --help                         all flags

It is the same as `minigan train stackedgan --data mnist`, and fills runs/stackedgan-mnist. The
steps come in three phases: the encoder learns to read digits (--encoder_steps), then each level
trains by itself (--independent_steps), then both jointly, for the rest of --n_epochs. Its pictures
are

    samples          column k asks for digit k
    z1               row k asks for digit k; from left to right the noise goes from a draw to its
                     opposite, of which the upper level makes features: what kind of 4 it is
    z0               the same for the noise of the lower level, which is left only what the features
                     do not say: where each stroke lies, and how thick it is
    interpolation    row k asks for digit k, from one draw of all noise to another

In its losses.png, look at

    encoder_accuracy    all that follows can be no better than the encoder
    conditional_1       whether the features say the label: 2.303 at chance, towards 0
    conditional_0       whether the image has the features that it was given
    entropy_1, _0       whether the noise can be read off the features, or the image; it starts at
                        1/12 = 0.083, the variance of the noise, where nothing can

The networks, the losses and the step are in minigan/models/stackedgan.py; the heart, without files:

    gan = minigan.models.create("stackedgan", device="cpu", seed=0)
    digits = minigan.data.load("mnist", img_size=gan.config.img_size)
    for images, labels in minigan.data.DataLoader(digits, gan.config.batch_size):
        losses = gan.step((images, labels))
    sevens = gan.sample(10, labels=[7] * 10)
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "stackedgan", "--data", "mnist", *sys.argv[1:]]))
