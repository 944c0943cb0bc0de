"""metrics.jsonl."""

import math

import pytest
from fake_gan import Scalar

from minigan.errors import CheckpointError, MiniganError
from minigan.training.metrics_log import MetricsLog, read_metrics, truncate_metrics


def test_losses_are_read_only_when_flushed(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    before = Scalar.reads
    for step in range(1, 4):
        log.add(step, 1, {"d_loss": Scalar(step / 10)})
    assert Scalar.reads == before and log.waiting
    rows = log.flush()
    assert Scalar.reads == before + 3 and not log.waiting
    assert rows == read_metrics(log.path)
    log.add(4, 2, {"d_loss": Scalar(0.4)})
    log.flush()
    text = log.path.read_text()
    assert text.startswith('{"step": 1, "epoch": 1, "d_loss": 0.1}\n')
    assert text.endswith('{"step": 4, "epoch": 2, "d_loss": 0.4}\n')


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_divergence_stops_after_logging_the_rows_up_to_it(tmp_path, bad):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step, value in enumerate([0.1, 0.2, bad, 0.4], start=1):
        log.add(step, 1, {"d_loss": 0.5, "g_loss": value})
    with pytest.raises(MiniganError, match=f"g_loss became {bad} at step 3.*diverged"):
        log.flush()
    rows = read_metrics(log.path)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert math.isnan(rows[-1]["g_loss"])
    assert "NaN" not in log.path.read_text() and "Infinity" not in log.path.read_text()


def test_truncate_keeps_bytes(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = '{"step": 1, "epoch": 1, "d_loss": 0.30000001192092896, "g_loss": 1e-20}\n'
    path.write_text(first + '{"step": 2, "epoch": 1}\n{"step": 3')
    truncate_metrics(path, 1)
    assert path.read_text() == first


def test_a_corrupt_line_is_an_error(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for line in ("nonsense", "3", "[1]", '{"epoch": 1}'):
        path.write_text('{"step": 1}\n' + line + '\n{"step": 3}\n')
        with pytest.raises(CheckpointError, match="corrupt in line 2"):
            read_metrics(path)
    path.write_bytes(b"\xff\n")
    with pytest.raises(CheckpointError, match="cannot read"):
        read_metrics(path)


def test_no_file_no_rows(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
