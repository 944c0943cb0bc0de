"""The flags of the commands, read by tyro: dataclasses, or for `train` a model's Config too."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from minigan.errors import ConfigError, MiniganError

_T = TypeVar("_T")


def optional_flag(metavar: str, default: str, alias: str | None = None) -> Any:
    """How --help shows a flag whose default, None, stands for something."""
    hint = f"(default: {default})"
    aliases = None if alias is None else (alias,)
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=hint, aliases=aliases)


@dataclass(frozen=True)
class TrainOptions:
    """Where and how to train; the same for every model."""

    device: str = "cpu"
    """Where to compute: cpu, cuda or cuda:N."""
    seed: int = 0
    """Seed of the weights, the latents and the order of the data."""
    data: str = "mnist"
    """Data set to train on: mnist, fashion-mnist, stacked-mnist; of pairs mnist-edges,
    mnist-inverted, mnist-coloured, fashion-mnist-edges, sneakers-boots; of your own in --data_dir
    folder, aligned, unaligned. mnist-embedded and the like are samples inside the package."""
    data_dir: Annotated[Path | None, optional_flag("DIR", "the user cache, then a download")] = None
    """Folder that holds the data."""
    load_size: Annotated[int | None, optional_flag("INT", "no resizing")] = None
    """Folders of images: resize to this before img_size is cut out at random."""
    flip: bool = False
    """Folders of images: mirror half of them, chosen at random."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Pairs: which side is the input."""
    run_dir: Annotated[Path | None, optional_flag("DIR", "runs/MODEL-DATA")] = None
    """Folder that the run is written to."""
    max_steps: Annotated[int | None, optional_flag("INT", "no limit below n_epochs")] = None
    """Stop after this many steps in all."""
    checkpoint_interval: int = 1000
    """Steps between checkpoints; there is always one at the end."""
    keep_checkpoints: int = 3
    """How many of the newest checkpoints to keep."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue the run in run_dir from its newest checkpoint."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the run that is already in run_dir."""
    tensorboard: bool = False
    """Also write TensorBoard event files to run_dir/tensorboard."""
    threads: Annotated[int | None, optional_flag("INT", "all cores")] = None
    """CPU threads to use."""
    capture: bool = True
    """Record a step and launch it as one (on a GPU a CUDA graph): the same numbers, sooner."""
    precision: Annotated[
        Literal["fp32", "tf32", "3xtf32"] | None,
        optional_flag("{fp32,tf32,3xtf32}", "$MINIGAN_PRECISION, or tf32"),
    ] = None
    """On a GPU, how exactly convolutions multiply."""

    def __post_init__(self) -> None:
        for name in (
            "load_size",
            "max_steps",
            "checkpoint_interval",
            "keep_checkpoints",
            "threads",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}: it must be at least 1")
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"seed is {self.seed}: use 0 to 2**64 - 1")
        if self.resume and self.overwrite:
            raise ConfigError("resume and overwrite exclude each other: give one of them")


@dataclass(frozen=True)
class SampleOptions:
    """What to draw from a run, and where to put it."""

    run: tyro.conf.Positional[Path]
    """The run folder."""
    n: Annotated[int | None, optional_flag("INT", "fills the grid", "-n")] = None
    """How many images; ten of each class, or 64 where there are no classes."""
    labels: Annotated[tuple[int, ...], optional_flag("INT ...", "all classes")] = ()
    """Classes to draw, one a column of the grid."""
    seed: int = 0
    """Seed of the latents."""
    picture: Annotated[str | None, optional_flag("NAME", "a grid of samples")] = None
    """One of the pictures that training writes, drawn anew: interpolation, c1, manifold, ..."""
    out: Annotated[Path | None, optional_flag("FILE", "sample.png in the run folder")] = None
    """A .png for a grid, or a .npy for an array of float32 in [-1, 1]."""
    checkpoint: Annotated[Path | None, optional_flag("DIR", "the newest")] = None
    """Checkpoint folder to draw from."""
    device: str = "cpu"
    """Where to compute: cpu, cuda or cuda:N."""


def parse_train_flags(
    gan_class: Any,
    args: Sequence[str],
    prog: str,
    options: TrainOptions | None = None,
    config: Any = None,
) -> tuple[TrainOptions, Any]:
    """Flags -> (TrainOptions, gan_class.Config); `options` and `config` give other defaults.

    Raises ConfigError with one line for an unknown flag or a bad value; --help prints the flags
    and raises SystemExit(0).
    """
    both = dataclasses.make_dataclass(
        "Flags",
        [
            (
                "training",
                Annotated[TrainOptions, tyro.conf.OmitArgPrefixes],
                field(default=options or TrainOptions()),
            ),
            (
                gan_class.name,
                Annotated[gan_class.Config, tyro.conf.OmitArgPrefixes],
                field(default=config or gan_class.Config()),
            ),
        ],
    )
    flags: Any = parse_flags(both, args, prog, f"Train {gan_class.name}: {gan_class.description}")
    return flags.training, getattr(flags, gan_class.name)


def parse_flags(kind: type[_T], args: Sequence[str], prog: str, description: str) -> _T:
    """tyro.cli, with "-" or "_" in flag names, and errors as a ConfigError of one line."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            flags, unknown = tyro.cli(
                kind,
                args=list(args),
                prog=prog,
                description=description,
                use_underscores=True,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ConfigError(f"{_first_sentence(box.getvalue())} (see {prog} --help)") from None
    except MiniganError as error:  # from the __post_init__ of an options class
        raise ConfigError(f"{error} (see {prog} --help)") from None
    if unknown:
        raise ConfigError(f"{_unknown(unknown[0], kind)} (see {prog} --help)")
    return flags


def _unknown(token: str, kind: Any) -> str:
    if not token.startswith("-"):
        return f"unexpected argument {token!r}"
    flag = token.split("=")[0]
    known = [f"--{name}" for name in _field_names(kind)]
    close = difflib.get_close_matches(flag.replace("-", "_").replace("__", "--", 1), known, n=1)
    return f"unknown flag {flag}" + (f", did you mean {close[0]}?" if close else "")


def _field_names(kind: Any) -> list[str]:
    names = []
    for each in dataclasses.fields(kind):
        nested = each.default if dataclasses.is_dataclass(each.default) else None
        names += _field_names(nested) if nested is not None else [each.name]
    return names


def _first_sentence(box: str) -> str:
    """The message in one of tyro's boxes: a title, the message, a rule, then help.

    On a terminal the box has colours and is drawn with lines, elsewhere it may be plain ASCII.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip(" │|╭╮╰╯+") for line in plain.splitlines()[1:]]
    message = ""
    for line in lines:
        if line.strip("─-"):
            message += f" {line}"
        elif message:
            break
    # A value that fits no flag is blamed on the flag, one that an options class refuses on itself.
    message = re.sub(r"^Error parsing ((?!-)\S+: )?", "", message.strip())
    return message.rstrip(".") or "the command line was not understood"
