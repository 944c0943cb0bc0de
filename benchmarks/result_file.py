"""What a benchmark leaves behind: one JSON file, also when it is stopped half way."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import facts
from minigan.errors import ConfigError

RESULTS = Path(__file__).parent / "results"


@contextmanager
def result_file(
    kind: str, args: list[str], out: Path, device: str = "cpu"
) -> Iterator[dict[str, Any]]:
    """A dictionary to fill, written to OUT/KIND-DEVICE-DATE-TIME.json when the block ends.

    The time is that of the beginning, in minutes, so that a day's runs don't replace each other. A
    block that ends by an error or Ctrl-C leaves what it had measured under the name with partial-
    before it.
    """
    machine = facts()
    out.mkdir(parents=True, exist_ok=True)  # a folder that can't be made is known before the work
    time = str(machine["time"]).replace(":", "")
    path = out / f"{kind}-{device}-{machine['date']}-{time}.json"
    result: dict[str, Any] = {
        "kind": kind,
        "command": " ".join([f"python -m benchmarks.{kind}", *_without_folder(args)]),
        "machine": machine,
    }
    try:
        yield result
    except BaseException:
        path = path.with_name(f"partial-{path.name}")
        raise
    finally:
        write_json(path, result)
        print(f"written to {path.name}", flush=True)


def _without_folder(args: list[str]) -> list[str]:
    """The arguments but --out: a result is published, and a folder of its machine says nothing."""
    return [
        arg
        for before, arg in zip(["", *args], args, strict=False)
        if arg != "--out" and before != "--out" and not arg.startswith("--out=")
    ]


def write_json(path: Path, content: Any) -> None:
    """Write or replace a file: whoever reads it finds the old content or the new."""
    new = path.with_name(f".tmp-{path.name}")
    new.write_text(json.dumps(content, indent=2) + "\n")
    new.replace(path)


def require_torch() -> None:
    """Raises ConfigError where PyTorch, to compare with, is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("PyTorch is not installed: install it, or leave --compare torch out")
