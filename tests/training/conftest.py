import fake_gan
import pytest


@pytest.fixture
def minigan(monkeypatch, tmp_path, capsys):
    """Call the `minigan` command, in an empty folder, with the fake model: (status, out, err)."""
    from minigan.cli import main

    fake_gan.install(lambda owner, name, value: monkeypatch.setattr(owner, name, value, False))
    monkeypatch.chdir(tmp_path)

    def call(*args):
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def fails(minigan):
    """Call the command, which must end in one line and status 2; returns the line."""

    def call(*args):
        status, _, err = minigan(*args)
        # A progress bar may stand above the error.
        lines = [line for line in err.splitlines() if line and "step/s" not in line]
        assert status == 2
        assert len(lines) == 1 and lines[0].startswith("minigan: error: "), err
        return lines[0].removeprefix("minigan: error: ")

    return call
