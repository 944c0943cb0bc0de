"""The flags of `minigan train`."""

import re
from pathlib import Path

import pytest
from fake_gan import Config, FakeGAN

from minigan.data import registry
from minigan.errors import ConfigError
from minigan.training.options import TrainOptions, parse_train_flags


def parse(*args, **defaults):
    return parse_train_flags(FakeGAN, args, "minigan train fake", **defaults)


def test_defaults():
    assert parse() == (TrainOptions(), Config())


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("n_epochs", "7", 7),
        ("batch_size", "16", 16),
        ("lr", "1e-3", 1e-3),
        ("b1", "0.1", 0.1),
        ("b2", "0.9", 0.9),
        ("latent_dim", "3", 3),
        ("n_classes", "4", 4),
        ("img_size", "16", 16),
        ("channels", "3", 3),
        ("sample_interval", "0", 0),
    ],
)
@pytest.mark.parametrize("separator", "-_")
def test_names_of_pytorch_gan_in_both_spellings(name, text, value, separator):
    _, config = parse("--" + name.replace("_", separator), text)
    assert getattr(config, name) == value
    _, config = parse(f"--{name.replace('_', separator)}={text}")
    assert getattr(config, name) == value


def test_train_options():
    flags = """--device cuda:1 --seed 5 --data x --data-dir d --run_dir r --max_steps 9
               --checkpoint-interval 3 --keep_checkpoints 1 --resume --tensorboard --threads 2"""
    options, _ = parse(*flags.split())
    assert options == TrainOptions(
        device="cuda:1",
        seed=5,
        data="x",
        data_dir=Path("d"),
        run_dir=Path("r"),
        max_steps=9,
        checkpoint_interval=3,
        keep_checkpoints=1,
        resume=True,
        tensorboard=True,
        threads=2,
    )


def test_a_stored_flag_that_is_on_may_be_given_again_or_taken_back():
    stored = TrainOptions(tensorboard=True)
    for flag, value in (("--tensorboard", True), ("--no_tensorboard", False)):
        assert parse(flag, options=stored)[0].tensorboard == value


def test_given_defaults_are_overridden_by_flags_alone():
    stored = TrainOptions(seed=3, max_steps=8)
    options, config = parse("--max_steps", "9", options=stored, config=Config(lr=0.5))
    assert (options.seed, options.max_steps, config.lr) == (3, 9, 0.5)


@pytest.mark.parametrize(
    "args, parts",
    [
        ("--foo 3", ["unknown flag --foo"]),
        ("--batch-sise 3", ["unknown flag --batch-sise", "did you mean --batch_size?"]),
        ("--checkpoint_intervall=3", ["did you mean --checkpoint_interval?"]),
        ("extra", ["unexpected argument 'extra'"]),
        ("--lr x", ["--lr", "'x'"]),
        ("--n_epochs 1.5", ["--n_epochs", "'1.5'"]),
        ("--lr", ["--lr"]),
        ("--widths 1 x", ["--widths", "'x'"]),
        ("--img_size 9", ["img_size is 9: use a multiple of 8"]),
        ("--threads 0", ["threads is 0: it must be at least 1"]),
        ("--max_steps -3", ["max_steps is -3: it must be at least 1"]),
        ("--seed -1", ["seed is -1"]),
        ("--resume --overwrite", ["resume and overwrite exclude each other"]),
    ],
)
def test_errors_are_one_line(args, parts, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")  # narrow, so that tyro wraps its lines
    with pytest.raises(ConfigError) as error:
        parse(*args.split())
    message = str(error.value)
    assert all(part in message for part in parts), message
    assert message.endswith("(see minigan train fake --help)")
    assert "\n" not in message and not set("│╭─") & set(message)
    assert capsys.readouterr() == ("", "")


def test_help_is_grouped_with_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert not stop.value.code
    text = capsys.readouterr().out
    assert "A fake that trains nothing." in text
    for part in ("training options", "fake options", "--batch_size INT", "(default: 4)"):
        assert part in text
    assert "runs/MODEL-DATA" in text and "{None}" not in text


def test_help_names_the_data_sets(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = re.sub(r"\s+|│", " ", capsys.readouterr().out)
    words = set(re.findall(r"[a-z-]+", shown))
    assert {name for name in registry.names() if "embedded" not in name} <= words
