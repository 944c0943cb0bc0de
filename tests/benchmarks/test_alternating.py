"""One program that fails costs its own figure, no other; what was measured is always written."""

import json
import os
import signal

import pytest

from benchmarks import steps
from benchmarks.alternating import ProgramError, alternate, alternate_cases
from benchmarks.result_file import result_file


def work(behaviour):
    """A function that works, raises, or takes its process down."""

    def step():
        if behaviour == "raises":
            raise ValueError("two\nlines")
        if behaviour == "dies":
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def test_a_case_that_fails_leaves_the_others():
    cases = [{"a": (case,)} for case in ("works", "raises", "works", "dies", "works")]
    good, raised, after, died, last = alternate_cases({"a": work}, cases, 1, 0.001)
    assert all(timed["a"].median > 0 for timed in (good, after, last))
    assert str(raised) == "a: ValueError: two lines"
    assert str(died) == "a: its process died (out of memory?)"


def test_a_program_that_fails_alone_is_an_error():
    with pytest.raises(ProgramError, match="b: ValueError"):
        alternate({"a": (work, ("works",)), "b": (work, ("raises",))}, 1, 0.001)


def test_a_workload_that_fails_is_named_and_the_others_are_written(tmp_path, monkeypatch, capsys):
    def measure(name, options, threads):
        if name == "gan":
            raise ProgramError("minigan: ValueError: broken")
        return {"workload": name, "goal": 1.0,
                "minigan": {"median": 1.0, "low": 1.0, "high": 1.0, "peak_mb": 1.0}}  # fmt: skip

    monkeypatch.setattr(steps, "_measure", measure)
    args = ["--workloads", "acgan", "gan", "vae", "--threads", "1", "--out", str(tmp_path)]
    monkeypatch.setenv("MINIGAN_NUM_THREADS", "1")
    assert steps.main(args) == 1
    result = json.loads(next(tmp_path.glob("steps-cpu-*.json")).read_text())
    assert [row["workload"] for row in result["workloads"]] == ["acgan", "vae"]
    assert result["failed"] == {"gan": "minigan: ValueError: broken"}
    assert "gan            failed: minigan: ValueError: broken" in capsys.readouterr().out


def test_a_run_that_is_stopped_leaves_what_it_has(tmp_path):
    args = ["--x", "--out", "here", "--out=there", "y"]
    with pytest.raises(KeyboardInterrupt), result_file("steps", args, tmp_path) as result:
        result["rows"] = [1]
        raise KeyboardInterrupt
    (path,) = tmp_path.iterdir()
    written = json.loads(path.read_text())
    moment = f"{written['machine']['date']}-{written['machine']['time'].replace(':', '')}"
    assert path.name == f"partial-steps-cpu-{moment}.json"
    assert written["rows"] == [1]
    assert written["command"] == "python -m benchmarks.steps --x y"
