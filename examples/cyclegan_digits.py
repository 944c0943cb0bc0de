"""Train a CycleGAN between handwritten digits and their negatives, and tell it no pair.

    python examples/cyclegan_digits.py                                the CPU, all cores
    python examples/cyclegan_digits.py --device cuda --ngf 64 --ndf 64 --n_blocks 6   full width
    python examples/cyclegan_digits.py --data mnist-coloured --channels 3   gray and coloured digits
    python examples/cyclegan_digits.py --lambda_A 0 --lambda_B 0      no way back is asked for
    python examples/cyclegan_digits.py --pool_size 0                  no history of results
    python examples/cyclegan_digits.py --resume                       go on where it stopped
    python examples/cyclegan_digits.py --help                         all flags

It is the same as `minigan train cyclegan --data mnist-inverted` with the flags below, and fills the
folder runs/cyclegan-mnist-inverted:

    samples/step-000400.png     digits, what G_A makes of them, back again by G_B, and G_B of the
                                digit, which needs no translation; a row each
    samples/step-000400-samples_b.png    the same from the other side
    losses.png                  for both directions the adversarial, cycle and identity losses
    metrics.jsonl               the numbers behind that plot, one line a step
    checkpoints/  final/        the networks, as safetensors, and all that resuming needs

`minigan evaluate runs/cyclegan-mnist-inverted` measures how far there and back is from the start,
and how often the digit is still the same: the one thing that no loss asks for by name.

CycleGAN was published for photographs of 256x256, one at a time. Its defaults are still those, so a
small task has to say so: images of 32x32 in one channel, 3 residual blocks instead of 9, a quarter
as wide, patches of 34 pixels, batches of 8. The networks and the losses are in
minigan/models/cyclegan.py; the heart of it, without files, is

    config = CycleGAN.Config(img_size=32, channels=1, ngf=16, ndf=16, n_blocks=3, n_layers_D=2)
    gan = CycleGAN(config)
    heaps = minigan.data.load("mnist-inverted", img_size=32, channels=1)
    for a, b, *_ in minigan.data.DataLoader(heaps, gan.config.batch_size):
        losses = gan.step((a, b))
    negatives, digits = gan.translate(a), gan.translate(b, "BtoA")
"""

import sys

from minigan.cli import main

SIZE = ["--img_size", "32", "--channels", "1", "--batch_size", "8"]
NETWORKS = ["--ngf", "16", "--ndf", "16", "--n_blocks", "3", "--n_layers_D", "2"]
EPOCHS = ["--n_epochs", "1", "--n_epochs_decay", "1"]

if __name__ == "__main__":
    flags = ["--data", "mnist-inverted", *SIZE, *NETWORKS, *EPOCHS]
    sys.exit(main(["train", "cyclegan", *flags, *sys.argv[1:]]))
