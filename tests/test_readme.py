"""What the README shows is true: its Python runs, and its commands exist."""

import re
from pathlib import Path

import pytest

from minigan import cli

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted(set(re.findall(r"^minigan (\w+)", README, re.MULTILINE)))


@pytest.mark.parametrize("source", PYTHON)
def test_the_python_runs(source, capsys):
    exec(compile(source, "README.md", "exec"), {})
    assert capsys.readouterr().out == "Size([16, 1, 3, 3])\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_exist(command, capsys):
    assert cli.main([command, *(["acgan"] if command == "train" else []), "--help"]) == 0
    assert "usage" in capsys.readouterr().out.lower()


def test_the_two_marked_commands_are_single_lines():
    for mark in ("main job", "tests"):
        block = re.search(rf"<!-- {mark} -->\n```\n(.*?)```", README, re.DOTALL)
        assert block is not None and block[1].count("\n") == 1
