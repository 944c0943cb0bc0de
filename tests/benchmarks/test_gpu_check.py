"""benchmarks.gpu_check without a GPU: its stages on the stand-in for CuPy, and a stage that raises,
hangs or is killed beside others."""

import contextlib
import json
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import (
    gpu_check,
    gpu_convolutions,
    gpu_kernels,
    gpu_launches,
    gpu_profile,
    gpu_stage,
    gpu_steps,
    gpu_tables,
    gpu_time,
    gpu_versions,
    steps,
)
from benchmarks.alternating import ProgramError, Timing, alternate_all
from minigan.backends.cuda import launch
from minigan.cli import one_line_errors
from tests.benchmarks.test_alternating import work
from tests.cuda_on_cpu import fake_cupy
from tests.cuda_on_cpu.conftest import fast_gpu, gpu, kernel_library  # noqa: F401

SMALL = {
    "acgan": ("acgan", {"batch_size": 2}, 1.0),
    "cyclegan": ("cyclegan", {"img_size": 24, "ngf": 4, "ndf": 4, "n_blocks": 1, "pool_size": 2},
                 1.0),
    "wgan": ("wgan", {"batch_size": 2, "img_size": 8, "n_critic": 2}, 1.0),
}  # fmt: skip
ON_GPU = {name: (name, {}, (5.0, 1.2)) for name in SMALL}


class Event:
    """An event of the stand-in: the host's clock, which is the GPU's there."""

    def __init__(self, *args, **kwargs):
        self.done, self.at = False, 0.0

    def record(self, stream=None):
        self.at = time.perf_counter()

    def synchronize(self):
        self.done = True


@pytest.fixture
def timed_gpu(fast_gpu, monkeypatch):  # noqa: F811
    """The stand-in, with what a stage asks of CuPy beyond what minigan does."""
    cupy, cuda = fake_cupy.cupy, fake_cupy.cupy.cuda
    monkeypatch.setattr(cuda, "Event", Event)
    monkeypatch.setattr(
        cuda, "get_elapsed_time", lambda a, b: 1e3 * (b.at - a.at) + 1e-6, raising=False
    )
    monkeypatch.setattr(cupy, "RawKernel", lambda code, name: lambda *launch: None, raising=False)
    monkeypatch.setattr(cuda, "nvrtc", SimpleNamespace(getVersion=lambda: (13, 0)), raising=False)
    runtime = cuda.runtime
    for name, value in {
        "memGetInfo": lambda: (1 << 33, 1 << 34), "runtimeGetVersion": lambda: 13000,
        "driverGetVersion": lambda: 13000,
    }.items():  # fmt: skip
        monkeypatch.setattr(runtime, name, value, raising=False)
    for module in (gpu_steps, gpu_convolutions):
        monkeypatch.setattr(module, "WORKLOADS", ON_GPU)
        monkeypatch.setattr(module, "alternate_all", here)
        monkeypatch.setattr(module, "TorchClock", CpuClock)
    monkeypatch.setattr(gpu_launches, "TorchClock", CpuClock)
    monkeypatch.setattr(gpu_time.GpuTime.__init__, "__defaults__", (1,))
    monkeypatch.setattr(gpu_steps, "QUICK", ("acgan",))
    monkeypatch.setattr(gpu_convolutions, "_QUICK", ("acgan",))
    for module in (steps, gpu_steps.cpu_steps, sys.modules["benchmarks.ops"]):
        monkeypatch.setattr(module, "WORKLOADS", SMALL)
    monkeypatch.setattr(sys.modules["benchmarks.ops"], "_SMALLEST", 0)
    return fast_gpu


class CpuClock:
    """In the place of PyTorch's events."""

    def event(self):
        return time.perf_counter()

    def is_past(self, event):
        return False

    def between(self, start, end):
        return end - start

    def hold(self, cycles):
        pass

    def synchronize(self):
        pass

    def release(self):
        pass

    def held_bytes(self):
        return 0


def here(makers, cases, rounds, seconds):
    """`alternate_all` in this process: each program once."""
    for case in cases:
        yield {name: once(makers[name], args) for name, args in case.items()}


def once(maker, args):
    try:
        function = maker(*args)
        took = function()
    except Exception as error:
        return ProgramError(f"{maker.__name__}: {error}")
    peak = getattr(function, "peak_mb", 1.0)
    return Timing(float(took), float(took), float(took), 1, 0.0, peak)


@pytest.fixture
def torch_on_the_cpu(monkeypatch):
    """PyTorch's programs without CUDA: a graph is the step itself."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for module, name in ((gpu_steps, "torch_step"), (gpu_convolutions, "torch_call")):
        there = partial(getattr(module, name), on="cpu")
        there.__name__ = name
        monkeypatch.setattr(module, name, there)

    class Graph:
        def replay(self):
            pass

    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "Stream": lambda: stream, "current_stream": lambda: stream, "CUDAGraph": Graph,
        "stream": lambda s: contextlib.nullcontext(), "graph": lambda g: contextlib.nullcontext(),
        "synchronize": lambda: None, "get_device_name": lambda index: "none",
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, tf32


def findings(folder, name, quick=True):
    return gpu_stage.Findings(folder, name, quick)


def left_by(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


# --- the command ------------------------------------------------------------------------------
STAGE = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from benchmarks.gpu_stage import Findings
name, folder, how = sys.argv[1:]
found = Findings(Path(folder), name, how == "--quick")
found["seen"] = [name, how]
if name == "compile":
    raise ValueError("broken")
if name == "launches":
    if os.fork() == 0:
        Path(folder, "child").write_text(str(os.getpid()))
    time.sleep(100)
if name == "kernels":
    os.kill(os.getpid(), signal.SIGKILL)
if name == "agree":
    found.fail("conv2d", "error 1")
if name == "steps":
    found["rows"] = [{{"workload": "acgan", "goals": [5.0, 1.2],
        "minigan graph": dict(median=1e-3, low=1e-3, high=1e-3, peak_mb=1),
        "torch eager channels_last": dict(median=8e-3, low=8e-3, high=8e-3, peak_mb=2),
        "torch graph default": dict(median=1e-3, low=1e-3, high=1e-3, peak_mb=2)}}]
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command's stages are a program of the test's, and there is a GPU."""
    program = tmp_path / "stage.py"
    program.write_text(STAGE.format(root=str(gpu_check.ROOT)))
    monkeypatch.setattr(gpu_check, "stage_command", lambda: [sys.executable, str(program)])
    monkeypatch.setattr(gpu_check, "require_cuda", lambda device: None)
    monkeypatch.setattr(gpu_check.signal, "signal", lambda *handler: None)
    limits = {name: (60.0, 60.0) for name in gpu_check.STAGES} | {"launches": (60.0, 3.0)}
    monkeypatch.setattr(gpu_check, "STAGES", limits)
    return tmp_path / "out"


def test_a_stage_that_raises_hangs_or_is_killed_costs_only_itself(command, capsys):
    names = ["versions", "compile", "launches", "kernels", "agree", "steps"]
    assert gpu_check.main(["--out", str(command), "--quick", "--stages", *reversed(names)]) == 1
    (path,) = command.glob("gpu_check-cuda-*.json")
    result = json.loads(path.read_text())
    status = {name: stage["status"] for name, stage in result["stages"].items()}
    assert status == {
        "versions": "ok",
        "compile": "ended with status 1, see its log",
        "launches": "stopped after 3 s",
        "kernels": "killed by SIGKILL",
        "agree": "failed: 1, see agree.json",
        "steps": "ok",
    }
    assert all(s["found"]["seen"] == [n, "--quick"] for n, s in result["stages"].items())
    assert "ValueError: broken" in (command / "stages" / "compile.log").read_text()
    # Nobody of the stage that hung is left.
    child = int((command / "stages" / "child").read_text())
    assert not gpu_check.Path(f"/proc/{child}/stat").exists() or "Z" in state(child)
    assert result["missed"] == [
        {"workload": "acgan", "against": "graph", "goal": 1.2, "ratio": 1.0}
    ]
    out = capsys.readouterr().out
    assert "**8.00** (5) | 1.00 (1.2) | 1 / 2 |" in out and "conv2d: error 1" in out
    assert (command / "gpu_check.md").read_text() in out


def state(process):
    return gpu_check.Path(f"/proc/{process}/stat").read_text().split()[2]


def test_without_time_left_a_stage_is_not_run(command, monkeypatch):
    monkeypatch.setattr(gpu_check, "MOST_SECONDS", (0.0, 0.0))
    assert gpu_check.main(["--out", str(command), "--stages", "versions"]) == 1
    (path,) = command.glob("gpu_check-cuda-*.json")
    assert "not run" in json.loads(path.read_text())["stages"]["versions"]["status"]


def test_a_run_that_is_stopped_leaves_what_it_has(command, monkeypatch):
    run = gpu_check.run_stage

    def stopped(name, *args):
        if name == "steps":
            raise KeyboardInterrupt
        return run(name, *args)

    monkeypatch.setattr(gpu_check, "run_stage", stopped)
    assert one_line_errors(lambda: gpu_check.main(["--out", str(command), "--stages", "versions",
                                                   "steps"])) == 130  # fmt: skip
    (path,) = command.glob("partial-gpu_check-cuda-*.json")
    assert list(json.loads(path.read_text())["stages"]) == ["versions"]


def test_without_a_gpu_it_is_one_line_and_status_2(tmp_path, capsys):
    out = tmp_path / "out"
    assert one_line_errors(lambda: gpu_check.main(["--out", str(out)])) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_an_unknown_stage_is_named(tmp_path, capsys):
    assert one_line_errors(lambda: gpu_check.main(["--out", str(tmp_path), "--stages", "x"])) == 2
    assert "unknown stage 'x'" in capsys.readouterr().err


def test_every_stage_has_its_function():
    assert set(gpu_stage.MODULES) == set(gpu_check.STAGES)
    for name, module in gpu_stage.MODULES.items():
        assert callable(getattr(sys.modules[module], name))
    assert sum(limits[1] for limits in gpu_check.STAGES.values()) > 0


def test_a_program_that_fails_costs_its_own_figure():
    cases = [{"a": ("works",), "b": (how,), "c": ("works",)} for how in ("raises", "works")]
    first, second = alternate_all(dict.fromkeys("abc", work), cases, 1, 0.001)
    assert str(first["b"]) == "b: ValueError: two lines"
    assert first["a"].median > 0 and first["c"].median > 0
    assert all(timing.median > 0 for timing in second.values())


# --- the stages ---------------------------------------------------------------------------------
def test_versions_and_compilation(timed_gpu, torch_on_the_cpu, tmp_path, monkeypatch):
    properties = {"name": b"GPU", "multiProcessorCount": 132}
    runtime = fake_cupy.cupy.cuda.runtime
    monkeypatch.setattr(runtime, "getDeviceProperties", lambda index: properties)
    gpu_versions.versions(findings(tmp_path, "versions"))
    found = left_by(tmp_path, "versions")
    assert found["failed"] == {}
    assert found["gpu"]["name"] == "GPU" and found["gpu"]["used_mb_before"] == 8192
    assert found["cupy"]["nvrtc"] == "13.0" and found["torch"]["gpu"] == "none"

    def compiled(file):
        if file == "norm.cu":
            raise RuntimeError("norm.cu(3): error: identifier undefined")

    module = lambda file: SimpleNamespace(compile=lambda: compiled(file))  # noqa: E731
    monkeypatch.setattr(launch, "module", module)
    gpu_versions.compile(findings(tmp_path, "compile"))
    found = left_by(tmp_path, "compile")
    assert list(found["failed"]) == ["norm.cu"] and "identifier" in found["failed"]["norm.cu"]
    assert len(found["seconds"]) + 1 == len(list(launch.kernel_folder().glob("*.cu")))


def test_steps_of_both_sides(timed_gpu, torch_on_the_cpu, tmp_path):
    gpu_steps.steps(findings(tmp_path, "steps", quick=False))
    found = left_by(tmp_path, "steps")
    assert found["failed"] == {}
    programs = {f"{side} {how}{layout}" for how in ("eager", "graph")
                for side, layout in (("minigan", ""), ("torch", " default"),
                                     ("torch", " channels_last"))}  # fmt: skip
    for row in found["rows"]:
        assert set(row) == {"workload", "goals"} | programs
    text = "\n".join(gpu_tables.steps(found["rows"]))
    assert text.count("| wgan |") == 1


@pytest.mark.filterwarnings("default")  # as outside of pytest
def test_a_step_that_cannot_be_captured_is_an_error(timed_gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(
        gpu_steps, "torch_step", lambda *args: gpu_time.StepTime(CpuClock(), lambda: list, 1)
    )

    def refuse(stream):
        stream.graph = None
        raise fake_cupy.CUDARuntimeError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(fake_cupy.Stream, "end_capture", refuse)
    gpu_steps.steps(findings(tmp_path, "steps"))
    found = left_by(tmp_path, "steps")
    assert list(found["failed"]) == ["acgan: minigan graph"]
    assert "Invalidated" in found["failed"]["acgan: minigan graph"]
    assert "minigan eager" in found["rows"][0]


def test_convolutions_of_both_sides(timed_gpu, torch_on_the_cpu, tmp_path):
    gpu_convolutions.convolutions(findings(tmp_path, "convolutions", quick=False))
    found = left_by(tmp_path, "convolutions")
    assert found["failed"] == {}
    kernels = {row["call"].split()[0] for row in found["calls"]}
    assert {"conv2d", "conv2d_input_grad", "conv2d_weight_grad", "upsample_conv2d"} <= kernels
    assert all(row["flop"] > 0 and "torch fp32" in row for row in found["calls"])
    assert "PyTorch fp32 us" in "\n".join(gpu_tables.convolutions(found["calls"]))


def test_calls_agree_with_float64(timed_gpu, tmp_path, monkeypatch):
    gpu_convolutions.agree(findings(tmp_path, "agree"))
    found = left_by(tmp_path, "agree")
    assert found["failed"] == {} and found["compared"] > 20
    kernels = gpu_convolutions.kernels_on(gpu_convolutions.device("cuda"))
    right = kernels.conv2d
    monkeypatch.setattr(kernels, "conv2d", lambda *args: right(*args) * 1.01)
    gpu_convolutions.agree(findings(tmp_path, "agree"))
    failed = left_by(tmp_path, "agree")["failed"]
    assert failed and all(what.startswith("conv2d ") for what in failed)


def test_costs_of_launches(timed_gpu, torch_on_the_cpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_launches, "NODES", (3, 5))
    monkeypatch.setattr(gpu_launches, "in_pytorch", lambda quick: {"relu": 1.0})
    monkeypatch.setattr(gpu_launches, "a_launch", lambda work: work)  # fast_gpu launches nothing
    gpu_launches.launches(findings(tmp_path, "launches"))
    found = left_by(tmp_path, "launches")
    assert found["failed"] == {}
    assert found["graph of 5"]["GPU us a node"] > 0 and found["empty RawKernel"] > 0
    text = "\n".join(gpu_tables.launches(found))
    assert "| graph of 3 |" in text and "| PyTorch's relu | 1.00 | |" in text


def test_one_launch_by_itself(gpu):  # noqa: F811
    kernels = gpu_launches.kernels_on(gpu_launches.device("cuda"))
    x = gpu.xp.ones((4, 4), dtype=np.float32)
    before = gpu.launched.get("relu", 0)
    again = gpu_launches.a_launch(lambda: kernels.relu(x))
    again()
    assert gpu.launched["relu"] == before + 2


def test_a_profile_of_what_missed_its_goal(timed_gpu, tmp_path, monkeypatch):
    slow = {"median": 1.0, "low": 1.0, "high": 1.0, "peak_mb": 1}
    row = {"workload": "acgan", "goals": (5.0, None), "minigan graph": slow, "torch eager": slow}
    findings(tmp_path, "steps")["rows"] = [row, row | {"workload": "wgan", "goals": (1.0, None)}]
    kernels = [{"kernel": "conv", "times": 2, "ms": 0.5}]
    monkeypatch.setattr(gpu_profile, "_profiled", lambda step: kernels if step() is None else [])
    monkeypatch.setattr(gpu_profile, "torch_kernels", lambda name: 1 / 0)
    gpu_profile.profile(findings(tmp_path, "profile"))
    found = left_by(tmp_path, "profile")
    assert found["workloads"] == ["acgan"]
    assert list(found["failed"]) == ["acgan: PyTorch's kernels"]
    assert found["acgan: minigan's kernels"] == kernels
    assert found["acgan: launches"]["step ms"] > 0
    text = "\n".join(gpu_tables.tables({"stages": {"profile": {"seconds": 1, "status": "x",
                                                               "found": found}}}))  # fmt: skip
    assert "| conv | 2 | 0.500 |" in text and "Where acgan's eager step" in text


def test_events_around_each_launch(gpu, timed_gpu):  # noqa: F811
    clock = gpu_time.MiniganClock()
    timed = gpu_profile.TimedLaunches(clock)
    kernels = gpu_launches.kernels_on(gpu_launches.device("cuda"))
    with launch.use_launcher(timed):
        kernels.philox_normal(1, 0, 8)
    assert [kernel for kernel, *_ in timed.times] == ["philox_normal"]


def test_the_gpu_waits_for_no_cpu():
    """The spin grows until the work is asked for in time."""

    class Clock(CpuClock):
        held = ()

        def hold(self, cycles):
            self.held += (cycles,)

        def is_past(self, event):
            return len(self.held) < 3

        def between(self, start, end):
            return 10.0

    clock, calls = Clock(), []
    assert gpu_time.GpuTime(clock, lambda: calls.append(1), repeats=5)() == 2.0
    assert clock.held == (1 << 22, 1 << 24, 1 << 26) and len(calls) == 1 + 3 * 5


# --- kernels, tests, sanitizer ------------------------------------------------------------------
def test_cases_run_on_arrays_of_the_host(gpu):  # noqa: F811
    names = []
    for name, check in gpu_kernels.cases():
        if "_checks: " in name or name.startswith(
            ("test_matmul", "test_random", "every plan of (1")
        ):
            assert gpu_kernels.failure(check, gpu_kernels.HostArrays(gpu)) == "", name
            names.append(name)
    assert len(names) > 30
    assert any(name.startswith("test_convolutions(") for name, _ in gpu_kernels.cases())


def test_a_case_that_fails_is_named(gpu, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(gpu_kernels, "CupyLauncher", lambda: gpu)
    right, wrong = [c for c in gpu_kernels.cases() if "check_pad" in c[0] or "check_rows" in c[0]]
    launch_it = gpu.launch

    def forgetful(file, kernel, *rest):
        if file != "pad.cu":
            launch_it(file, kernel, *rest)

    monkeypatch.setattr(gpu, "launch", forgetful)
    monkeypatch.setattr(gpu_kernels, "cases", lambda: iter([right, wrong]))
    gpu_kernels.kernels(findings(tmp_path, "kernels"))
    found = left_by(tmp_path, "kernels")
    assert found["passed"] == 1 and len(found["failed"]) == 1
    assert "check_pad" in next(iter(found["failed"]))
    assert gpu_kernels.under_sanitizer(gpu_kernels.HostArrays(gpu)) == 1


def test_what_no_time_is_left_for_is_said(timed_gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("GPU_STAGE_SECONDS", "0")
    monkeypatch.setattr(gpu_kernels, "cases", lambda: iter([("first", None), ("second", None)]))
    row = {"median": 1.0, "low": 1.0, "high": 1.0, "peak_mb": 1.0}
    timings = {"minigan eager": Timing(**row, calls=1, first=1.0)}
    monkeypatch.setattr(gpu_steps, "alternate_all", lambda *args: iter([timings] * len(SMALL)))
    gpu_kernels.kernels(findings(tmp_path, "kernels"))
    gpu_steps.steps(findings(tmp_path, "steps", quick=False))
    stages = {
        name: {"seconds": 0, "status": "ok", "found": left_by(tmp_path, name)}
        for name in ("kernels", "steps")
    }
    assert all(stage["found"]["failed"] == {} for stage in stages.values())
    text = "\n".join(gpu_tables.tables({"stages": stages}))
    assert "| kernels | 0 | ok; no time was left for first and what follows |" in text
    assert "| steps | 0 | ok; no time was left for what follows acgan |" in text


def test_two_arguments_of_one_memory(gpu):  # noqa: F811
    """What a kernel writes is kept, though another argument is the same array as it was."""
    memory = np.arange(8, dtype=np.float32)
    gpu_kernels._take_changes(memory, np.arange(8, dtype=np.float32) + 1)
    gpu_kernels._take_changes(memory[::1], memory.copy())
    np.testing.assert_array_equal(memory, np.arange(8) + 1)
    odd = np.arange(9, dtype=np.float32)[1:]
    there = gpu_kernels.HostArrays(gpu)._copied(odd)
    np.testing.assert_array_equal(there.get(), odd)


def test_the_sanitizer_and_where_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_kernels, "find_sanitizer", lambda: None)
    gpu_kernels.sanitizer(findings(tmp_path, "sanitizer"))
    assert "not found" in left_by(tmp_path, "sanitizer")["tool"]
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(
        "#!/bin/sh\necho 'ok norm_checks: check_rows'\n"
        "echo '========= ERROR SUMMARY: '$2' 1 error'\n[ $2 = memcheck ]\n"
    )
    tool.chmod(0o755)
    monkeypatch.setattr(gpu_kernels, "find_sanitizer", lambda: str(tool))
    gpu_kernels.sanitizer(findings(tmp_path, "sanitizer"))
    found = left_by(tmp_path, "sanitizer")
    assert found["memcheck"]["cases"] == ["norm_checks: check_rows"]
    assert found["failed"] == {"racecheck": "ERROR SUMMARY: racecheck 1 error"}


def test_compute_sanitizer_is_looked_for_in_the_toolkit(tmp_path, monkeypatch):
    tool = tmp_path / "bin" / "compute-sanitizer"
    tool.parent.mkdir()
    tool.write_text("")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert gpu_kernels.find_sanitizer() == str(tool)


def test_the_reference_computes_where_the_cpu_backend_cannot(monkeypatch):
    monkeypatch.delenv("MINIGAN_BACKEND", raising=False)
    monkeypatch.setattr(gpu_check.importlib.util, "find_spec", lambda name: None)
    assert gpu_check._environment(3.0)["MINIGAN_BACKEND"] == "reference"
    monkeypatch.setattr(gpu_check.importlib.util, "find_spec", lambda name: name)
    assert "MINIGAN_BACKEND" not in gpu_check._environment(3.0)


@pytest.fixture
def some_tests(tmp_path, monkeypatch):
    """A tests folder: one file with cuda tests, one that cannot be imported, one with none."""
    folder = tmp_path / "checkout" / "tests"
    folder.mkdir(parents=True)
    (folder.parent / "pytest.ini").write_text("[pytest]\nmarkers =\n    cuda: needs a GPU\n")
    head = "import pytest\n"
    (folder / "test_a.py").write_text(
        f"{head}@pytest.mark.cuda\ndef test_good(): pass\n"
        "@pytest.mark.cuda\ndef test_bad(): assert 1 == 2\n"
        "@pytest.mark.cuda\n@pytest.mark.skip\ndef test_skipped(): pass\ndef test_cpu(): 1 / 0\n"
    )
    (folder / "test_b.py").write_text(
        f"from hypothesis import given\n{head}mark = pytest.mark.cuda"
    )
    (folder / "test_c.py").write_text("def test_other(): pass\n")
    monkeypatch.setattr(gpu_kernels, "TESTS", folder)
    monkeypatch.setattr(gpu_kernels.test_files, "__defaults__", (folder,))
    monkeypatch.setattr(gpu_kernels, "_is_there", lambda module: False)
    monkeypatch.setenv("PYTHONPATH", str(gpu_check.ROOT))
    return folder


def test_tests_that_cannot_be_imported_are_left_out(some_tests, tmp_path):
    gpu_kernels.tests(findings(tmp_path, "tests"))
    found = left_by(tmp_path, "tests")
    assert found["not run"] == {"tests/test_b.py": "needs hypothesis, which is not installed"}
    assert found["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert found["failed"] == {"tests.test_a::test_bad": "assert 1 == 2"}


def test_no_test_for_a_gpu_is_a_failure(some_tests, tmp_path):
    (some_tests / "test_a.py").write_text(
        "import pytest\n@pytest.mark.cuda\n@pytest.mark.skip\ndef test_skipped(): pass\n"
    )
    gpu_kernels.tests(findings(tmp_path, "tests"))
    assert left_by(tmp_path, "tests")["failed"] == {"tests": "none has passed"}
    (some_tests / "test_a.py").unlink()
    gpu_kernels.tests(findings(tmp_path, "tests"))
    assert left_by(tmp_path, "tests")["failed"] == {"tests": "no test is marked cuda"}
