"""Three stages of benchmarks.gpu_check that ask whether our kernels are right on a GPU.

`kernels` runs the checks of tests/cuda_on_cpu, which were written for kernels compiled by g++, on
the GPU: their arrays stay NumPy's, and each launch carries them there and back. `sanitizer` runs
some of them under NVIDIA's compute-sanitizer. `tests` is pytest -m cuda.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_stage import Findings, one_line
from minigan.backends.cuda.launch import CupyLauncher, Launcher, use_launcher

TESTS = Path(__file__).parents[1] / "tests"


class HostArrays:
    """A launcher whose arrays are NumPy's: a launch copies them to the GPU and back."""

    xp = np
    schedule = 0  # the emulator's; a GPU has its own

    def __init__(self, gpu: Launcher | None = None) -> None:
        self._gpu = gpu or CupyLauncher()
        self.capability = self._gpu.capability
        self.multiprocessors = self._gpu.multiprocessors
        self._named: dict[int, tuple[np.ndarray, Any]] = {}  # arrays inside the next struct

    def address(self, array: np.ndarray) -> int:
        there = self._copied(array)
        self._named[array.ctypes.data] = array, there
        return self._gpu.address(there)

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: int,
        args: tuple[Any, ...],
        pointed: Iterable[np.ndarray] = (),
    ) -> None:
        copies, there = [], []
        for arg in args:
            if isinstance(arg, np.ndarray) and arg.dtype.names is None:
                copies.append((arg, self._copied(arg)))
                there.append(copies[-1][1])
            else:
                there.append(arg)
        pointed = tuple(pointed)
        named = [self._named[array.ctypes.data] for array in pointed if array.size]
        self._gpu.launch(file, kernel, grid, block, tuple(there), [copy for _, copy in named])
        for array, copy in copies + named:
            _take_changes(_memory(array), self._gpu.xp.asnumpy(copy))
        if pointed:
            self._named.clear()

    def _copied(self, array: np.ndarray) -> Any:
        """On the GPU, with an address that is as far from a multiple of 16 bytes."""
        memory, xp = _memory(array), self._gpu.xp
        before = memory.ctypes.data % 16 // memory.itemsize
        there = xp.empty(before + memory.size, memory.dtype)[before:]
        there[...] = xp.asarray(memory)
        return there


def _memory(array: np.ndarray) -> np.ndarray:
    """The memory from an array's first element to its last, flat: a view may skip some of it."""
    if not array.size:
        return np.empty(1, array.dtype)
    last = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))
    count = last // array.itemsize + 1
    return np.lib.stride_tricks.as_strided(array, (count,), (array.itemsize,))


def _take_changes(memory: np.ndarray, new: np.ndarray) -> None:
    """Only what has changed: another argument may be of the same memory."""
    changed = memory.view(np.uint8) != new.view(np.uint8)
    if changed.any():
        memory.view(np.uint8)[changed] = new.view(np.uint8)[changed]


Case = tuple[str, Callable[[Any], Any]]


def cases() -> Iterator[Case]:
    """The checks by name, each a function of the launcher."""
    folder = TESTS / "cuda_on_cpu"
    for path in sorted(folder.glob("*_checks.py")):
        for check in importlib.import_module(f"tests.cuda_on_cpu.{path.stem}").CHECKS:
            yield f"{path.stem}: {check.__name__}", check
    plans = importlib.import_module("tests.cuda_on_cpu.test_conv_plans")
    for geometry in plans.GEOMETRIES:
        yield f"every plan of {geometry}", lambda _, g=geometry: plans.check_every_plan(g)
    tests = importlib.import_module("tests.cuda_on_cpu.test_kernels")
    for name, test in vars(tests).items():
        if name.startswith("test_") and "emulated" in _parameters(test):
            for values in _cases_of(test):
                shown = ", ".join(getattr(v, "shape", v).__str__() for v in values.values())
                yield f"{name}({shown})", lambda to, t=test, v=values: t(emulated=to, **v)


def _parameters(test: Any) -> tuple[str, ...]:
    return test.__code__.co_varnames[: test.__code__.co_argcount]  # type: ignore[no-any-return]


def _cases_of(test: Any) -> Iterator[dict[str, Any]]:
    """What pytest.mark.parametrize asks for."""
    axes = []
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            names = [name.strip() for name in mark.args[0].split(",")]
            axes.append([dict(zip(names, values if len(names) > 1 else (values,), strict=True))
                         for values in mark.args[1]])  # fmt: skip
    for choice in itertools.product(*axes):
        yield {name: value for part in choice for name, value in part.items()}


def kernels(findings: Findings) -> None:
    """All cases, on the GPU."""
    passed = 0
    for name, check in cases():
        if findings.left() < 3:
            findings.leave_out(f"{name} and what follows")
            return
        error = failure(check, HostArrays())
        if error:
            findings.fail(name, error)
        else:
            passed += 1
        findings["passed"] = passed


def failure(check: Callable[[Any], Any], to: HostArrays) -> str:
    """Why a check fails on a launcher; empty if it does not."""
    with use_launcher(to):
        try:
            check(to)
        except Exception as error:
            return one_line(error)
    return ""


def sanitizer(findings: Findings) -> None:
    """memcheck and racecheck on a few cases, if the tool is there."""
    tool = find_sanitizer()
    findings["tool"] = tool or "compute-sanitizer was not found (it comes with the CUDA toolkit)"
    if tool is None:
        return
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, "-m",
                   "benchmarks.gpu_kernels"]  # fmt: skip
        limit = findings.left() / (2 if check == "memcheck" else 1) - 3
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=max(limit, 1))
        except subprocess.TimeoutExpired as stopped:
            print(_text(stopped.stdout))
            findings.fail(check, f"stopped after {limit:.0f} s")
            continue
        print(done.stdout, done.stderr)
        summary = re.findall(r"=+ (.*SUMMARY.*)", done.stdout + done.stderr)
        findings[check] = {"summary": summary, "cases": re.findall(r"^ok (.*)$", done.stdout, re.M)}
        if done.returncode:
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            findings.fail(check, "; ".join(summary or last) or f"status {done.returncode}")


def _text(output: Any) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def find_sanitizer() -> str | None:
    """Where compute-sanitizer is: on the path, or in the CUDA toolkit."""
    roots = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [f"{root}/bin" for root in roots] + [f"{root}/compute-sanitizer" for root in roots]
    return shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=os.pathsep.join(places)
    )


def under_sanitizer(to: HostArrays | None = None) -> int:
    """The program that it watches: an allocation for each array, so that an overrun shows."""
    if to is None:
        to = HostArrays()
        importlib.import_module("cupy").cuda.set_allocator(None)
    wrong = 0
    for name, check in _few(cases()):
        error = failure(check, to)
        print(f"FAILED {name}: {error}" if error else f"ok {name}", flush=True)
        wrong += bool(error)
    return 1 if wrong else 0


def _few(all_cases: Iterator[Case]) -> Iterator[Case]:
    """The families of kernels, and every third geometry."""
    for i, (name, check) in enumerate(all_cases):
        if "_checks: " in name or (name.startswith("every plan") and i % 3 == 0):
            yield name, check


def tests(findings: Findings) -> None:
    """pytest -m cuda, on the files that can be imported here."""
    files, without = test_files()
    findings["not run"] = without
    if not files:
        findings.fail("tests", "no test is marked cuda")
        return
    report = (findings.folder / "pytest.xml").resolve()
    command = [
        sys.executable, "-m", "pytest", "-v", "-m", "cuda", "-p", "no:cacheprovider",
        # Of a new CuPy or PyTorch as they are; a capture that is refused is an error still.
        "-W", "default", "-W", "error::minigan.models.captured.CaptureWarning",
        f"--junitxml={report}", *files,
    ]  # fmt: skip
    status = subprocess.run(command, cwd=TESTS.parent).returncode
    if report.exists():
        counts, failed = read_report(report.read_text())
        findings["counts"] = counts
        for name, why in failed.items():
            findings.fail(name, why)
        if not counts["passed"]:
            findings.fail("tests", "none has passed")
    if status and not findings.content["failed"]:
        findings.fail("pytest", f"ended with status {status}")


def test_files(folder: Path = TESTS) -> tuple[list[str], dict[str, str]]:
    """Files with tests marked cuda, and those that cannot be imported here, with the reason."""
    files, without = [], {}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text()
        if "mark.cuda" not in text:
            continue
        name = path.relative_to(folder.parent).as_posix()
        if re.search(r"^\s*(from|import) hypothesis", text, re.M) and not _is_there("hypothesis"):
            without[name] = "needs hypothesis, which is not installed"
        else:
            files.append(name)
    return files, without


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def read_report(text: str) -> tuple[dict[str, int], dict[str, str]]:
    """From pytest's JUnit XML: how many passed, failed and were skipped, and why tests failed."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failed = {}
    for case in ElementTree.fromstring(text).iter("testcase"):
        bad = [part for part in case if part.tag in ("failure", "error")]
        if bad:
            counts["failed"] += 1
            why = (bad[0].get("message") or bad[0].text or "").split("\n")[0]
            failed[f"{case.get('classname')}::{case.get('name')}"] = why
        elif any(part.tag == "skipped" for part in case):
            counts["skipped"] += 1
        else:
            counts["passed"] += 1
    return counts, failed


if __name__ == "__main__":
    sys.exit(under_sanitizer())
