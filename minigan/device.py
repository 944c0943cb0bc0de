"""Where a tensor lives: `cpu`, or `cuda:N`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigan.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """A device type and its index; equal to the strings that name it."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                other = device(other)
            except DeviceError:
                return False
        if not isinstance(other, Device):
            return NotImplemented
        return (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


def device(name: str | Device) -> Device:
    """Parse "cpu", "cuda" (the first GPU) or "cuda:N". Raises DeviceError for anything else."""
    if isinstance(name, Device):
        return name
    kind, _, index = str(name).partition(":")
    if kind == "cpu" and index in ("", "0"):
        return Device("cpu")
    if kind == "cuda" and (index == "" or index.isdigit()):
        return Device("cuda", int(index or 0))
    raise DeviceError(f"unknown device {name!r}: use 'cpu', 'cuda' or 'cuda:N'")


def gpu_index(array: Any) -> int | None:
    """The GPU that holds a CuPy array; None for what is on the host."""
    return getattr(getattr(array, "device", None), "id", None)


def device_of(array: Any) -> Device:
    """The device that holds a NumPy or CuPy array."""
    index = gpu_index(array)
    return Device("cpu") if index is None else Device("cuda", int(index))
