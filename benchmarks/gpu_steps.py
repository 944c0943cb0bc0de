"""A stage of benchmarks.gpu_check: training steps on the GPU, in minigan and in PyTorch.

Both are timed eagerly and as one CUDA graph, each program in a process of its own, in turns; a
batch lies on the GPU, and no loss is read. PyTorch has cuDNN's autotuning, its fused Adam, and two
memory layouts, of which the faster counts. Convolutions are TF32 on both sides, matrix products
fp32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmarks import steps as cpu_steps
from benchmarks.alternating import ProgramError, alternate_all
from benchmarks.gpu_stage import Findings
from benchmarks.gpu_time import MiniganClock, StepTime, TorchClock
from minigan import creation, models
from minigan.backends.cuda.precision import set_precision
from minigan.models.captured import CaptureWarning

# name -> workload of benchmarks.steps, changes to its options, and the ratios (PyTorch's time /
# minigan's) to reach against PyTorch's eager step and against its graph: with goals first.
_SMALL = (5.0, 1.2)
Goals = tuple[float | None, float | None]
WORKLOADS: dict[str, tuple[str, dict[str, Any], Goals]] = {
    "acgan": ("acgan", {}, _SMALL),
    "dcgan_64_b128": ("dcgan_64", {"batch_size": 128}, (1.0, None)),
    "gan": ("gan", {}, _SMALL),
    "wgan_gp": ("wgan_gp", {}, _SMALL),
    "infogan": ("infogan", {}, _SMALL),
    "dcgan_32": ("dcgan_32", {}, _SMALL),
    "pix2pix_256": ("pix2pix_256", {}, (1.5, None)),
    "cyclegan_256": ("cyclegan_256", {}, (1.0, None)),
    **{
        name: (name, {}, (None, None))
        for name in ("dcgan_28", "dcgan_64", "lsgan", "cgan", "wgan", "vae", "ebgan", "stackedgan",
                     "cyclegan_128")
    },
}  # fmt: skip
QUICK = ("acgan", "dcgan_64_b128", "wgan_gp")
_LAYOUTS = ("default", "channels_last")
_BEFORE = 4  # two runs that prepare, one that is recorded, one that replays


def steps(findings: Findings) -> None:
    """Time the steps, in turns."""
    names = QUICK if findings.quick else tuple(WORKLOADS)
    makers: dict[str, Callable[..., Any]] = {}
    for how in ("eager", "graph"):
        makers[f"minigan {how}"] = minigan_step
        makers |= {f"torch {how} {layout}": torch_step for layout in _LAYOUTS}
    cases = [{program: (name, *program.split()[1:]) for program in makers} for name in names]
    rounds, seconds = (2, 0.2) if findings.quick else (3, 0.3)
    timed = alternate_all(makers, cases, rounds, seconds)
    for name, timings in zip(names, timed, strict=True):
        row: dict[str, Any] = {"workload": name, "goals": WORKLOADS[name][2]}
        for program, timing in timings.items():
            if isinstance(timing, ProgramError):
                findings.fail(f"{name}: {program}", str(timing))
            else:
                row[program] = asdict(timing)
        findings.add("rows", row)
        print(row, flush=True)
        if findings.left() < 15 and name != names[-1]:
            findings.leave_out(f"what follows {name}")
            return


def minigan_step(name: str, how: str) -> StepTime:
    """The time of minigan's step; a step that cannot be captured is an error."""
    set_precision("tf32")
    warnings.simplefilter("error", CaptureWarning)
    return StepTime(MiniganClock(), lambda: minigan_program(model(name, "cuda"), how), _BEFORE)


def minigan_program(gan: Any, how: str) -> Callable[[], Any]:
    """A function that takes minigan's step, or replays it."""
    batch = tuple(
        creation.as_tensor(values, device=gan.device) for values in cpu_steps.batch_for(gan)
    )
    if how == "graph":
        gan.capture()
    for _ in range(_before_it_is_steady(gan)):
        gan.step(batch)

    def step() -> None:
        for _ in range(cpu_steps.updates(gan)):
            gan.step(batch)

    return step


def _before_it_is_steady(gan: models.Model) -> int:
    """Steps until CycleGAN's pools are full."""
    pool = getattr(gan.config, "pool_size", 0)
    return -(-pool // gan.config.batch_size)


def torch_step(name: str, how: str, layout: str, on: str = "cuda") -> StepTime:
    """The time of PyTorch's step."""
    import torch

    use_precision(torch, "tf32")
    gan = model(name, "cpu")
    return StepTime(TorchClock(), lambda: torch_program(torch, gan, how, layout, on), _BEFORE)


def torch_program(torch: Any, gan: Any, how: str, layout: str, on: str) -> Callable[[], Any]:
    """A function that takes PyTorch's step, or replays it."""
    from benchmarks.torch_steps import twin_of

    twin, step = twin_of(torch, gan, cpu_steps.batch_for(gan), on)
    if layout == "channels_last":
        for network in twin.networks.values():
            network.to(memory_format=torch.channels_last)
    for optimizer in optimizers_of(torch, twin):
        for group in optimizer.param_groups:
            group["capturable"] = on == "cuda"  # its clock on the GPU
            if isinstance(optimizer, torch.optim.Adam):
                group["fused"] = True
    return captured(torch, step) if how == "graph" else step


def use_precision(torch: Any, precision: str) -> None:
    """TF32 in cuDNN or not, matrix products in fp32: as minigan's precisions."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


def optimizers_of(torch: Any, twin: Any) -> list[Any]:
    """All optimisers among a twin's attributes."""
    found = []
    for value in vars(twin).values():
        values = value.values() if isinstance(value, dict) else [value]
        found += [v for v in values if isinstance(v, torch.optim.Optimizer)]
    return found


def captured(torch: Any, step: Callable[[], Any]) -> Callable[[], Any]:
    """The step as one CUDA graph, as PyTorch's documentation captures a whole step."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay  # type: ignore[no-any-return]


def model(name: str, on: str) -> Any:
    """The model of a workload."""
    workload, changes, _ = WORKLOADS[name]
    variant, overrides, _ = cpu_steps.WORKLOADS[workload]
    return models.create(variant, on, **(overrides | changes))
