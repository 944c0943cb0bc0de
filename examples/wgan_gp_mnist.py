"""Train a WGAN-GP on handwritten digits: backward through the backward pass.

    python examples/wgan_gp_mnist.py
    python examples/wgan_gp_mnist.py --penalty_weight 1
    python examples/wgan_gp_mnist.py --penalty none       what happens to an unbounded critic

In the place of clipped weights, the critic's gradient with respect to images is asked to have
length 1, at random points between data and G's images. The penalty is made of a gradient, so the
critic's weights need the gradient of a gradient; minigan can differentiate every operation twice.

Look at `penalty` in losses.png of runs/wgan_gp-mnist: it jumps up at first and then stays small,
which says that slopes are near 1 where it matters. `critic_gap` is then in the units of a distance
and falls. Without the penalty the gap grows without end and means nothing.

The penalty is gradient_penalty in minigan/objectives.py, six lines; the step is that of wgan.py.
"""

import sys

from minigan.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "wgan_gp", "--data", "mnist", *sys.argv[1:]]))
