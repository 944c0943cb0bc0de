"""Every family of kernels that has checks: three builds, all schedules, planted defects."""

import importlib

import pytest

from minigan.backends.cuda.launch import use_launcher
from tests.cuda_on_cpu import emulator, harness

pytestmark = harness.needs_gcc

FAMILIES = (
    "activation_checks",
    "loss_checks",
    "norm_checks",
    "optim_checks",
    "pair_loss_checks",
    "pick_checks",
    "resample_checks",
    "sum_checks",
)
MODULES = {name: importlib.import_module(f"tests.cuda_on_cpu.{name}") for name in FAMILIES}
CHECKS = [
    pytest.param(name, check, id=f"{name}-{check.__name__}")
    for name, module in MODULES.items()
    for check in module.CHECKS
]
DEFECTS = [
    pytest.param(name, defect, id=f"{name}-{defect}")
    for name, module in MODULES.items()
    for defect in module.DEFECTS
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The device of a build of a family's kernels."""
    devices = {}

    def get(kind, name):
        if (kind, name) not in devices:
            folder = tmp_path_factory.mktemp(f"{kind}-{name}")
            library = emulator.build(kind, folder, only=MODULES[name].FILES)
            devices[kind, name] = emulator.Emulator(library)
        return devices[kind, name]

    return get


@pytest.mark.parametrize("kind", ["plain", "race"])
@pytest.mark.parametrize("name, check", CHECKS)
def test_agrees_with_the_reference_in_every_schedule(name, check, kind, built):
    device = built(kind, name)
    orders = dict(emulator.SCHEDULES)
    if kind == "race":
        orders["preempted"] = emulator.PREEMPTED
    with use_launcher(device):
        for device.schedule in orders.values():
            check(device)


@pytest.mark.parametrize("name", FAMILIES)
def test_address_sanitizer_finds_nothing(name, tmp_path):
    library = emulator.build("asan", tmp_path, only=MODULES[name].FILES)
    done = harness.under_asan(library, MODULES[name].__name__)
    assert done.returncode == 0 and done.stdout == "clean\n", done.stderr[-2000:]
    assert "runtime error" not in done.stderr, done.stderr[-2000:]  # after which it goes on


@pytest.mark.parametrize("name, defect", DEFECTS)
def test_a_planted_defect_is_found(name, defect, tmp_path):
    module = MODULES[name]
    change, says = module.DEFECTS[defect]
    device = emulator.Emulator(emulator.build("race", tmp_path, change, module.FILES))
    with use_launcher(device), pytest.raises(AssertionError, match=says):
        for check in module.CHECKS:
            check(device)


SANITIZER_DEFECTS = [
    pytest.param(name, defect, id=f"{name}-{defect}")
    for name, module in MODULES.items()
    for defect in getattr(module, "SANITIZER_DEFECTS", ())
]


@pytest.mark.parametrize("name, defect", SANITIZER_DEFECTS)
def test_the_sanitizer_finds_a_planted_defect(name, defect, tmp_path):
    module = MODULES[name]
    change = module.SANITIZER_DEFECTS[defect]
    done = harness.under_asan(
        emulator.build("asan", tmp_path, change, module.FILES), module.__name__
    )
    assert "ERROR: AddressSanitizer" in done.stderr or "runtime error" in done.stderr
