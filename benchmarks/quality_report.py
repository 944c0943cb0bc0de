"""docs/results.md from the JSON files of benchmarks.quality, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "results.md"

_INTRODUCTION = """# How well the variants learn

Made by `python -m benchmarks.quality` from the files `benchmarks/results/quality-*.json`; change
nothing here by hand. Every figure is measured on generated images in eval mode, by a classifier of
digits that minigan trained itself (99.46% on the test set). "Real images" is what training digits
reach in the place of generated ones. A +- is a bootstrap standard error. Minutes are wall time, on
machines that other work shared and sometimes stopped: how fast a step is says performance.md.
"""


def write_report(results: Path, page: Path = PAGE) -> str:
    """Write the page; returns a line that says so."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("quality-*.json"))]
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join([_INTRODUCTION, *_overview(found), *_details(found)]) + "\n")
    return f"{page.name}: {len(found)} trainings"


def _overview(found: list[dict[str, Any]]) -> Iterable[str]:
    yield "| variant | seed | steps | minutes | machine | the figure that counts |"
    yield "|---|---|---|---|---|---|"
    for result in found:
        machine = result["machine"]
        where = f"{machine['cores']} cores" if result["device"] == "cpu" else "GPU"
        figures = result["figures"]
        headline = next((name for name in _HEADLINES if name in figures), next(iter(figures)))
        yield (
            f"| [{result['model']}](#{_anchor(result)}) | {result['seed']} | {result['steps']:,} "
            f"| {result['minutes']:g} | {where} | {headline}: {_number(figures[headline])} |"
        )


def _details(found: list[dict[str, Any]]) -> Iterable[str]:
    for result in found:
        machine = result["machine"]
        yield f"\n## {result['model']}, seed {result['seed']}\n"
        yield (
            f"`{result['command']}`: {result['steps']:,} steps in {result['minutes']:g} minutes; "
            f"{machine['date']}, commit {machine['commit']}, {machine['cpu']}, Python "
            f"{machine['python']}.\n"
        )
        yield "| figure | value | real images | best |"
        yield "|---|---|---|---|"
        for name, figure in result["figures"].items():
            floor = f"{figure['floor']:.4g}" if "floor" in figure else ""
            yield f"| {name} | {_number(figure)} | {floor} | {figure['better']} |"


# The first of these that a result has stands in the overview.
_HEADLINES = (
    "unsupervised error (majority)",
    "negative ELBO of test images (nats)",
    "GAN-test (asked digit is read)",
    "digit kept, A to B",
    "modes covered",
    "Frechet distance (MNIST-CNN)",
)


def _number(figure: dict[str, Any]) -> str:
    spread = f" +- {figure['std']:.2g}" if figure.get("std") else ""
    return f"{figure['value']:.4g}{spread}"


def _anchor(result: dict[str, Any]) -> str:
    return f"{result['model']}-seed-{result['seed']}"
