"""The `minigan` command. What it cannot do ends in one line on standard error and status 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from minigan.errors import ConfigError, MiniganError

# Heavy modules are imported by the command that needs them, so that --help comes at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 after an error, 130 after Ctrl-C."""
    args = list(sys.argv[1:] if argv is None else argv)
    return one_line_errors(lambda: _dispatch(args))


def one_line_errors(command: Callable[[], int]) -> int:
    """Run a command; errors that a user can do something about end in one line and status 2."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `minigan info RUN | head -1`: nobody reads on
        # Python flushes once more at its end, and would complain about the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MiniganError, OSError) as error:
        print(f"minigan: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nminigan: stopped at once; what was saved before is intact", file=sys.stderr)
        return 130
    except SystemExit as stop:  # tyro, after --help
        return stop.code if isinstance(stop.code, int) else 0


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if args[0] in ("-V", "--version", "version"):
        import minigan

        print(f"minigan {minigan.__version__}")
        return 0
    if args[0] not in _COMMANDS:
        raise ConfigError(f"unknown command {args[0]!r}: use one of {', '.join(_COMMANDS)}")
    return _COMMANDS[args[0]](args[1:])


def _usage() -> str:
    width = max(len(name) for name in _COMMANDS)
    lines = [f"  {name:<{width}}  {command.__doc__}" for name, command in _COMMANDS.items()]
    return "\n".join(
        ["usage: minigan COMMAND ...", "", "commands:", *lines, "", "minigan COMMAND --help: more"]
    )


def _train(args: list[str]) -> int:
    """train a model: minigan train MODEL [flags]"""
    from minigan import models
    from minigan.training import train_from_flags

    names = ", ".join(models.list())
    if args and args[0] in ("-h", "--help"):
        print("usage: minigan train MODEL [flags]; minigan train MODEL --help lists the flags")
        print("models:", names)
        return 0
    if not args or args[0].startswith("-"):
        raise ConfigError(f"which model? minigan train MODEL [flags], MODEL is one of {names}")
    return train_from_flags(args[0], args[1:], f"minigan train {args[0]}").exit_status


def _resume(args: list[str]) -> int:
    """continue a run: minigan resume RUN [flags], e.g. --max_steps 2000"""
    from minigan.training import train_from_flags
    from minigan.training.saved_run import open_run

    if args and args[0] in ("-h", "--help"):
        lengths = "[--n_epochs N] [--n_epochs_decay N] [--max_steps N]"
        print(f"usage: minigan resume RUN {lengths} [flags of minigan train]")
        return 0
    if not args or args[0].startswith("-"):
        raise ConfigError("which run? minigan resume RUN [flags], RUN is a run folder")
    run = open_run(Path(args[0]))
    flags = ["--resume", "--run_dir", args[0], *args[1:]]
    return train_from_flags(run.model, flags, "minigan resume").exit_status


def _sample(args: list[str]) -> int:
    """draw images from a run: minigan sample RUN [-n N] [--labels 0 1 2]"""
    from minigan.training.options import SampleOptions, parse_flags
    from minigan.training.saved_run import draw_samples

    options = parse_flags(SampleOptions, args, "minigan sample", "Draw images from a run.")
    print(draw_samples(options))
    return 0


def _evaluate(args: list[str]) -> int:
    """judge the images of a run: minigan evaluate RUN [-n N]"""
    from minigan.evaluation import EvaluateOptions, as_table, evaluate_run
    from minigan.training.options import parse_flags

    options = parse_flags(EvaluateOptions, args, "minigan evaluate", "Judge the images of a run.")
    report = evaluate_run(options)
    print(as_table(report))
    print(f"\nwritten to {options.run / 'evaluation.json'}")
    return 0


def _info(args: list[str]) -> int:
    """show this installation, or a run: minigan info [RUN]"""
    from minigan.training.report import describe_installation, describe_run

    if args and args[0] in ("-h", "--help"):
        print("usage: minigan info [RUN]")
    elif len(args) > 1:
        raise ConfigError(f"unexpected argument {args[1]!r}: minigan info [RUN]")
    else:
        print(describe_run(Path(args[0])) if args else describe_installation())
    return 0


def _models(args: list[str]) -> int:
    """list the models that can be trained"""
    from minigan import models

    if args and args[0] in ("-h", "--help"):
        print("usage: minigan models")
        return 0
    if args:
        raise ConfigError(f"unexpected argument {args[0]!r}: minigan models")
    names = models.list()
    width = max(len(name) for name in names)
    for name in names:
        print(f"{name:<{width}}  {models.get(name).description}")
    return 0


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "resume": _resume,
    "sample": _sample,
    "evaluate": _evaluate,
    "info": _info,
    "models": _models,
}

if __name__ == "__main__":
    sys.exit(main())
