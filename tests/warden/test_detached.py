"""A GPU is taken out so that it can be reset, and taken in again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import ProtocolError, RefusedError
from eagent.model import Device, Knob
from eagent.sim._faults import Faults
from eagent.warden import absent, durable
from eagent.warden.absent import Absent, Detachment, Place
from eagent.warden.detached import Detached
from eagent.warden.warden import Warden

MakeRig = Callable[..., Any]
Journalled = Callable[[Path], int]
PRIOR_W, HELD_W, DEFAULT_W = 380.0, 250.0, 400.0
AT_S = 1_800_000_000.0


@pytest.fixture
def patient(rig: MakeRig) -> MakeRig:
    """Rigs whose warden waits for what it asked for, as in real time."""

    def make(**options: Any) -> Any:
        host = rig(**options)
        host.settle_s = 3.0
        return host

    return make


def uuid(host: Any, gpu: int) -> str:
    return str(host.warden.devices[gpu].uuid)


def detach(host: Any, gpu: int = 1) -> Any:
    return host.warden.detach(uuid(host, gpu), "root", "to reset it", host.now_ns, AT_S)


def attach(host: Any, gpu: int = 1) -> Any:
    return host.warden.attach(uuid(host, gpu), host.now_ns)


def live(host: Any, seconds: float) -> None:
    for _ in range(round(seconds / 0.2)):
        host.step(0.2)
        host.warden.tick(host.now_ns)


def status(host: Any) -> Any:
    return host.warden.status(host.now_ns)


def reset(host: Any, gpu: int = 1) -> None:
    """Strike it as a reset does, which nobody here has open."""
    faults = Faults(host.made.plant)
    faults.inject("gpu-reset", "gpu", gpu, (), from_s=host.plant.time_s)
    host.plant.advance(host.plant.time_s + 0.001)
    faults.close()


def is_open(host: Any, gpu: int) -> bool:
    """Whether anybody, this process first of all, has a GPU open, by the word of the tool that would reset it."""
    done = host.made.nvml(
        "nvmlInitWithFlags(NVML_INIT_FLAG_NO_ATTACH); tell(lib.eagent_simulated_reset(int(sys.argv[1])))",
        str(gpu),
        initialise=False,
    )
    assert done in (0, 19)
    return bool(done)


def test_what_is_out_is_open_in_no_process_and_the_others_are_governed_on(patient: MakeRig) -> None:
    host = patient()
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 1)
    assert is_open(host, 1)
    answer = detach(host)
    assert answer == {"why": "detached since 2027-01-15 08:00:00 UTC by root: to reset it", "already": False}
    assert not is_open(host, 1)
    live(host, 3)
    assert [is_open(host, gpu) for gpu in (0, 2, 3)] == [True] * 3
    assert host.limits_w() == [300, DEFAULT_W, 300, 300], "the lease of the others goes on"
    row = status(host)["knobs"][1]
    assert (row["requested_mw"], row["writable"], row["why"]) == (None, False, answer["why"])
    assert not status(host)["alarms"]


def test_the_sum_is_under_the_envelope_whenever_the_loop_takes_a_turn_while_a_gpu_goes_and_comes(
    patient: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the loop is told of a GPU's going is told in parts, and its thread may take a turn after each of them.
    host = patient()
    host.lease(400, 400, 400, 400, ttl_s=60)
    host.warden.budget_set(host.budget(1000))
    live(host, 1)
    assert host.limits_w() == [250] * 4, "the lease is scaled"
    began = len(host.sums_w())
    for owner, name in ((Detached, "_present"), (Warden, "_tell_fallback"), (Warden, "tell")):
        tell = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *told, tell=tell: (tell(*told), host.step()))
    detach(host)
    live(host, 1)
    reset(host)
    attach(host)
    live(host, 1)
    assert max(host.sums_w()[began:]) <= 1000


@pytest.mark.parametrize("mode", [0, 1])
def test_what_goes_out_goes_with_its_prior_values_and_leaves_no_entry(
    patient: MakeRig, journalled: Journalled, mode: int
) -> None:
    host = patient()
    host.plant.set_power_limit(1, PRIOR_W)
    host.plant.set_persistence(1, mode)
    host.warden.lease({uuid(host, 1): 250_000}, 60.0, host.now_ns, {uuid(host, 1): 1005})
    live(host, 1.4)
    assert (host.limits_w()[1], host.plant.view(1)["locked_max_mhz"]) == (HELD_W, 1005)
    begun_s = host.now_s
    detach(host)
    assert host.now_s - begun_s < 1.3, "a clock is written once a second, and nothing else waits"
    assert (host.limits_w()[1], host.plant.view(1)["locked_max_mhz"]) == (PRIOR_W, 0)
    assert host.plant.view(1)["persistence_mode"] == mode
    assert journalled(host.state) == 0


def test_a_lease_that_names_what_is_out_is_refused_in_a_line_that_says_why(patient: MakeRig) -> None:
    host = patient()
    detach(host)
    with pytest.raises(RefusedError, match=r"a lease names gpu1, .*: detached since .* by root: to reset it"):
        host.lease(300, 300, 300, 300)


def test_what_comes_back_is_held_within_two_seconds_from_what_it_had_after_the_reset(
    patient: MakeRig, journalled: Journalled
) -> None:
    host = patient()
    host.plant.set_power_limit(1, PRIOR_W)
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 1)
    detach(host)
    reset(host)
    assert host.limits_w()[1] == DEFAULT_W
    back_s = host.now_s
    assert attach(host) == {"already": False}
    assert host.warden.devices[1].power_limit.writable
    host.lease(300, 300, 300, 300, ttl_s=2.5)
    live(host, back_s + 2 - host.now_s)
    assert host.limits_w() == [300] * 4
    live(host, 3)
    assert host.limits_w() == [DEFAULT_W] * 4, "the prior value of before the reset is nobody's any more"
    assert journalled(host.state) == 0
    assert not [alarm for alarm in status(host)["alarms"] if "somebody else" in alarm]


def test_out_twice_and_in_twice_change_nothing(patient: MakeRig) -> None:
    host = patient()
    first = detach(host)
    assert detach(host) == {**first, "already": True}
    attach(host)
    assert attach(host) == {"already": True}
    assert host.warden.devices[1].power_limit.writable


def test_a_cpu_package_and_a_stranger_are_refused(patient: MakeRig) -> None:
    host = patient(sysfs=True)
    with pytest.raises(RefusedError, match="cpu0 is a CPU package, which can't be detached: only GPUs can"):
        host.warden.detach("CPU-0", "root", "", host.now_ns, AT_S)
    with pytest.raises(RefusedError, match="no GPU GPU-stranger is governed here"):
        host.warden.detach("GPU-stranger", "root", "", host.now_ns, AT_S)


# --- Under a budget -------------------------------------------------------------------------------------------------


def test_under_a_budget_what_is_out_counts_at_its_greatest_and_no_sum_is_ever_above(patient: MakeRig) -> None:
    host = patient()
    host.warden.budget_set(host.budget(1200, 150))
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 2)
    assert host.limits_w() == [300] * 4
    begun = len(host.plant.limit_log())
    detach(host)
    assert host.limits_w()[1] == 150, "its safe cap"
    greatest_w = host.warden.devices[1].max_limit_w
    assert sum(host.limits_w()) - 150 + greatest_w <= 1200
    live(host, 1)
    reset(host)
    live(host, 1)
    assert sum(host.limits_w()) <= 1200
    attach(host)
    assert host.limits_w()[1] == 150
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 8)
    assert host.limits_w() == [300] * 4
    limits_w = [300.0] * 4
    for _, gpu, _, new_w, _ in host.plant.limit_log()[begun:]:
        limits_w[gpu] = new_w
        assert sum(limits_w) <= 1200
    assert not [row for row in status(host)["knobs"] if row["exposed_s"]], "no exposure by our own doing"


def test_a_budget_that_has_no_room_for_its_greatest_refuses_with_the_watts_that_are_missing(patient: MakeRig) -> None:
    host = patient()
    host.warden.budget_set(host.budget(800, 150))
    live(host, 1)
    greatest_w = host.warden.devices[1].max_limit_w
    missing_w = greatest_w + 3 * 150 - 800
    with pytest.raises(RefusedError, match=rf"{missing_w:g} W too much: .* or set a budget of {1800 + missing_w:g} W"):
        detach(host)
    assert host.warden.devices[1].power_limit.writable
    host.lease(200, 200, 200, 200, ttl_s=60)
    host.warden.budget_set(host.budget(800 + missing_w, 150))
    detach(host)


def test_a_budget_that_comes_while_it_is_out_leaves_room_for_it(patient: MakeRig) -> None:
    host = patient()
    detach(host)
    greatest_w = host.warden.devices[1].max_limit_w
    with pytest.raises(RefusedError, match="of devices that can't be capped"):
        host.warden.budget_set(host.budget(greatest_w + 3 * 150 - 1, 150))
    host.warden.budget_set(host.budget(greatest_w + 3 * 150, 150))
    live(host, 1)
    reset(host)
    attach(host)
    live(host, 1)
    assert host.limits_w() == [150] * 4
    host.warden.budget_clear()
    live(host, 1)
    assert host.limits_w() == [DEFAULT_W] * 4


# --- What goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset-required", "gpu-lost"])
def test_one_that_does_not_answer_is_let_go_at_once_and_is_not_taken_in_before_it_does(
    patient: MakeRig, kind: str
) -> None:
    host = patient()
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 1)
    faults = Faults(host.made.plant)
    number = faults.inject(kind, "gpu", 1, (), from_s=host.plant.time_s)
    live(host, 2)
    assert [alarm for alarm in status(host)["alarms"] if "gpu1: there is no driver for it" in alarm]
    detach(host)
    assert not [alarm for alarm in status(host)["alarms"] if "there is no driver" in alarm], "it is out, and not lost"
    with pytest.raises(RefusedError, match=r"gpu1 stays detached: it does not answer yet \(.*\): attach it again when"):
        attach(host)
    faults.clear(number)
    faults.close()
    reset(host)
    attach(host)
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 2)
    assert host.limits_w() == [300] * 4
    assert host.warden.status(host.now_ns)["knobs"][1]["baseline_mw"] == 400_000


def test_what_does_not_go_back_is_not_given_up(patient: MakeRig) -> None:
    host = patient()
    host.lease(300, 300, 300, 300, ttl_s=60)
    live(host, 1)
    faults = Faults(host.made.plant)
    number = faults.inject("no-permission", "gpu", 1, (), from_s=host.plant.time_s)
    host.plant.advance(host.plant.time_s + 0.001)
    with pytest.raises(RefusedError, match=r"gpu1 is not detached: its power limit .*did not go back in time"):
        detach(host)
    assert is_open(host, 1)
    assert host.warden.devices[1].power_limit.writable
    assert not (host.state / "detached.json").exists()
    faults.clear(number)
    faults.close()
    detach(host)


def test_a_driver_that_keeps_it_open_all_the_same_is_told_of(patient: MakeRig) -> None:
    host = patient()
    host.kept_open.add(uuid(host, 1))
    with pytest.raises(RefusedError, match="gpu1 is not detached: this driver keeps it open all the same: stop eagent"):
        detach(host)
    host.lease(300, 300, 300, 300)
    live(host, 2)
    assert host.limits_w() == [300] * 4
    assert not (host.state / "detached.json").exists()


def test_what_can_t_be_written_down_is_not_given_up(patient: MakeRig) -> None:
    host = patient()
    (host.state / "detached.json").mkdir()  # a file can't be renamed onto a directory
    with pytest.raises(RefusedError, match="gpu1 is not detached: it can't be written down: Is a directory"):
        detach(host)
    assert is_open(host, 1)
    assert host.warden.devices[1].power_limit.writable


# --- A warden that dies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_budget", [False, True])
def test_a_warden_that_comes_after_it_does_not_open_what_is_out(patient: MakeRig, has_budget: bool) -> None:
    host = patient()
    if has_budget:
        host.warden.budget_set(host.budget(1200, 150))
        live(host, 1)
    told = detach(host)["why"]
    names = [device.label for device in host.warden.devices]
    host.start()
    assert not is_open(host, 1)
    live(host, 2)
    assert not is_open(host, 1)
    assert [device.label for device in host.warden.devices] == names
    assert host.warden.devices[1].power_limit == Knob(False, told)
    assert status(host)["knobs"][1]["why"] == told
    reset(host)
    attach(host)
    limits = [200, 220, 240, 260] if has_budget else [300, 310, 320, 330]
    host.lease(*limits, ttl_s=60)
    live(host, 4)
    assert host.limits_w() == limits
    host.start()
    assert [device.power_limit.writable for device in host.warden.devices] == [True] * 4


def test_all_can_be_out_and_the_driver_is_closed_then(patient: MakeRig) -> None:
    host = patient(gpus=2)
    for gpu in (0, 1):
        detach(host, gpu)
    assert not any(is_open(host, gpu) for gpu in (0, 1))
    host.start()
    live(host, 1)
    assert not any(is_open(host, gpu) for gpu in (0, 1))
    for gpu in (1, 0):
        attach(host, gpu)
    host.lease(300, 310, ttl_s=60)
    live(host, 2)
    assert host.limits_w() == [300, 310]


def test_a_boot_ends_it(patient: MakeRig) -> None:
    host = patient()
    detach(host)
    host.boot_id = "boot-2"
    host.start()
    assert host.warden.devices[1].power_limit.writable
    assert is_open(host, 1)


# --- Its file -------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=40)
DEVICES = st.builds(
    Device,
    uuid=st.uuids().map("GPU-{}".format),
    index=st.integers(0, 63),
    name=TEXTS,
    pci_bus_id=TEXTS,
    min_limit_w=st.integers(0, 500_000).map(lambda mw: mw / 1000),
    max_limit_w=st.integers(0, 900_000).map(lambda mw: mw / 1000),
    default_limit_w=st.integers(0, 900_000).map(lambda mw: mw / 1000),
    power_window_s=st.just(0.025),
    power_period_s=st.just(0.1),
    power_limit=st.builds(Knob, st.booleans(), TEXTS),
    clock=st.builds(Knob, st.booleans(), TEXTS),
    clocks_mhz=st.lists(st.integers(1, 3000), max_size=5).map(tuple),
)
DETACHMENTS = st.builds(Detachment, DEVICES, st.floats(0, 4e9), TEXTS, TEXTS)


@settings(deadline=None)  # it waits for a disk
@given(each=st.lists(DETACHMENTS, max_size=3), others=st.lists(st.builds(Place, st.integers(0, 63), TEXTS, TEXTS)))
def test_what_is_kept_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, each: list[Detachment], others: list[Place]
) -> None:
    path = tmp_path_factory.mktemp("run") / "detached.json"
    mine = (Place(one.device.index, one.device.uuid, one.device.pci_bus_id) for one in each)
    kept = Absent({one.device.uuid: one for one in each}, (*mine, *others))
    absent.store(path, kept, "boot-1")
    assert absent.load(path, "boot-1") == (kept if each else absent.NONE)
    assert absent.load(path, "boot-2") == absent.NONE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(detached=JSON, places=JSON)
def test_whatever_stands_in_it_is_read_or_is_damage_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, detached: Any, places: Any
) -> None:
    path = tmp_path_factory.mktemp("run") / "detached.json"
    durable.store(path, {"boot_id": "boot-1", "detached": detached, "places": places})
    line = ""
    try:
        assert not absent.load(path, "boot-1").detached
    except ProtocolError as problem:
        line = str(problem)
    assert "\n" not in line
