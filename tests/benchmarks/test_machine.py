"""What results say of their machine."""

import re
from pathlib import Path

import pytest

from benchmarks import machine


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("fpu avx2 avx512f", "Some CPU (AVX-512)"),
        ("avx avx2", "Some CPU (AVX2)"),
        ("fpu", "Some CPU"),
    ],
)
def test_a_processor_has_its_name_and_its_widest_vectors(monkeypatch, flags, name):
    text = f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\npower management:\n\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert machine._cpu() == name


def test_where_nothing_tells_the_interpreter_does(monkeypatch):
    def missing(path):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert machine._cpu()


def test_facts_have_their_moment():
    facts = machine.facts()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"]) and re.fullmatch(
        r"\d\d:\d\d", facts["time"]
    )
    assert facts["cores"] >= 1
