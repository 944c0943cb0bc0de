"""The bar can be seen, also on a terminal that reports no size."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

CODE = """
from minigan.progress_bar import progress_bar
bar = progress_bar(total=2, unit="step", mininterval=0)
bar.update()
bar.close()
"""


TRAINING = """
from minigan.training.progress import Progress
names = "d_loss", "g_loss", "class_loss", "real_accuracy", "fake_accuracy", "d_x", "d_g_z"
progress = Progress(0, 1200, 200)
progress.advance(64)
progress.show({"step": 1, "epoch": 1, **dict.fromkeys(names, 0.5)})
progress.advance(64)
progress.close()
"""


def on_a_terminal(code, rows, columns):
    """The lines that a program writes to standard error on a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, timeout=60)
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # Linux's word for the end of a terminal
        while more := os.read(ours, 4096):
            written += more
    os.close(ours)
    assert done.returncode == 0
    return written.decode().replace("\n", "\r").split("\r")


@pytest.mark.parametrize("rows, columns", [(0, 0), (30, 60), (30, 120), (0, 100), (30, 0)])
def test_a_terminal_shows_it_at_its_width(rows, columns):
    lines = on_a_terminal(CODE, rows, columns)
    assert any("1/2" in line and "step" in line for line in lines)
    assert max(map(len, lines)) <= (columns or 80)


@pytest.mark.parametrize(
    "columns, shown", [(80, "d_loss"), (120, "images/s"), (150, "class_loss"), (260, "d_g_z")]
)
def test_losses_of_a_training_leave_the_bar_its_room(columns, shown):
    (*_, last) = [line for line in on_a_terminal(TRAINING, 30, columns) if "loss" in line]
    assert len(last) <= columns and shown in last
    if columns > 80:
        assert len(last.split("|")[1]) >= 10


def test_a_file_gets_it_as_text():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "1/2" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", TRAINING], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "d_g_z" in done.stderr and "images/s" in done.stderr
