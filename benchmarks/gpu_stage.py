"""One stage of benchmarks.gpu_check, in the process that runs it, and what it leaves.

python -m benchmarks.gpu_stage NAME FOLDER [--quick]
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.result_file import write_json

MODULES = {
    "versions": "benchmarks.gpu_versions",
    "compile": "benchmarks.gpu_versions",
    "launches": "benchmarks.gpu_launches",
    "kernels": "benchmarks.gpu_kernels",
    "agree": "benchmarks.gpu_convolutions",
    "steps": "benchmarks.gpu_steps",
    "tests": "benchmarks.gpu_kernels",
    "convolutions": "benchmarks.gpu_convolutions",
    "profile": "benchmarks.gpu_profile",
    "sanitizer": "benchmarks.gpu_kernels",
}


class Findings:
    """What a stage has found so far: in FOLDER/NAME.json after each finding."""

    def __init__(self, folder: Path, name: str, quick: bool) -> None:
        self.folder, self.name, self.quick = folder, name, quick
        self.content: dict[str, Any] = {"failed": {}}
        self._end = time.monotonic() + float(os.environ.get("GPU_STAGE_SECONDS", "3600"))

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value
        self._write()

    def add(self, key: str, row: Any) -> None:
        """One more row of a list."""
        self.content.setdefault(key, []).append(row)
        self._write()

    def fail(self, what: str, why: str) -> None:
        """Something failed; the stage goes on."""
        self.content["failed"][what] = why
        print(f"FAILED {what}: {why}", flush=True)
        self._write()

    def leave_out(self, what: str) -> None:
        """No time is left for this; that is no failure, but it is said."""
        self.add("left out", what)

    def attempt(self, key: str, work: Callable[[], Any]) -> None:
        """Put what `work` returns under the key; if it raises, that failed, and no more."""
        try:
            self[key] = work()
        except Exception as error:
            traceback.print_exc()
            self.fail(key, one_line(error))

    def left(self) -> float:
        """Seconds until the stage is stopped."""
        return self._end - time.monotonic()

    def of(self, stage: str) -> dict[str, Any]:
        """What another stage of this run has left."""
        path = self.folder / f"{stage}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def _write(self) -> None:
        write_json(self.folder / f"{self.name}.json", self.content)


def one_line(error: BaseException) -> str:
    """An error's kind and words, short enough for a table's footnote."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:600]


def main(args: list[str]) -> int:
    """Run the stage NAME; an error ends it, and what it had found stays."""
    name, folder, how = args
    findings = Findings(Path(folder), name, how == "--quick")
    stage = getattr(importlib.import_module(MODULES[name]), name)
    stage(findings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
