"""How steps scale: the settings, what figures are relative to, both sides of a comparison."""

import json

import pytest

from benchmarks import report, scaling
from benchmarks.alternating import ProgramError, Timing
from minigan.errors import ConfigError


@pytest.fixture
def clocks(monkeypatch):
    """Two cores, and steps that take 1 ms and 1 ms an image, shared by the threads; PyTorch's three
    times as long, in channels_last twice. The machine gives two threads 1.5 times what
    it gives one. Each round takes a tenth longer than the one before."""
    monkeypatch.setattr(scaling, "cores", lambda: 2)
    monkeypatch.setattr(scaling, "require_torch", lambda: None)

    def timed(makers, cases, rounds, seconds):
        per_round = len(cases) // 3
        for i, case in enumerate(cases):
            late = 1 + (i // per_round) / 10
            timings = {}
            for name, args in case.items():
                side, threads = name.rsplit(" ", 1)
                if side in ("arithmetic", "memory"):
                    assert makers[name] is scaling.machine_on and args == (int(threads), side)
                    median = late * {"1": 3e-3, "2": 2e-3}[threads]
                    timings[name] = Timing(median, median, median, 1, median, 100.0)
                    continue
                changes = args[2] if side == "minigan" else args[3]
                assert makers[name] is (
                    scaling.step_on if side == "minigan" else scaling.torch_step
                )
                images = changes.get("batch_size", 64) * (changes.get("img_size", 32) / 32) ** 2
                slow = {"minigan": 1, "default": 3, "channels_last": 2}[side]
                median = slow * late * (1e-3 + 1e-3 * images / int(threads))
                timings[name] = Timing(median, median, median, 1, median, 100.0)
            yield timings

    monkeypatch.setattr(scaling, "alternate_cases", timed)


def run(tmp_path, *flags):
    assert scaling.main(["--rounds", "3", "--out", str(tmp_path), *flags]) == 0
    (file,) = tmp_path.glob("scaling-cpu-*.json")
    result = json.loads(file.read_text())
    return result, {(r["workload"], r["by"], r["value"]): r for r in result["rows"]}


def test_figures_are_relative_to_one_thread_to_batch_64_and_to_64_pixels(clocks, tmp_path):
    result, rows = run(tmp_path)
    assert rows["acgan", "threads", 1]["seconds"] == pytest.approx(1.1 * 65e-3)  # the second round
    assert rows["acgan", "threads", 2]["relative"] == pytest.approx(65 / 33)
    assert rows["gan", "batch", 64]["relative"] == 1
    assert rows["gan", "batch", 256]["relative"] == pytest.approx(129 / 256 / (33 / 64))
    assert rows["acgan", "size", 128]["relative"] == pytest.approx(65 / 16 / (17 / 4))
    assert not any(by == "size" for name, by, _ in rows if name == "gan")  # it has no such layers
    machine = rows["the machine's memory", "threads", 2]
    assert machine["seconds"] == pytest.approx(2.2e-3) and "torch" not in machine
    assert machine["relative"] == pytest.approx(1.5)
    text = report.page({"scaling": result})
    assert "| acgan | threads | 2 | 36.3 | 1.97 |\n" in text and "PyTorch ms" not in text


def test_beside_pytorch_in_the_faster_of_its_layouts(clocks, tmp_path, capsys):
    result, rows = run(tmp_path, "--compare", "torch", "--workloads", "gan")
    row = rows["gan", "threads", 2]
    assert row["ratio"] == pytest.approx(2)
    assert row["torch"] == pytest.approx({"seconds": 1.1 * 66e-3, "relative": 65 / 33})
    text = report.page({"scaling": result})
    assert "| gan | threads | 2 | 36.3 | 1.97 | 72.6 | 1.97 | 2.00 |\n" in text
    assert "| the machine's arithmetic | threads | 2 | 2.2 | 1.50 | | | |\n" in text
    assert "PyTorch       72.6 ms   1.97   ratio 2.00" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["arithmetic", "memory"])
def test_the_machines_work_is_done(what, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("MINIGAN_NUM_THREADS", "2")
    scaling.machine_on(2, what)()


def test_a_side_that_fails_ends_the_run(clocks, tmp_path, monkeypatch):
    error = ProgramError("minigan 1: no memory", "minigan 1")
    monkeypatch.setattr(scaling, "alternate_cases", lambda *args: iter([error]))
    with pytest.raises(ProgramError, match="no memory"):
        scaling.main(["--out", str(tmp_path)])


def test_unknown_workloads_and_no_rounds_are_named(tmp_path):
    with pytest.raises(ConfigError, match="unknown workload 'nothing'"):
        scaling.main(["--workloads", "nothing", "--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="--rounds is 0"):
        scaling.main(["--rounds", "0", "--out", str(tmp_path)])
