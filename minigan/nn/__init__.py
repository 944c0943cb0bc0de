"""Layers, losses and their helpers: torch.nn's names, defaults and results on minigan tensors."""

from minigan.nn import functional, init
from minigan.nn.activation import (
    ELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from minigan.nn.containers import Identity, ModuleDict, ModuleList, Sequential
from minigan.nn.convolution import Conv2d, ConvTranspose2d
from minigan.nn.dropout import Dropout, Dropout2d
from minigan.nn.embedding import Embedding
from minigan.nn.flatten import Flatten, Unflatten
from minigan.nn.linear import Linear
from minigan.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from minigan.nn.module import Module
from minigan.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    InstanceNorm2d,
    LayerNorm,
)
from minigan.nn.padding import ConstantPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from minigan.nn.parameter import Parameter
from minigan.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from minigan.nn.upsample import PixelShuffle, Upsample

from minigan.nn import utils  # isort: skip  needs the layers
