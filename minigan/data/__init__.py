"""Data sets and the loader that feeds them to training, as NumPy arrays."""

from minigan.data.dataset import ArrayDataset, Batch, Dataset, Subset
from minigan.data.image_folder import ImageFolder
from minigan.data.loader import DataLoader, permutation
from minigan.data.mnist_like import fashion_mnist, mnist
from minigan.data.pairs import AlignedFolder, PairDataset, UnalignedFolder
from minigan.data.registry import kind, load, names

__all__ = [
    "AlignedFolder",
    "ArrayDataset",
    "Batch",
    "DataLoader",
    "Dataset",
    "ImageFolder",
    "PairDataset",
    "Subset",
    "UnalignedFolder",
    "fashion_mnist",
    "kind",
    "load",
    "mnist",
    "names",
    "permutation",
]
