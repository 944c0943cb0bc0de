"""Every error that minigan raises on purpose.

Each message is one line: what was wrong, with the values, and what to do. The command line
prints that line and exits with status 2; a library user can catch `MiniganError`, or the
built-in class that fits (a `ShapeError` is a `ValueError`, for example).
"""


class MiniganError(Exception):
    """Base of all errors below."""


class ShapeError(MiniganError, ValueError):
    """Shapes that do not fit an operation or a layer."""


class DTypeError(MiniganError, TypeError):
    """A dtype that an operation cannot take."""


class DeviceError(MiniganError, RuntimeError):
    """A device that is not there, or operands on different devices."""


class CaptureError(MiniganError, RuntimeError):
    """A training step that cannot be captured."""


class GradError(MiniganError, RuntimeError):
    """Misuse of the gradient machinery: freed graph, stale saved tensor, missing gradient."""


class ConfigError(MiniganError, ValueError):
    """An option or argument outside its range."""


class DataError(MiniganError):
    """A data file that is missing, truncated, corrupt or of the wrong kind."""


class CheckpointError(MiniganError):
    """A run folder, checkpoint or state dictionary that cannot be written, read or applied."""
