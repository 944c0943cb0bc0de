"""What the READMEs show is true: Python runs, commands exist, the tour leaves no file out."""

import re
from pathlib import Path

import pytest

from minigan import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
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


def test_the_tour_of_the_kernels_names_every_file():
    tour = (ROOT / "kernels" / "README.md").read_text()
    files = sorted(file.name for file in (ROOT / "kernels").glob("*.cu*"))
    assert files and [name for name in files if f"`{name}`" not in tour] == []


def test_the_two_marked_commands_work_one_after_the_other():
    """Both install the checkout itself: of a copy in the environment, pip's next installation
    leaves behind what numba cached beside it, a package `minigan` without files of its own."""
    installs = re.findall(r"pip install -q (.*?) &&", README)
    assert len(installs) == 2 and all(words.startswith("-e ") for words in installs)
