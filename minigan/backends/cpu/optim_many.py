"""The optimisers' steps of many parameters: the passes of `optim.py`, one after the other."""

from functools import partial

from minigan.backends import reference
from minigan.backends.cpu.optim import adam_step, rmsprop_step, sgd_step

sgd_steps = partial(reference.sgd_steps, one=sgd_step)
adam_steps = partial(reference.adam_steps, one=adam_step)
rmsprop_steps = partial(reference.rmsprop_steps, one=rmsprop_step)
