"""Train a DCGAN on handwritten digits: the same game, with convolutions.

    python examples/dcgan_mnist.py                28x28, networks of the InfoGAN paper
    python examples/dcgan_mnist.py --img_size 32  upsampling and 3x3 convolutions
    python examples/dcgan_mnist.py --img_size 64  the paper's own networks
    python examples/dcgan_mnist.py --penalty r1   a discriminator with gentle slopes

The losses are those of gan_mnist.py. A convolution knows that a stroke is the same stroke two
pixels further, so strokes are clean where the fully connected GAN leaves specks.

Look at samples/ in runs/dcgan-mnist after the first thousand steps, beside those of gan_mnist.py.
With BatchNorm the images of a batch depend on each other; samples are drawn in eval mode, with
running statistics, so that they do not. interpolation-*.png shows digits on the way from one latent
vector to another: if the steps between are digits too, G has learned more than single images.

The three pairs of networks are in minigan/models/dcgan.py, the training step in gan.py.
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "dcgan", "--data", "mnist", *sys.argv[1:]]))
