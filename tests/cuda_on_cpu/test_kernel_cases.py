"""The cases that a GPU is tested with, on the emulated kernels; no kernel is without one."""

import pytest

from minigan.backends.cuda import precision
from minigan.backends.protocol import NAMES
from tests.kernel_cases import CASES, compare


def test_every_kernel_of_the_protocol_has_a_case():
    assert set(CASES) == set(NAMES)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_reference(name, gpu, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", ["fp32"])
    compare(name)


@pytest.mark.parametrize("name", [name for name in CASES if "conv2d" in name])
@pytest.mark.parametrize("chosen, tolerance", [("tf32", 2e-3), ("3xtf32", 2e-5)])
def test_convolutions_in_other_precisions(name, chosen, tolerance, gpu, monkeypatch):
    monkeypatch.setattr(precision, "_chosen", [chosen])
    compare(name, tolerance)
