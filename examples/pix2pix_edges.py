"""Train pix2pix to draw handwritten digits from their edges.

    python examples/pix2pix_edges.py                                 the CPU, all cores
    python examples/pix2pix_edges.py --device cuda --ngf 64 --ndf 64 a GPU, networks of full width
    python examples/pix2pix_edges.py --lambda_L1 0                   without the L1 distance
    python examples/pix2pix_edges.py --resume                        go on where it stopped
    python examples/pix2pix_edges.py --help                          all flags

It is the same as `minigan train pix2pix --data mnist-edges` with the flags below, and fills the
folder runs/pix2pix-mnist-edges:

    samples/step-000400.png   edges, what the generator makes of them, and the digits, a row each
    losses.png                both losses, the two parts of the generator's, what D thinks
    metrics.jsonl             the numbers behind that plot, one line a step
    checkpoints/  final/      the networks, as safetensors, and all that resuming needs

`minigan sample runs/pix2pix-mnist-edges` makes the same picture from test images, and `minigan
evaluate runs/pix2pix-mnist-edges` measures how near they come and whether the digit is kept.

pix2pix was published for photographs of 256x256 with batches of one. Its defaults are still those,
so a small task has to say so: images of 32x32 in one channel, a U-Net of 5 levels instead of 8 and
a quarter as wide, batches of 16, and one epoch at the full learning rate before one of decay.
The networks and the losses are in minigan/models/pix2pix.py; the heart of it, without files, is

    gan = Pix2Pix(Pix2Pix.Config(img_size=32, channels=1, ngf=16, ndf=16, batch_size=16))
    pairs = minigan.data.load("mnist-edges", img_size=32, channels=1)
    for a, b, *_ in minigan.data.DataLoader(pairs, gan.config.batch_size):
        losses = gan.step((a, b))
    digits = gan.translate(a)
"""

import sys

from minigan.cli import main

FLAGS = ["--img_size", "32", "--channels", "1", "--ngf", "16", "--ndf", "16", "--batch_size", "16"]
EPOCHS = ["--n_epochs", "1", "--n_epochs_decay", "1"]

if __name__ == "__main__":
    sys.exit(main(["train", "pix2pix", "--data", "mnist-edges", *FLAGS, *EPOCHS, *sys.argv[1:]]))
