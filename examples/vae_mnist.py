"""Train a VAE on handwritten digits: the baseline without an adversary.

    python examples/vae_mnist.py                                     the CPU, all cores
    python examples/vae_mnist.py --device cuda                       a GPU
    python examples/vae_mnist.py --latent_dim 2                      the manifold is the whole space
    python examples/vae_mnist.py --decoder dcgan --latent_dim 100    DCGAN's generator as decoder
    python examples/vae_mnist.py --n_epochs 3 --data_dir DIR         MNIST's four files in DIR
    python examples/vae_mnist.py --resume                            go on where it stopped
    python examples/vae_mnist.py --help                              all flags

It is the same as `minigan train vae --data mnist`, and fills the folder runs/vae-mnist. Its
pictures are

    samples           what the decoder makes of draws from N(0, I)
    reconstruction    digits, and below each what is left of it after encoding and decoding
    manifold          a plane of the latent space, at the Gaussian's quantiles
    interpolation     walks from one latent vector to another

and its losses.png shows vae_loss = reconstruction + kl, in nats per image. The loss on images that
it was not trained on is the figure to compare: `minigan evaluate runs/vae-mnist` gives it.

With `--decoder dcgan --latent_dim 100` the decoder is, weight for weight, the generator of
examples/dcgan_mnist.py. What differs between their samples is then what a bound and an adversary
ask for: the bound wants every digit covered and blurs, the adversary wants every image sharp and
may leave digits out.

The networks and the bound are in minigan/models/vae.py; the heart, without files, is

    vae = minigan.models.create("vae", device="cpu", seed=0)
    digits = minigan.data.load("mnist", img_size=vae.config.img_size)
    for images, labels in minigan.data.DataLoader(digits, vae.config.batch_size):
        losses = vae.step((images, labels))
    nats = vae.bound(minigan.data.load("mnist", train=False)[:1000][0]).mean()
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "vae", "--data", "mnist", *sys.argv[1:]]))
