"""Freed arrays are kept for the next step."""

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy as np
import minigan.backends.cpu
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.empty(10_000_000, np.uint8)[::4096] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def _faults(**variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"),
    reason="the setting is glibc's",
)
def test_arrays_of_a_size_that_was_freed_cost_no_new_pages():
    assert _faults() < 100
    # Whoever sets malloc up by the environment gets what is asked for: new pages each time.
    assert _faults(MALLOC_MMAP_THRESHOLD_="1000000") > 1000
