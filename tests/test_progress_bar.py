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


@pytest.mark.parametrize("rows, columns", [(0, 0), (30, 60), (30, 120), (0, 100), (30, 0)])
def test_a_terminal_shows_it_at_its_width(rows, columns):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    done = subprocess.run([sys.executable, "-c", CODE], stderr=theirs, timeout=60)
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # Linux's word for the end of a terminal
        while more := os.read(ours, 4096):
            written += more
    os.close(ours)
    lines = written.decode().replace("\n", "\r").split("\r")
    assert done.returncode == 0
    assert any("1/2" in line and "step" in line for line in lines)
    assert max(map(len, lines)) <= (columns or 80)


def test_a_file_gets_it_as_text():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "1/2" in done.stderr
