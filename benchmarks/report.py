"""docs/performance.md and its chart from the JSON files of the benchmarks, and from nothing else.

python -m benchmarks.report
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gpu_tables
from benchmarks.result_file import RESULTS
from minigan.cli import one_line_errors
from minigan.errors import ConfigError
from minigan.training.options import parse_flags

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
CHART = Path("pictures") / "steps-cpu.png"

_INTRODUCTION = """# How fast it is

Made by `python -m benchmarks.report` from the newest files of `benchmarks/results/`; change
nothing here by hand. A ratio is PyTorch's time divided by minigan's, from one run on one
machine, both sides in turns: above 1 minigan is faster. Times are medians, with half the distance
of the quartiles after the +-.
"""


@dataclass(frozen=True)
class Options:
    """Where the results are, and where the page goes."""

    results: Path = RESULTS
    """Folder of the JSON files."""
    page: Path = PAGE
    """The page to write."""


def main(args: list[str]) -> int:
    """Write the page and the chart; says so."""
    options = parse_flags(Options, args, "python -m benchmarks.report", "Rebuild the page.")
    found = newest(options.results)
    if not found:
        raise ConfigError(f"no results of benchmarks in {options.results}: run benchmarks.steps")
    options.page.write_text(page(found, elsewhere(options.results)))
    if "steps" in found:
        draw(found["steps"], options.page.parent / CHART)
    print(f"{options.page.name}: {', '.join(found)}")
    return 0


def newest(results: Path) -> dict[str, dict[str, Any]]:
    """The last result of each kind."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("steps", "ops", "scaling", "startup", "gpu_check"):
        pattern = "gpu_check-cuda-*.json" if kind == "gpu_check" else f"{kind}-cpu-*"
        files = [json.loads(path.read_text()) for path in sorted(results.glob(pattern))]
        if files:
            found[kind] = max(files, key=_moment)
    return found


def _moment(result: dict[str, Any]) -> tuple[str, str]:
    machine = result["machine"]
    return machine["date"], machine.get("time", "")  # the first results have none


def elsewhere(results: Path) -> list[dict[str, Any]]:
    """The last result of the steps on each other processor than the newest's."""
    last: dict[str, dict[str, Any]] = {}
    files = [json.loads(path.read_text()) for path in sorted(results.glob("steps-cpu-*"))]
    for result in sorted(files, key=_moment):
        last.pop(result["machine"]["cpu"], None)
        last[result["machine"]["cpu"]] = result
    return list(last.values())[:-1]


def page(found: dict[str, dict[str, Any]], others: Sequence[dict[str, Any]] = ()) -> str:
    """The whole page; `others` are results of the steps on other processors."""
    lines = [_INTRODUCTION]
    if "steps" in found:
        lines += _steps(found["steps"])
    for other in others:
        lines += _steps_elsewhere(other)
    if "steps" in found and "ops" in found:
        lines += _profiles(found["steps"], found["ops"])
    if "ops" in found:
        lines += _ops(found["ops"])
    if "scaling" in found:
        lines += _scaling(found["scaling"])
    if "startup" in found:
        lines += [*_startup(found["startup"]), ""]
    lines += _gpu(found.get("gpu_check"))
    return "\n".join(lines) + "\n"


def _source(result: dict[str, Any]) -> str:
    machine = result["machine"]
    threads = f", {result['threads']} threads" if "threads" in result else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"`{result['command']}`: {machine['date']}, commit {machine['commit']}, {machine['cpu']}, "
        f"{machine['cores']} cores{threads}, Python {machine['python']}, {versions}.\n"
    )


def _gpu(result: dict[str, Any] | None) -> Iterable[str]:
    """The tables of the newest check on a GPU, or that there was none."""
    yield "## On a GPU\n"
    if result is None:
        yield (
            "No GPU's times were measured yet: `python -m benchmarks.gpu_check --out DIR` on a "
            "machine\nwith one measures them, and leaves a JSON file for `benchmarks/results/`."
        )
        return
    found = {name: stage["found"] for name, stage in result["stages"].items()}
    name = found.get("versions", {}).get("gpu", {}).get("name", "a GPU of unknown name")
    yield f"{name}. {_source(result)}"
    if rows := found.get("steps", {}).get("rows"):
        yield from gpu_tables.steps(rows)
    if calls := found.get("convolutions", {}).get("calls"):
        yield from gpu_tables.convolutions(calls)
    if costs := found.get("launches"):
        yield from gpu_tables.launches(costs)


def _steps(result: dict[str, Any]) -> Iterable[str]:
    yield f"## Training steps\n\n{_source(result)}"
    yield f"![Ratios of the training steps]({CHART.as_posix()})\n"
    yield "| step | minigan ms | PyTorch ms | layout | ratio | goal | peak MB, minigan / PyTorch |"
    yield "|---|---|---|---|---|---|---|"
    for row in result["workloads"]:
        ours, theirs = row["minigan"], row.get("torch")
        if theirs is None:
            yield f"| {row['workload']} | {_ms(ours)} | | | | | {ours['peak_mb']:.0f} |"
            continue
        yield (
            f"| {row['workload']} | {_ms(ours)} | {_ms(theirs)} | {theirs['layout']} "
            f"| {_ratio(row)} | {row['goal']} | {ours['peak_mb']:.0f} / {theirs['peak_mb']:.0f} |"
        )
    yield "\nBold: the goal is reached.\n"


def _steps_elsewhere(result: dict[str, Any]) -> Iterable[str]:
    yield f"### On another processor\n\n{_source(result)}"
    yield "| step | minigan ms | PyTorch ms | ratio | goal |\n|---|---|---|---|---|"
    for row in result["workloads"]:
        if "ratio" in row:
            times = f"{_ms(row['minigan'])} | {_ms(row['torch'])}"
            yield f"| {row['workload']} | {times} | {_ratio(row)} | {row['goal']} |"
    yield ""


def _ratio(row: dict[str, Any]) -> str:
    return f"**{row['ratio']:.2f}**" if row["ratio"] >= row["goal"] else f"{row['ratio']:.2f}"


def _ms(timing: dict[str, Any]) -> str:
    return f"{1e3 * timing['median']:.1f} +- {500 * (timing['high'] - timing['low']):.1f}"


def _profiles(steps: dict[str, Any], ops: dict[str, Any]) -> Iterable[str]:
    """Where the time of each step goes: its calls, timed by themselves, times their number."""
    seconds = {row["call"]: row for row in ops["calls"]}
    yield "## Where the time of a step goes\n"
    yield (
        "Each kernel's calls in one step, timed by themselves, times their number; ms, and\n"
        "PyTorch's time for the same calls in brackets. By itself a kernel finds its arrays in\n"
        "the cache, and small calls and the engine are not in the sum: the rest is theirs.\n"
    )
    timed, stepped = (result["machine"]["commit"].rstrip("+") for result in (ops, steps))
    if timed != stepped:
        yield (
            f"The calls were timed at commit {timed}, the steps above at {stepped}: another state\n"
            "of the code and of the machine, so these sums are no parts of those steps.\n"
        )
    yield "| step | convolutions | matrix products | norms | activations | Adam | sum | step |"
    yield "|---|---|---|---|---|---|---|---|"
    step_seconds = {row["workload"]: row["minigan"]["median"] for row in steps["workloads"]}
    for workload, calls in ops["workloads"].items():
        if workload not in step_seconds:
            continue
        ours: dict[str, float] = defaultdict(float)
        theirs: dict[str, float] = defaultdict(float)
        for call, times in calls.items():
            row = seconds[call]
            ours[_family(row["kernel"])] += times * row["minigan"]["median"]
            theirs[_family(row["kernel"])] += times * row.get("torch", {}).get("median", 0.0)
        cells = [_pair(ours[family], theirs[family]) for family in _FAMILIES]
        total = _pair(sum(ours.values()), sum(theirs.values()))
        step = f"{1e3 * step_seconds[workload]:.1f}" if timed == stepped else ""
        yield f"| {workload} | {' | '.join(cells)} | {total} | {step} |"
    yield ""


_FAMILIES = ("convolutions", "matrix products", "norms", "activations", "Adam")


def _family(kernel: str) -> str:
    if "conv" in kernel:
        return "convolutions"
    if "norm" in kernel:
        return "norms"
    if kernel.endswith("matmul"):
        return "matrix products"
    return "Adam" if kernel == "adam_step" else "activations"


def _pair(ours: float, theirs: float) -> str:
    return f"{1e3 * ours:.1f} ({1e3 * theirs:.1f})" if ours else ""


def _ops(result: dict[str, Any]) -> Iterable[str]:
    peak = result["peak_gflop_s"]
    yield f"## Kernel calls\n\n{_source(result)}"
    yield (
        f"Share: of the {peak:.0f} GFLOP/s that a 2048x2048 matrix product reached in this run on\n"
        "the same threads (the fastest of minigan, NumPy's BLAS and PyTorch), counting the\n"
        "arithmetic of the definition (a kernel that saves some can pass 100%). Shapes as in\n"
        "`minigan/backends/protocol.py`.\n"
    )
    yield "| call | ms | PyTorch ms | ratio | share |"
    yield "|---|---|---|---|---|"
    for row in result["calls"]:
        torch = f"{1e3 * row['torch']['median']:.3f}" if "torch" in row else ""
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        share = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
        ours = f"{1e3 * row['minigan']['median']:.3f}"
        yield f"| {row['call']} | {ours} | {torch} | {ratio} | {share} |"
    yield ""


def _scaling(result: dict[str, Any]) -> Iterable[str]:
    yield f"## Scaling\n\n{_source(result)}"
    yield (
        "Relative: with threads, how many times faster than with one; with the batch, time per\n"
        "image, batch 64 being 1; with the size, time per pixel, 64x64 being 1. Rows of the\n"
        "machine say what multiply-adds in registers, and reading and writing memory, gained in\n"
        "the same minutes.\n"
    )
    compared = any("torch" in row for row in result["rows"])
    yield "| step | by | value | ms | relative |" + " PyTorch ms | relative | ratio |" * compared
    yield "|---|---|---|---|---|" + "---|---|---|" * compared
    for row in result["rows"]:
        line = (
            f"| {row['workload']} | {row['by']} | {row['value']} | {1e3 * row['seconds']:.1f} "
            f"| {row['relative']:.2f} |"
        )
        if torch := row.get("torch"):
            line += f" {1e3 * torch['seconds']:.1f} | {torch['relative']:.2f} |"
            line += f" {row['ratio']:.2f} |"
        elif compared:
            line += " | | |"
        yield line
    yield ""


def _startup(result: dict[str, Any]) -> Iterable[str]:
    yield f"## Start\n\n{_source(result)}"
    yield "| what | seconds |"
    yield "|---|---|"
    for name, seconds in result["seconds"].items():
        yield f"| {name} | {seconds:.2f} |"


def draw(result: dict[str, Any], path: Path) -> None:
    """A bar for each step's ratio, and a mark at its goal."""
    from matplotlib.figure import Figure

    rows = [row for row in result["workloads"] if "ratio" in row][::-1]
    if not rows:
        return
    figure = Figure(figsize=(7, 0.8 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names, ratios = [row["workload"] for row in rows], [row["ratio"] for row in rows]
    bars = axes.barh(names, ratios, color=["#4878a8" if r >= 1 else "#c8c8c8" for r in ratios])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.plot([row["goal"] for row in rows], names, "k|", markersize=12, label="goal")
    axes.axvline(1, color="black", linewidth=0.8)
    machine = result["machine"]
    axes.set_xlabel(f"PyTorch time / minigan time ({machine['cpu']}, {machine['date']})")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
