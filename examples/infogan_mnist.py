"""Train an InfoGAN on handwritten digits: it finds the ten digits, and nobody tells it of them.

    python examples/infogan_mnist.py                                 the CPU, all cores
    python examples/infogan_mnist.py --device cuda                   a GPU
    python examples/infogan_mnist.py --lambda_categorical 0          nobody asks for the category
    python examples/infogan_mnist.py --fix_sigma --lambda_continuous 1 --slope 0.01
                                                                     as the authors' program
    python examples/infogan_mnist.py --n_epochs 11 --data_dir DIR    MNIST's four files in DIR
    python examples/infogan_mnist.py --resume                        go on where it stopped
    python examples/infogan_mnist.py --help                          all flags

It is the same as `minigan train infogan --data mnist`, and fills the folder runs/infogan-mnist. Its
pictures are

    samples          column k asks for category k; after training, for one digit
    c1, c2           row k is category k with one noise vector; from left to right a continuous
                     code goes from -2 to 2: slant, width or weight of the stroke
    interpolation    row k is category k, from one draw of noise and codes to another

In its losses.png, look at

    mi_categorical   how much of the category the image gives away, at least: 0 nats where the
                     generator ignores it, ln 10 = 2.303 where every image tells
    mi_continuous    the same for the two continuous codes together; it starts below 0, because a
                     Gaussian that knows nothing fits a uniform code badly, and has no upper end

That the images tell the category does not mean that it is a digit: nothing but the data says so.
`minigan evaluate runs/infogan-mnist` asks Q for the category of real digits and counts how often
that, matched with the digits on training data, is wrong. Seeds differ: one may put 4 and 9 into one
category and use two for the 1.

The networks, the bound and the step are in minigan/models/infogan.py; the heart, without files, is

    gan = minigan.models.create("infogan", device="cpu", seed=0)
    digits = minigan.data.load("mnist", img_size=gan.config.img_size)
    for images, _ in minigan.data.DataLoader(digits, gan.config.batch_size):
        losses = gan.step((images,))
    found = gan.categories(digits[:100][0])
    slanted = gan.sample(10, labels=[3] * 10, codes=[[c / 5, 0] for c in range(10)])
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "infogan", "--data", "mnist", *sys.argv[1:]]))
