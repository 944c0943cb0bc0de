"""The command behind docs/results.md: its protocols, its files, and the page made of them."""

import json

import pytest

from benchmarks import quality, quality_report
from minigan import models
from minigan.cli import one_line_errors
from minigan.training.options import parse_train_flags


def result(model="gan", seed=0, **figures):
    return {
        "model": model,
        "seed": seed,
        "device": "cpu",
        "command": f"minigan train {model} --data mnist",
        "steps": 1234,
        "minutes": 5.6,
        "machine": {"date": "2026-01-02", "commit": "abc", "cpu": "CPU", "cores": 2, "python": "3"},
        "figures": figures or {"precision": {"value": 0.5, "better": "higher"}},
    }


def test_every_variant_has_a_protocol_whose_flags_it_knows():
    assert list(quality.PROTOCOLS) == list(models.list())
    for name, flags in quality.PROTOCOLS.items():
        parse_train_flags(models.get(name), [*flags, "--seed", "1"], "test")


def test_the_page_holds_every_result_and_the_figure_that_counts(tmp_path):
    figures = {
        "precision": {"value": 0.5, "better": "higher", "floor": 0.875, "std": 0.01},
        "GAN-test (asked digit is read)": {"value": 0.9712, "better": "higher"},
    }
    (tmp_path / "quality-b.json").write_text(json.dumps(result("acgan", 3, **figures)))
    (tmp_path / "quality-a.json").write_text(json.dumps(result()))
    (tmp_path / "other.json").write_text("{}")
    page = tmp_path / "results.md"
    assert "2 trainings" in quality_report.write_report(tmp_path, page)
    text = page.read_text()
    assert "GAN-test (asked digit is read): 0.9712 |" in text
    assert "| precision | 0.5 +- 0.01 | 0.875 | higher |" in text
    assert "## acgan, seed 3" in text and "(#acgan-seed-3)" in text
    assert "1,234 steps in 5.6 minutes" in text


def test_the_committed_page_is_made_of_the_committed_files(tmp_path):
    quality_report.write_report(quality.RESULTS, tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == quality_report.PAGE.read_text()


def test_a_training_is_resumed_judged_and_its_time_added_up(tmp_path, monkeypatch):
    calls = []

    def minigan(*args):
        calls.append(args)
        run = tmp_path / "runs" / "gan-seed4"
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text("{}")
        if args[0] == "train" and len(calls) == 1:
            raise KeyboardInterrupt
        if args[0] == "evaluate":
            report = {"step": 7, "figures": {"precision": {"value": 1.0, "better": "higher"}}}
            (run / "evaluation.json").write_text(json.dumps(report))

    monkeypatch.setattr(quality, "_minigan", minigan)
    monkeypatch.setattr(quality, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "PICTURES", tmp_path / "pictures")
    monkeypatch.setattr(quality, "write_report", lambda folder: "")
    args = ["--models", "gan", "--seeds", "4", "--runs", str(tmp_path / "runs"), "--data_dir", "D"]
    with pytest.raises(KeyboardInterrupt):
        quality.main(args)
    spent = float((tmp_path / "runs" / "gan-seed4" / "training_seconds.json").read_text())
    assert quality.main(args) == 0
    assert [call[0] for call in calls] == ["train", "train", "evaluate", "sample"]
    assert "--resume" not in calls[0] and "--resume" in calls[1]
    assert float((tmp_path / "runs" / "gan-seed4" / "training_seconds.json").read_text()) > spent
    written = json.loads((tmp_path / "results" / "quality-gan-seed4-cpu.json").read_text())
    assert written["steps"] == 7 and written["command"].startswith("minigan train gan --data mnist")
    assert "--data_dir" not in written["command"]  # a folder of this machine says nothing


@pytest.mark.parametrize(
    "args, words", [(["--models", "gam"], "gam"), (["--nonsense"], "nonsense")]
)
def test_bad_flags_are_one_line(args, words, capsys):
    assert one_line_errors(lambda: quality.main(args)) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
