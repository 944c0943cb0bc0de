"""Training: one loop for all models, and the run folder that it writes.

`train_from_flags` is what the command line and the examples call; `run_training` is the same from
a `TrainOptions` and a model's Config, and `train` the loop alone.
"""

from minigan.training.loop import Result, train
from minigan.training.options import TrainOptions
from minigan.training.run_folder import RunFolder
from minigan.training.session import run_training, train_from_flags

__all__ = ["Result", "RunFolder", "TrainOptions", "run_training", "train", "train_from_flags"]
