"""The page about speed is made of the newest results, and it is the one in docs/."""

import json

from benchmarks import report
from benchmarks.result_file import RESULTS
from minigan.cli import one_line_errors

MACHINE = {"date": "2026-01-02", "commit": "abc", "cpu": "CPU", "cores": 2, "python": "3",
           "packages": {"numpy": "2"}}  # fmt: skip


def timing(seconds):
    return {"median": seconds, "low": 0.9 * seconds, "high": 1.1 * seconds, "peak_mb": 100.0}


def steps(date="2026-01-02", ratio=2.5, cpu="CPU"):
    row = {"workload": "acgan", "goal": 2.0, "minigan": timing(0.1), "ratio": ratio,
           "torch": timing(0.1 * ratio) | {"layout": "channels_last"}}  # fmt: skip
    alone = {"workload": "gan", "goal": 1.5, "minigan": timing(0.01)}
    machine = MACHINE | {"date": date, "cpu": cpu}
    return {"command": "run", "threads": 2, "machine": machine, "workloads": [row, alone]}


def ops():
    calls = [
        {"call": "matmul peak", "kernel": "matmul", "minigan": timing(1.0),
         "gflop_s": 120.0, "share_of_peak": 0.8},
        {"call": "conv2d a", "kernel": "conv2d", "minigan": timing(0.01), "torch": timing(0.02),
         "ratio": 2.0, "gflop_s": 75.0, "share_of_peak": 0.5},
        {"call": "relu b", "kernel": "relu", "minigan": timing(0.001)},
    ]  # fmt: skip
    workloads = {"acgan": {"conv2d a": 3, "relu b": 2}, "not timed": {"relu b": 1}}
    return {"command": "run", "threads": 2, "machine": MACHINE, "calls": calls,
            "workloads": workloads, "peak_gflop_s": 150.0}  # fmt: skip


def test_steps_and_the_goal_that_is_reached(tmp_path):
    (tmp_path / "steps-cpu-2026-01-02.json").write_text(json.dumps(steps()))
    (tmp_path / "steps-cpu-2026-01-03.json").write_text(json.dumps(steps("2026-01-03", 1.25)))
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    assert report.main(["--results", str(tmp_path), "--page", str(page)]) == 0
    text = page.read_text()
    assert "| acgan | 100.0 +- 10.0 | 125.0 +- 12.5 | channels_last | 1.25 | 2.0 |" in text
    assert "2026-01-03" in text and "2026-01-02" not in text  # the newest result, no other
    assert (page.parent / report.CHART).read_bytes().startswith(b"\x89PNG")
    assert "**2.50**" in report.page({"steps": steps()})


def test_of_one_day_the_last_run_counts(tmp_path):
    for time, ratio in (("0903", 1.1), ("1020", 1.2), (None, 1.3)):
        result = steps(ratio=ratio)
        if time is not None:
            result["machine"] |= {"time": f"{time[:2]}:{time[2:]}"}
        (tmp_path / f"steps-cpu-2026-01-02-{time}.json").write_text(json.dumps(result))
    assert report.newest(tmp_path)["steps"]["workloads"][0]["ratio"] == 1.2


def test_the_last_steps_on_each_other_processor(tmp_path):
    for day, ratio, cpu in ((2, 1.1, "old"), (3, 1.2, "old"), (4, 1.3, "new"), (5, 1.4, "new")):
        result = steps(f"2026-01-0{day}", ratio, cpu)
        (tmp_path / f"steps-cpu-{day}.json").write_text(json.dumps(result))
    assert report.newest(tmp_path)["steps"]["workloads"][0]["ratio"] == 1.4
    (other,) = report.elsewhere(tmp_path)
    text = report.page({"steps": steps()}, [other])
    assert "### On another processor\n\n`run`: 2026-01-03, commit abc, old, 2 cores" in text
    assert "| acgan | 100.0 +- 10.0 | 120.0 +- 12.0 | 1.20 | 2.0 |" in text


def test_a_profile_is_the_calls_times_their_number():
    text = report.page({"steps": steps(), "ops": ops()})
    # 3 convolutions of 10 ms and 2 activations of 1 ms in a step of 100 ms
    assert "| acgan | 30.0 (60.0) |  |  | 2.0 (0.0) |  | 32.0 (60.0) | 100.0 |" in text
    assert "| conv2d a | 10.000 | 20.000 | 2.00 | 50% |" in text
    assert "not timed |" not in text


def test_calls_of_another_commit_are_no_parts_of_the_steps():
    older = ops()
    older["machine"] = MACHINE | {"commit": "abb+"}
    text = report.page({"steps": steps(), "ops": older})
    assert "timed at commit abb, the steps above at abc" in text
    assert "| 32.0 (60.0) |  |" in text
    same = ops()
    same["machine"] = MACHINE | {"commit": "abc+"}
    assert "no parts of those steps" not in report.page({"steps": steps(), "ops": same})


def test_a_gpus_results_and_that_there_are_none():
    assert "No GPU's times were measured yet" in report.page({"steps": steps()})
    row = {"workload": "acgan", "goals": [5.0, 1.2], "minigan graph": timing(0.001),
           "torch eager default": timing(0.006), "torch graph default": timing(0.0011)}  # fmt: skip
    stages = {
        "versions": {"found": {"gpu": {"name": "GPU X"}}},
        "steps": {"found": {"rows": [row]}},
        "launches": {"found": {"failed": {}, "empty RawKernel": 2.5}},
    }
    text = report.page({"gpu_check": {"command": "run", "machine": MACHINE, "stages": stages}})
    assert "GPU X. `run`: 2026-01-02" in text and "measured yet" not in text
    assert "| **6.00** (5) | 1.10 (1.2) | 100 / 100 |" in text
    assert "| empty RawKernel | 2.50 | |" in text


def test_no_results_is_one_line(tmp_path, capsys):
    args = ["--results", str(tmp_path), "--page", str(tmp_path / "page.md")]
    assert one_line_errors(lambda: report.main(args)) == 2
    assert "no results" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_the_page_is_that_of_the_results():
    assert report.PAGE.read_text() == report.page(report.newest(RESULTS), report.elsewhere(RESULTS))
