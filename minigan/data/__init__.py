"""Data sets and the loader that feeds them to training, as NumPy arrays."""

from minigan.data.dataset import ArrayDataset, Batch, Dataset, Subset
from minigan.data.loader import DataLoader, permutation
from minigan.data.mnist_like import fashion_mnist, mnist
from minigan.data.registry import load, names

__all__ = [
    "ArrayDataset",
    "Batch",
    "DataLoader",
    "Dataset",
    "Subset",
    "fashion_mnist",
    "load",
    "mnist",
    "names",
    "permutation",
]
