"""The folder of a run: what is in it, and the rules that keep it from harm.

config.json  metrics.jsonl  samples/step-000500.png  losses.png  checkpoints/step-000500/
final/       [tensorboard/]
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError, ConfigError
from minigan.training import checkpoint as checkpoints
from minigan.training.checkpoint import Checkpoint
from minigan.training.files import (
    TEMPORARY,
    remove_folder,
    remove_strays,
    write_file,
    writing,
)
from minigan.training.metrics_log import truncate_metrics

_FOLDERS = ("samples", "checkpoints", "final", "tensorboard")
_FILES = ("metrics.jsonl", "losses.png")


class RunFolder:
    """A run folder that exists; made by `create` or `open`."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.about = about
        self._lock: int | None = None

    @classmethod
    def create(cls, path: Path, about: dict[str, Any], overwrite: bool = False) -> RunFolder:
        """Make a new run folder; `about` goes to config.json.

        A folder that holds a run is replaced only with `overwrite`; one that holds anything else
        never is. Raises ConfigError for these, CheckpointError when it cannot be written.
        """
        check_free(path, overwrite)
        run = cls(path, about)
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        run.lock()
        try:
            with writing(path):
                for name in _FOLDERS:
                    remove_folder(path / name)
                for name in _FILES:
                    (path / name).unlink(missing_ok=True)
            # config.json, which marks a run, comes first: a run killed right here can be resumed.
            run.describe(about)
            run.rewind(0)
        except CheckpointError:
            run.unlock()
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open the run folder of an earlier training. Raises CheckpointError if it is none."""
        try:
            about = json.loads((path / "config.json").read_text())
        except FileNotFoundError:
            raise CheckpointError(f"{path} is not a run folder: it has no config.json") from None
        except OSError as error:
            raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
        except ValueError:
            raise CheckpointError(f"{path / 'config.json'} is corrupt: it is not JSON") from None
        if not isinstance(about, dict) or not {"model", "config", "options"} <= about.keys():
            raise CheckpointError(f"{path / 'config.json'} was not written by minigan")
        return cls(path, about)

    def describe(self, about: dict[str, Any]) -> None:
        """Write config.json: the model, its config and the options of the training."""
        self.about = about
        write_file(self.path / "config.json", (json.dumps(about, indent=2) + "\n").encode())

    @property
    def model(self) -> str:
        """The name of the model that this run trains."""
        return self.about["model"]

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def final(self) -> Path:
        return self.path / "final"

    def sample_path(self, step: int, picture: str = "samples") -> Path:
        suffix = "" if picture == "samples" else f"-{picture}"
        return self.path / "samples" / f"step-{step:06d}{suffix}.png"

    def checkpoint_path(self, step: int) -> Path:
        return self.path / "checkpoints" / checkpoints.folder_name(step)

    def save_checkpoint(self, checkpoint: Checkpoint, keep: int) -> None:
        """Write checkpoints/step-N, then delete all but the newest `keep`."""
        checkpoints.save(self.checkpoint_path(checkpoint.step), checkpoint)
        checkpoints.prune(self.path / "checkpoints", keep)

    def newest_checkpoint(self) -> tuple[Checkpoint | None, list[CheckpointError]]:
        """The newest checkpoint that is whole (`final` if there is no other), and the errors of
        the newer ones that are not."""
        candidates = checkpoints.all_in(self.path / "checkpoints")
        if self.final.exists():
            candidates.append(self.final)
        errors: list[CheckpointError] = []
        for found in checkpoints.newest(candidates, self.model):
            if isinstance(found, Checkpoint):
                return found, errors
            errors.append(found)
        return None, errors

    def rewind(self, step: int) -> None:
        """Remove half-written files and the metrics after `step`, ready to train on from there."""
        with writing(self.path):
            for folder in (self.path, self.path / "samples", self.path / "checkpoints"):
                folder.mkdir(exist_ok=True)
                remove_strays(folder)
        truncate_metrics(self.metrics, step)

    def lock(self) -> None:
        """Claim the folder until the process ends. Raises CheckpointError if another one holds it.

        The lock is on the folder itself, so that a killed process leaves none behind.
        """
        if os.name == "nt":  # no such lock there
            return
        import fcntl

        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise CheckpointError(f"{self.path} is in use by another training") from None

    def unlock(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def check_free(path: Path, overwrite: bool = False) -> None:
    """Raise ConfigError unless a new run may be written to `path`."""
    if not path.exists():
        return
    if not path.is_dir():
        raise ConfigError(f"run folder {path} is a file: choose another with --run_dir")
    if (path / "config.json").exists():
        if not overwrite:
            raise ConfigError(
                f"run folder {path} exists: continue it with --resume, choose another with "
                "--run_dir DIR, or replace it with --overwrite"
            )
        RunFolder.open(path)  # refuses a config.json that some other program wrote
    elif any(not entry.name.startswith(TEMPORARY) for entry in path.iterdir()):
        raise ConfigError(
            f"{path} is not empty and holds no minigan run: choose another with --run_dir DIR"
        )
