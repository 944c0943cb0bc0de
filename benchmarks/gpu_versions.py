"""Two stages of benchmarks.gpu_check: what there is, and whether NVRTC takes all our kernels."""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.gpu_stage import Findings, one_line
from benchmarks.machine import cores
from minigan.backends.cuda import launch

_SMI = (
    "name,driver_version,memory.total,memory.used,clocks.sm,clocks.max.sm,power.draw,power.limit,"
    "temperature.gpu,mig.mode.current"
)
_PROPERTIES = ("name", "totalGlobalMem", "multiProcessorCount", "l2CacheSize",
               "sharedMemPerBlockOptin")  # fmt: skip


def versions(findings: Findings) -> None:
    """The GPU, its driver, and the versions of everything between it and us."""
    findings.attempt("cupy", _cupy)
    findings.attempt("gpu", _gpu)
    findings.attempt("nvidia-smi", _smi)
    findings.attempt("torch", _torch)


def _cupy() -> dict[str, Any]:
    cupy = launch.launcher().xp
    runtime = cupy.cuda.runtime
    return {
        "cupy": cupy.__version__,
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "nvrtc": ".".join(map(str, cupy.cuda.nvrtc.getVersion())),
    }


def _gpu() -> dict[str, Any]:
    to = launch.launcher()
    properties = to.xp.cuda.runtime.getDeviceProperties(0)
    found = {key: properties[key] for key in _PROPERTIES if key in properties}
    found["name"] = found["name"].decode()
    free, total = to.xp.cuda.runtime.memGetInfo()
    used = total - free  # by others, and by this process's context
    return found | {"capability": list(to.capability), "used_mb_before": used >> 20}


def _smi() -> str:
    if shutil.which("nvidia-smi") is None:
        return "not found"
    command = ["nvidia-smi", f"--query-gpu={_SMI}", "--format=csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return (done.stdout + done.stderr).strip()


def _torch() -> dict[str, Any]:
    import torch

    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "gpu": torch.cuda.get_device_name(0),
    }


def compile(findings: Findings) -> None:
    """Compile each file by itself, side by side; CuPy keeps the results for the other stages."""
    files = sorted(path.name for path in launch.kernel_folder().glob("*.cu"))
    launch.launcher().xp.zeros(1)  # the context, which the threads share
    with ThreadPoolExecutor(min(8, cores())) as threads:
        for file, seconds, error in threads.map(_compiled, files):
            if error:
                findings.fail(file, error)
            else:
                findings.add("seconds", [file, seconds])


def _compiled(file: str) -> tuple[str, float, str]:
    start = time.perf_counter()
    try:
        launch.module(file).compile()
    except Exception as error:  # the compiler's log
        return file, 0.0, one_line(error)
    return file, time.perf_counter() - start, ""
