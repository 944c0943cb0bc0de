"""Markdown tables of what benchmarks.gpu_check has found, for its reader and for docs/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MOST_FAILURES = 20  # shown; the JSON file has all
_MOST_KERNELS = 8


def tables(result: dict[str, Any]) -> Iterator[str]:
    """All that the stages of a result found."""
    stages = result["stages"]
    found = {name: stage["found"] for name, stage in stages.items()}
    yield "| stage | s | |"
    yield "|---|---|---|"
    for name, stage in stages.items():
        yield f"| {name} | {stage['seconds']:.0f} | {stage['status']}{_passed(stage['found'])} |"
    yield ""
    for name, content in found.items():
        yield from _failures(name, content.get("failed", {}))
    if rows := found.get("steps", {}).get("rows"):
        yield from steps(rows)
    if calls := found.get("convolutions", {}).get("calls"):
        yield from convolutions(calls)
    if "launches" in found:
        yield from launches(found["launches"])
    if "profile" in found:
        yield from _profile(found["profile"])


def _passed(found: dict[str, Any]) -> str:
    said = [f"{n} {what}" for what, n in found.get("counts", {}).items()]
    said += [f"{found[key]} {key}" for key in ("passed", "compared") if key in found]
    said += [f"no time was left for {what}" for what in found.get("left out", ())]
    return "".join(f"; {text}" for text in said)


def _failures(stage: str, failed: dict[str, str]) -> Iterator[str]:
    if not failed:
        return
    yield f"Failed in {stage}:\n"
    for what, why in list(failed.items())[:_MOST_FAILURES]:
        yield f"- {what}: {why}"
    if len(failed) > _MOST_FAILURES:
        yield f"- and {len(failed) - _MOST_FAILURES} more"
    yield ""


def best(row: dict[str, Any], program: str) -> tuple[str, dict[str, Any]] | None:
    """Of a workload's row: the fastest of the programs whose name begins so, and its timing."""
    found = [(name, timing) for name, timing in row.items() if name.startswith(program)]
    return min(found, key=lambda item: item[1]["median"], default=None)


def goals(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each goal of a workload: against what, the ratio to reach, and the one reached or None."""
    for row in rows:
        ours = best(row, "minigan")
        for against, goal in zip(("eager", "graph"), row["goals"], strict=True):
            if goal is None:
                continue
            theirs = best(row, f"torch {against}")
            ratio = theirs[1]["median"] / ours[1]["median"] if ours and theirs else None
            yield {"workload": row["workload"], "against": against, "goal": goal, "ratio": ratio}


def missed_goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals that were not reached, or could not be judged."""
    return [goal for goal in goals(rows) if goal["ratio"] is None or goal["ratio"] < goal["goal"]]


def missed(stages: dict[str, Any]) -> list[dict[str, Any]]:
    """The same, of all stages."""
    return missed_goals(stages.get("steps", {}).get("found", {}).get("rows", []))


def steps(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each workload: four programs, two ratios, memory."""
    yield (
        "Milliseconds of a step: median +- half the distance of the quartiles. Convolutions in "
        "TF32, matrix products in fp32, on both sides. Ratio: PyTorch's time over that of "
        "minigan's faster program; bold where a goal is reached, in brackets the goal. Memory: MB "
        "that the steps hold on the GPU, minigan's graph and PyTorch's.\n"
    )
    yield (
        "| step | minigan eager | minigan graph | PyTorch eager | PyTorch graph "
        "| ratio to eager | ratio to graph | MB |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        wanted = ("minigan eager", "minigan graph", "torch eager", "torch graph")
        programs = [best(row, program) for program in wanted]
        ours = best(row, "minigan")
        ratios = [
            _ratio(ours, theirs, goal)
            for theirs, goal in zip(programs[2:], row["goals"], strict=True)
        ]
        memory = " / ".join(f"{p[1]['peak_mb']:.0f}" if p else "-" for p in programs[1::2])
        cells = [row["workload"], *map(_step, programs), *ratios, memory]
        yield f"| {' | '.join(cells)} |"
    yield ""


def _step(program: tuple[str, dict[str, Any]] | None) -> str:
    if program is None:
        return "-"
    name, timing = program
    layout = " (channels_last)" if name.endswith("channels_last") else ""
    spread = (timing["high"] - timing["low"]) / 2
    return f"{1e3 * timing['median']:.3f} +- {1e3 * spread:.3f}{layout}"


def _ratio(ours: Any, theirs: Any, goal: float | None) -> str:
    asked = "" if goal is None else f" ({goal:g})"
    if ours is None or theirs is None:
        return f"-{asked}"
    ratio = theirs[1]["median"] / ours[1]["median"]
    reached = goal is not None and ratio >= goal
    return f"**{ratio:.2f}**{asked}" if reached else f"{ratio:.2f}{asked}"


def convolutions(calls: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each call: the GPU's time in both precisions, ratios and minigan's GFLOP/s."""
    precisions = [p for p in ("tf32", "fp32") if any(f"minigan {p}" in row for row in calls)]
    yield (
        "Microseconds of the GPU for one convolution, of several back to back on random data, so "
        "that small ones find their arrays in the cache; PyTorch in its default layout with "
        "cuDNN's fastest kernel.\n"
    )
    heads = [f"{p} us | PyTorch {p} us | ratio | GFLOP/s" for p in precisions]
    yield f"| call | {' | '.join(heads)} |"
    yield "|---" * (1 + 4 * len(precisions)) + "|"
    for row in calls:
        cells = []
        for precision in precisions:
            ours, theirs = (row.get(f"{side} {precision}") for side in ("minigan", "torch"))
            cells += [f"{1e6 * t['median']:.1f}" if t else "-" for t in (ours, theirs)]
            cells.append(f"{theirs['median'] / ours['median']:.2f}" if ours and theirs else "-")
            cells.append(f"{1e-9 * row['flop'] / ours['median']:.0f}" if ours else "-")
        yield f"| {row['call']} | {' | '.join(cells)} |"
    yield ""


def launches(found: dict[str, Any]) -> Iterator[str]:
    """What small things cost."""
    yield "| asked for in a row | us of the CPU | us of the GPU a node |"
    yield "|---|---|---|"
    pytorch = {f"PyTorch's {name}": cost for name, cost in found.get("PyTorch", {}).items()}
    for name, cost in (found | pytorch).items():
        if isinstance(cost, dict) and "GPU us a node" in cost:
            yield f"| {name} | {cost['CPU us a launch']:.1f} | {cost['GPU us a node']:.2f} |"
        elif isinstance(cost, float):
            yield f"| {name} | {cost:.2f} | |"
    yield ""


def _profile(found: dict[str, Any]) -> Iterator[str]:
    for name in found.get("workloads", []):
        if whole := found.get(f"{name}: launches"):
            yield (
                f"Where {name}'s eager step spends {whole['step ms']:.3f} ms of the GPU "
                f"({whole['launches']} launches of ours; {whole['other ms']:.3f} ms are not ours; "
                f"the CPU asks for it in {whole['asking ms']:.3f} ms):\n"
            )
            yield from _kernels(whole["kernels"])
        for side in ("minigan", "PyTorch"):
            if kernels := found.get(f"{name}: {side}'s kernels"):
                yield f"{side}'s kernels in {name}'s step, by PyTorch's profiler:\n"
                yield from _kernels(kernels)


def _kernels(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| kernel | times | ms |"
    yield "|---|---|---|"
    for row in rows[:_MOST_KERNELS]:
        yield f"| {row['kernel'][:80]} | {row['times']:g} | {row['ms']:.3f} |"
    yield ""
