"""What every test stands on: fixed seeds, guarded global state, hypothesis profiles, PyTorch."""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

# Parallel workers (pytest -n) share the cores; the engine reads this once, at its first kernel.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _workers > 1:
    os.environ.setdefault("MINIGAN_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _workers)))

# "user": the same examples at every run, and no database left in the working folder.
# "ci": new random examples at every run; a failure prints the blob that reproduces it.
# Without hypothesis the tests that need none can still be run, as benchmarks.gpu_check does.
if importlib.util.find_spec("hypothesis") is not None:
    from hypothesis import HealthCheck, settings

    _common: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("user", derandomize=True, database=None, max_examples=30, **_common)
    settings.register_profile("ci", print_blob=True, max_examples=100, **_common)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "user"))


if "MINIGAN_REQUIRE_TORCH" in os.environ and importlib.util.find_spec("torch") is None:
    raise pytest.UsageError("MINIGAN_REQUIRE_TORCH is set, but PyTorch is not installed")


def pytest_configure(config: pytest.Config) -> None:
    """Parallel workers take neighbouring tests, which share fixtures, and from each other at the
    end: with one test after the other by turns, each worker made all fixtures, and one came to wait
    minutes for the other."""
    if getattr(config.option, "dist", None) == "load":
        config.option.dist = "worksteal"


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Every test starts from the same random numbers, whichever tests ran before it."""
    import minigan as mg

    mg.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def _global_state() -> dict[str, Any]:
    from minigan import backends
    from minigan.autograd import is_anomaly_enabled, is_grad_enabled

    backend = backends.kernels_for(None).name  # resolves the default, which is chosen lazily
    return {
        "gradient recording": is_grad_enabled(),
        "anomaly mode": is_anomaly_enabled(),
        "CPU backend": backend,
        "NumPy error state": np.geterr(),
    }


@pytest.fixture(autouse=True)
def no_leaked_state() -> Iterator[None]:
    """Fail a test which leaves a mode switched; put it back, so that only that test fails."""
    from minigan import backends
    from minigan.autograd import modes

    before = _global_state()
    yield
    after = _global_state()
    leaked = [f"{name}: {before[name]} -> {after[name]}" for name in before
              if before[name] != after[name]]  # fmt: skip
    modes._mode.grad, modes._mode.anomaly = before["gradient recording"], before["anomaly mode"]
    backends._Choice.cpu = before["CPU backend"]
    np.seterr(**before["NumPy error state"])
    if leaked:
        pytest.fail(f"the test leaked global state: {'; '.join(leaked)}")


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch as the independent oracle, on one thread; the test is skipped where it is absent."""
    module = pytest.importorskip("torch", reason="PyTorch is not installed: parity is not checked")
    module.set_num_threads(1)
    module.manual_seed(0)
    return module
