"""The `minigan` command with the real models."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigan
from minigan import models
from minigan.cli import main

ROOT = Path(__file__).parents[1]


def in_a_process(*args, cwd, **environment):
    return subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"minigan {minigan.__version__}\n"


def test_unknown_command(capsys):
    assert main(["evolve"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("minigan: error: unknown command 'evolve': use one of train, resume,")


def test_models_stand_first_on_their_lines(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(models.list())
    assert all(len(line.split()) > 2 for line in lines)


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for part in ("minigan", "numpy", "backend", "threads", "devices"):
        assert part in out


@pytest.mark.parametrize("name", models.list())
def test_every_flag_of_a_model_has_help_and_a_default(name, capsys):
    assert main(["train", name, "--help"]) == 0
    out = capsys.readouterr().out
    flags = re.findall(r"^\W*(?:-\w[^-]*, )?--(\w+)", out, flags=re.MULTILINE)
    pytorch_gan = ["n_epochs", "batch_size", "lr", "img_size", "channels", "sample_interval"]
    assert {*pytorch_gan, "device", "run_dir"} <= set(flags)
    assert out.count("(default:") == len(flags) - 1  # all but --help


def test_flags_have_the_names_that_users_of_pytorch_gan_know(capsys):
    assert main(["train", "acgan", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in ("--b1", "--b2", "--latent_dim", "--n_classes"):
        assert f"{flag} " in out


@pytest.mark.parametrize("name", models.list())
def test_flags_of_a_model_do_not_clash_with_those_of_training(name):
    from dataclasses import fields

    from minigan.training import TrainOptions

    ours = {field.name for field in fields(TrainOptions)}
    assert not ours & {field.name for field in fields(models.get(name).Config)}


def test_help_and_errors_come_without_heavy_imports(tmp_path):
    code = (
        "import sys; from minigan.cli import main; main(['--help']); main(['bogus'])\n"
        "heavy = {'numba', 'scipy', 'matplotlib', 'tyro', 'PIL', 'tqdm'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    result = in_a_process("-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_a_pipe_that_closes_early_is_no_traceback(tmp_path):
    command = f"{sys.executable} -m minigan info | true"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.stderr == ""


def test_the_example_is_the_command_and_resumes_bit_for_bit(tmp_path):
    """ACGAN on the embedded digits: 3 steps by the example = 1 by the command, then 2 resumed."""
    small = ["--data", "mnist-embedded", "--batch_size", 4, "--img_size", 32, "--ema", 0.9]
    example = ROOT / "examples" / "acgan_mnist.py"
    flags = [*small, "--sample_interval", 3, "--max_steps"]
    whole = in_a_process(example, *flags, 3, "--run_dir", "whole", cwd=tmp_path, PYTHONHASHSEED="1")
    assert whole.returncode == 0, whole.stderr
    command = ["-m", "minigan"]
    part = in_a_process(*command, "train", "acgan", *flags, 1, "--run_dir", "part", cwd=tmp_path)
    assert part.returncode == 0, part.stderr
    rest = in_a_process(*command, "resume", "part", "--max_steps", 3, cwd=tmp_path)
    assert rest.returncode == 0, rest.stderr
    whole, part = tmp_path / "whole", tmp_path / "part"
    for path in whole.rglob("*"):
        if path.is_file():
            other = part / path.relative_to(whole)
            assert path.read_bytes() == other.read_bytes(), path
    sample = in_a_process(*command, "sample", "part", "--labels", 3, "-n", 2, cwd=tmp_path)
    assert sample.stdout == "part/sample.png\n", sample.stderr
