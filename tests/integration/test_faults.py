"""What eagent does about each fault that the simulator can make: one test a kind, with real processes.

All kinds but those that take a start, or do not end, strike the same host one after another: gpu0 is pinned, gpu1 is
its owner's, both work, and each test leaves the host well again.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

import eagent
from eagent.sim import host as simulated
from eagent.sim import symbols, sysfs
from eagent.sim._faults import FOREIGN_PID, Faults
from eagent.sim.faults import KINDS
from eagent.sim.workload import Square
from tests.conftest import SimHost, environ_without_eagent, why_no_fuse
from tests.integration.asking import ask, is_well, told, values
from tests.integration.conftest import Site

OURS_W, OWNERS_W = 250.0, 400.0
SEEN_S = 2.0
PATIENCE_S = 10.0  # of a machine that runs other tests; what must come within two seconds is measured

Test = TypeVar("Test", bound=Callable[..., None])
TESTED: dict[str, str] = {}


def meets(kind: str) -> Callable[[Test], Test]:
    """Marks the test that states what eagent does about a kind of fault."""

    def note(test: Test) -> Test:
        assert kind not in TESTED, f"{kind} is met by {TESTED[kind]} already"
        TESTED[kind] = test.__name__
        return test

    return note


def test_every_fault_of_the_simulator_is_met_by_a_test() -> None:
    assert set(TESTED) == set(KINDS)


class Struck(Site):
    """A site whose faults are at hand."""

    def __init__(self, made: Any) -> None:
        super().__init__(made)
        self.faults = Faults(made.plant)

    def gpu(self, index: int) -> dict[str, Any]:
        """A GPU as the agent tells it now."""
        return next(each for each in told(self)["devices"] if each["device"] == f"gpu{index}")

    def alarms(self) -> list[str]:
        found: list[str] = told(self)["alarms"]
        return found

    def cpu(self) -> dict[str, Any]:
        return next(each for each in told(self)["devices"] if each["device"] == "cpu0")

    def reading(self, index: int, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.gpu(index)["readings"][name]
        return found

    def says(self, *parts: str) -> bool:
        """Whether one alarm has all of these."""
        return any(all(part in alarm for part in parts) for alarm in self.alarms())

    def is_as_it_was(self) -> bool:
        """Persistence mode included: while it is not on again, a driver that forgets once more leaves no evidence."""
        keeps = self.plant.view(0)["persistence_mode"] == 1
        return is_well(self) and keeps and self.limits_w() == [OURS_W, OWNERS_W]

    def clean_up(self) -> None:
        self.faults.clear()
        self.faults.close()
        super().clean_up()


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Struck]]:
    directory = tmp_path_factory.mktemp("f") / "sim"  # short: a socket's path must fit into 107 bytes
    made: list[Struck] = []

    def create(*, has_sysfs: bool = False, **options: Any) -> Struck:
        created = simulated.create(directory, f"h{len(made)}", gpus=2, **options)
        if has_sysfs:
            sysfs.start(created)
        environ = {**created.environment(environ_without_eagent()), "EAGENT_SIM_DIR": str(directory)}
        site = Struck(SimHost(created.name, created.path, environ))
        made.append(site)
        Square(duty=1.0).start(site.plant, [0, 1], pid=os.getpid())
        return site

    yield create
    for site in made:
        site.clean_up()
        simulated.delete(directory, site.made.name)


def ready(site: Struck) -> Struck:
    """With eagent up, and gpu0 pinned."""
    site.up()
    assert site.await_true(lambda: is_well(site), PATIENCE_S), ask(site, "/healthz")
    site.must("pin", "set", "gpu0", f"{OURS_W:g}W")
    assert site.await_true(site.is_as_it_was, PATIENCE_S)
    return site


@pytest.fixture(scope="module")
def shared(make: Callable[..., Struck]) -> Struck:
    return ready(make(has_sysfs=why_no_fuse() is None))


@pytest.fixture
def host(shared: Struck) -> Iterator[Struck]:
    """The host that all share, well before the test and after it."""
    assert shared.await_true(shared.is_as_it_was, PATIENCE_S), (shared.limits_w(), ask(shared, "/healthz"))
    yield shared
    shared.faults.clear()
    assert shared.await_true(shared.is_as_it_was, PATIENCE_S), (shared.limits_w(), ask(shared, "/healthz"))


@pytest.fixture
def host_with_cpus(host: Struck) -> Struck:
    if missing := why_no_fuse():
        pytest.skip(missing)
    return host


def within(site: Struck, condition: Callable[[], bool], seconds: float = SEEN_S) -> None:
    """It must come so soon; a machine that runs other tests has longer, and is told of."""
    begun_s = time.monotonic()
    assert site.await_true(condition, seconds + PATIENCE_S), told(site)
    took_s = time.monotonic() - begun_s
    assert took_s <= seconds + 1.0, f"{took_s:.1f} s: {told(site)['alarms']}"


# -- sensors -----------------------------------------------------------------------------------------------------------


@meets("not-supported")
def test_a_reading_that_is_refused_now_and_then_is_missing_then_and_asked_for_again(host: Struck) -> None:
    host.faults.inject("not-supported", "gpu", 0, values=(0.5,))
    seen: set[str] = set()

    def both() -> bool:
        power = host.reading(0, "power")
        seen.add(power["status"])
        assert (power["value"] is not None) == (power["status"] == "ok")
        assert power["value"] is None or power["value"] > 50
        return {"ok", "not_supported"} <= seen

    assert host.await_true(both, PATIENCE_S), seen
    assert host.limits_w()[0] == OURS_W


@meets("zero-power")
def test_a_power_of_zero_is_no_reading_and_a_gpu_that_says_so_is_not_idle(host: Struck) -> None:
    host.faults.inject("zero-power", "gpu", 0, values=(1.0,))
    within(host, lambda: host.reading(0, "power")["status"] == "failed")
    assert host.reading(0, "power")["value"] is None
    assert len(values(ask(host, "/metrics")[1], "eagent_gpu_power_watts")) == 1, "the other one's"
    assert "no power reading" in ask(host, "/healthz")[1]
    proposals = json.loads(ask(host, "/v1/plan")[1])["proposals"]
    assert not [each for each in proposals if (each["policy"], each["device"]) == ("idle", "gpu0")]


@meets("stuck-power")
def test_beside_a_stuck_power_sensor_the_clock_that_can_not_be_asked_for_is_missing(host: Struck) -> None:
    host.faults.inject("stuck-power", "gpu", 0, values=(0, 9))
    within(host, lambda: host.reading(0, "sm_clock")["status"] == "failed")
    assert host.reading(0, "sm_clock")["value"] is None
    assert host.reading(1, "sm_clock")["value"] > 0
    assert host.reading(0, "energy")["status"] == "ok", "the counter goes on: joules are its"


@meets("energy-reset")
def test_an_energy_counter_that_begins_anew_is_told_as_it_is_and_makes_no_joules(
    host: Struck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EAGENT_RUN_DIR", str(host.made.dir / "run"))
    before_j = host.reading(0, "energy")["value"]
    with eagent.measure(devices=["gpu0"]) as window:
        assert host.await_true(lambda: (host.reading(0, "energy")["value"] or 0) > before_j, PATIENCE_S)
        host.faults.inject("energy-reset", "gpu", 0)
        within(host, lambda: (host.reading(0, "energy")["value"] or before_j) < before_j)
        at_s = host.plant.time_s
        assert host.await_true(lambda: host.plant.time_s > at_s + 0.5, PATIENCE_S)
    joules = window.energy()
    assert joules.simulated
    assert joules.energy_j is None or 0 < joules.energy_j < 500 * PATIENCE_S
    assert "reset" in joules.flags
    assert host.limits_w()[0] == OURS_W


@meets("rapl-wrap")
def test_a_packages_counter_that_wraps_counts_on(host_with_cpus: Struck) -> None:
    host = host_with_cpus
    before_j = host.cpu()["readings"]["energy"]["value"]
    host.faults.inject("rapl-wrap", "package", 0, values=(20.0,))
    counter = host.made.sysfs / "class/powercap/intel-rapl:0/energy_uj"
    first, seen = int(counter.read_text()), [before_j]

    def wrapped() -> bool:
        seen.append(host.cpu()["readings"]["energy"]["value"] or seen[-1])
        return int(counter.read_text()) < first and seen[-1] > before_j

    assert host.await_true(wrapped, PATIENCE_S), seen
    assert seen == sorted(seen)
    assert seen[-1] - before_j < 500 * PATIENCE_S


@meets("sysfs-read")
def test_what_the_kernel_does_not_tell_of_a_package_is_missing_and_the_gpus_go_on(host_with_cpus: Struck) -> None:
    host = host_with_cpus
    host.faults.inject("sysfs-read", values=(float(errno.EIO),))
    within(host, lambda: host.cpu()["readings"]["power"]["value"] is None)
    assert host.cpu()["readings"]["energy"]["value"] is None
    within(host, lambda: host.cpu()["power_limit"]["requested_w"] is None, 3 * SEEN_S)
    assert host.reading(0, "power")["status"] == "ok"


@meets("sysfs-write")
def test_a_packages_limit_that_the_kernel_does_not_take_is_an_alarm_and_tried_again(host_with_cpus: Struck) -> None:
    host = host_with_cpus
    within(host, lambda: host.cpu()["power_limit"]["requested_w"] is not None)
    before_w = host.cpu()["power_limit"]["requested_w"]
    host.faults.inject("sysfs-write", values=(float(errno.EBUSY),))
    host.must("pin", "set", "cpu0", "200W")
    try:
        within(host, lambda: host.says("cpu0", os.strerror(errno.EBUSY)))
        assert host.cpu()["power_limit"]["requested_w"] == before_w
        host.faults.clear()
        within(host, lambda: host.cpu()["power_limit"]["requested_w"] == 200)
    finally:
        host.must("pin", "clear", "cpu0")
    within(host, lambda: host.cpu()["power_limit"]["requested_w"] == before_w, 2 * SEEN_S)


# -- the driver --------------------------------------------------------------------------------------------------------


@meets("gpu-lost")
def test_a_lost_gpu_is_not_seen_and_the_others_go_on(host: Struck) -> None:
    host.faults.inject("gpu-lost", "gpu", 0)
    within(host, lambda: host.reading(0, "power")["status"] == "gpu_lost")
    assert host.reading(0, "power")["value"] is None
    assert "gpu0" in ask(host, "/healthz")[1]
    within(host, lambda: host.gpu(0)["power_limit"]["requested_w"] is None)
    assert host.reading(1, "power")["status"] == "ok"


@meets("reset-required")
def test_a_gpu_that_must_be_reset_is_not_seen_and_the_others_go_on(host: Struck) -> None:
    host.faults.inject("reset-required", "gpu", 0)
    within(host, lambda: host.reading(0, "power")["status"] not in ("ok", "stale"))
    assert host.reading(0, "power")["value"] is None
    assert "gpu0" in ask(host, "/healthz")[1]
    within(host, lambda: host.gpu(0)["power_limit"]["requested_w"] is None)
    assert host.reading(1, "power")["status"] == "ok"


@meets("xid")
def test_an_error_that_the_driver_only_reports_changes_nothing(host: Struck) -> None:
    began_s = host.plant.time_s
    host.faults.inject("xid", "gpu", 0, values=(63.0,))
    assert host.await_true(lambda: host.plant.time_s > began_s + 1.5, PATIENCE_S)
    assert host.is_as_it_was()
    assert [entry for entry in host.plant.limit_log() if entry[0] > began_s] == []


@meets("slow-calls")
def test_a_slow_driver_is_said_to_be_slow_and_not_to_hang_and_is_asked_less_often(
    make: Callable[..., Struck],
) -> None:
    host = ready(make())  # of its own: what was spent is made up for by reading less, for a minute
    host.faults.inject("slow-calls", values=(0.02,))
    within(host, lambda: host.says("reading takes too much of the driver's time"), 5.0)
    assert not host.says("hangs")
    assert host.reading(0, "power")["status"] == "ok"


@meets("hung-calls")
def test_a_driver_that_hangs_is_seen_within_two_seconds_and_its_watts_stay_where_they_were(host: Struck) -> None:
    began_s = host.plant.time_s
    host.faults.inject("hung-calls", "gpu", 1)
    within(host, lambda: host.says("half hangs in a call of the driver"))
    assert not is_well(host)
    assert values(ask(host, "/metrics")[1], "eagent_healthy") == [0]
    within(host, lambda: {host.reading(gpu, "power")["value"] for gpu in (0, 1)} == {None})
    within(host, lambda: host.gpu(0)["power_limit"]["requested_w"] is None)
    assert [entry for entry in host.plant.limit_log() if entry[0] > began_s] == []


@meets("driver-reload")
def test_after_a_reload_of_the_driver_no_limit_is_told_that_is_not_in_force(make: Callable[..., Struck]) -> None:
    host = ready(make())
    host.faults.inject("driver-reload")

    def told_truly() -> bool:
        limits = [host.gpu(gpu)["power_limit"]["requested_w"] for gpu in (0, 1)]
        return all(limit in (None, now) for limit, now in zip(limits, host.limits_w(), strict=True))

    within(host, told_truly, 3.0)
    begun_s = time.monotonic()
    while time.monotonic() < begun_s + 2:
        assert told_truly() or host.await_true(
            told_truly, SEEN_S
        )  # a limit that has just moved is read within a second
        powers = [host.reading(gpu, "power") for gpu in (0, 1)]
        assert all(power["age_s"] <= SEEN_S for power in powers if power["value"] is not None)


@meets("missing-symbols")
def test_with_an_older_drivers_library_it_starts_reads_and_caps(make: Callable[..., Struck]) -> None:
    host = make()
    symbols.drop(simulated.SimulatedHost(host.made.dir))
    ready(host)
    assert [host.reading(gpu, "power")["status"] for gpu in (0, 1)] == ["ok", "ok"]
    assert host.limits_w() == [OURS_W, OWNERS_W]


# -- knobs -------------------------------------------------------------------------------------------------------------


@meets("no-permission")
def test_a_knob_that_may_not_be_set_any_more_is_an_alarm_with_the_drivers_reason(host: Struck) -> None:
    host.faults.inject("no-permission")
    host.must("pin", "set", "gpu0", "200W")
    try:
        within(host, lambda: host.says("gpu0", "Insufficient Permissions"))
        assert host.gpu(0)["power_limit"]["requested_w"] == OURS_W == host.limits_w()[0]
        host.faults.clear()
        within(host, lambda: host.limits_w()[0] == 200)
    finally:
        host.must("pin", "set", "gpu0", f"{OURS_W:g}W")


@meets("outside-limit")
def test_a_limit_set_past_the_driver_is_told_beside_what_was_asked_for(host: Struck) -> None:
    host.faults.inject("outside-limit", "gpu", 1, values=(300.0,))
    within(host, lambda: host.gpu(1)["power_limit"]["enforced_w"] == 300)
    assert host.gpu(1)["power_limit"]["requested_w"] == OWNERS_W
    assert "enforces 300 W" in host.must("explain", "gpu1")


@meets("gpu-reset")
def test_a_limit_that_a_reset_dropped_is_back_within_two_seconds(host: Struck) -> None:
    host.faults.inject("gpu-reset", "gpu", 0)
    within(host, lambda: host.limits_w()[0] == OURS_W)


@meets("settings-dropped")
def test_a_limit_that_the_driver_forgot_is_back_within_two_seconds(host: Struck) -> None:
    host.faults.inject("settings-dropped", "gpu", 0)
    within(host, lambda: host.limits_w()[0] == OURS_W)


@meets("foreign-limit")
def test_a_limit_that_somebody_else_set_is_noticed_and_said(host: Struck) -> None:
    host.faults.inject("foreign-limit", "gpu", 0, values=(300.0,))
    assert any(pid == FOREIGN_PID for *_, pid in host.plant.limit_log())
    within(host, lambda: host.says("gpu0", "power limit"))
    assert host.limits_w()[0] in (OURS_W, 300.0), "overruled or respected, as configured"
    within(host, lambda: host.gpu(0)["power_limit"]["requested_w"] == host.limits_w()[0])
    host.plant.set_power_limit(0, OURS_W)  # who set it takes it back


@meets("foreign-lock")
def test_of_a_clock_lock_of_somebody_else_what_is_told_is_the_clock_itself(host: Struck) -> None:
    host.faults.inject("foreign-lock", "gpu", 1, values=(210.0, 900.0))
    within(host, lambda: (host.reading(1, "sm_clock")["value"] or 901) <= 900)
    assert host.gpu(1)["gpu_clock"]["ours_mhz"] is None
    host.plant.reset_clocks(1)
    within(host, lambda: (host.reading(1, "sm_clock")["value"] or 0) > 900)
