from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.doctor.checks import writers
from eagent.doctor.driver import Change
from eagent.doctor.host import Host, Process, names_of

Tell = Callable[[Any], list[tuple[str, str, str]]]
CHANGED = (Change(0, 400.0, 300.0), Change(0, 300.0, 310.0))
SEEN = "its power limit changed 2 times while we looked, from 400 W to 310 W, and eagent did not do it"


def changed(host: Host, **options: Any) -> Host:
    return replace(host, driver=replace(host.driver, changes=CHANGED), **options)


def test_a_quiet_host_has_none(host: Host, tell: Tell) -> None:
    assert [severity for severity, _, _ in tell(writers.check(host))] == ["ok"]


def test_a_limit_that_changes_while_nobody_of_us_runs_is_a_problem(host: Host, tell: Tell) -> None:
    assert tell(writers.check(changed(host))) == [("problem", "gpu0", SEEN)]


def test_a_limit_that_eagent_holds_may_change(host: Host, status: Callable[..., Any], tell: Tell) -> None:
    held = status(ours_w=310.0, state="leased")
    assert [severity for severity, _, _ in tell(writers.check(changed(host, before=held, status=status())))] == ["ok"]
    assert tell(writers.check(changed(host, before=status(), status=status()))) == [("problem", "gpu0", SEEN)]


def test_what_the_warden_overruled_is_a_warning(host: Host, status: Callable[..., Any], tell: Tell) -> None:
    said = status()
    alarm = "gpu0: power limit: changed by somebody else 3 s ago, and overruled"
    said["alarms"] = [alarm, "something else"]
    assert tell(writers.check(replace(host, status=said))) == [("warning", "warden", alarm)]


@pytest.mark.parametrize("name", writers.KNOWN)
def test_each_known_writer_is_named_with_its_pid_and_what_to_do(host: Host, name: str, tell: Tell) -> None:
    seen = replace(host, processes=(Process(7, frozenset({name})), Process(8, frozenset({"bash"}))))
    ((severity, subject, what),) = tell(writers.check(seen))
    assert severity in ("warning", "note")
    assert (subject, what.startswith("pid 7: ")) == (name, True)


def made_active(host: Host, name: str) -> None:
    units = host.roots.run / "systemd/units"
    units.mkdir(parents=True)
    (units / f"invocation:{name}.service").symlink_to("0123456789abcdef")  # as systemd does: it leads nowhere


def made_enabled(host: Host, name: str) -> None:
    wants = host.roots.etc / "systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    unit = host.roots.etc / f"{name}.service"
    unit.write_text("[Service]\nType=oneshot\n")
    (wants / f"{name}.service").symlink_to(unit)


@pytest.mark.parametrize("name", writers.SERVICES)
@pytest.mark.parametrize(("make", "state"), [(made_active, "active"), (made_enabled, "enabled")])
def test_a_service_that_sets_cpu_knobs_and_ends_is_named_without_a_process(
    host: Host, name: str, make: Callable[[Host, str], None], state: str, tell: Tell
) -> None:
    make(host, name)
    ((severity, subject, what),) = tell(writers.check(host))
    assert severity in ("warning", "note")
    assert (subject, what.partition(":")[0]) == (name, f"its service is {state}")


def test_a_service_that_is_seen_running_is_named_once(host: Host, tell: Tell) -> None:
    made_active(host, "tlp")
    seen = replace(host, processes=(Process(7, frozenset({"tlp"})),))
    assert [(subject, what[:6]) for _, subject, what in tell(writers.check(seen))] == [("tlp", "pid 7:")]


def test_a_service_that_was_enabled_and_is_not_installed_any_more_is_not_named(host: Host, tell: Tell) -> None:
    made_enabled(host, "tlp")
    (host.roots.etc / "tlp.service").unlink()
    assert [severity for severity, _, _ in tell(writers.check(host))] == ["ok"]


def test_a_service_that_is_not_a_writer_is_none_of_our_business(host: Host, tell: Tell) -> None:
    made_active(host, "cron")
    assert [severity for severity, _, _ in tell(writers.check(host))] == ["ok"]


def test_who_is_known_to_run_is_suspected_of_what_was_seen(host: Host) -> None:
    seen = changed(host, processes=(Process(7, frozenset({"tuned"})),))
    assert next(finding.fix for finding in writers.check(seen)) == "find who it is: tuned?"


def test_a_job_that_asks_for_gpu_clocks_is_seen(host: Host, tell: Tell) -> None:
    seen = replace(host, processes=(Process(9, frozenset({"srun"}), "srun --gpu-freq=medium train"),))
    assert tell(writers.check(seen))[0][:2] == ("warning", "srun")


@pytest.mark.parametrize(
    ("name", "arguments", "names"),
    [
        ("tuned", ["/usr/bin/python3", "-Es", "/usr/sbin/tuned", "-l"], {"tuned", "python3"}),
        ("python3", ["/usr/bin/python3.11", "/usr/sbin/tuned"], {"tuned", "python3", "python3.11"}),
        ("power-profiles-", ["/usr/libexec/power-profiles-daemon"], {"power-profiles-", "power-profiles-daemon"}),
        ("vim", ["vim", "/etc/tuned"], {"vim"}),
        ("kthreadd", [], {"kthreadd"}),
        ("python3", ["python3", "-c"], {"python3"}),
    ],
)
def test_a_process_goes_by_its_own_name_and_by_that_of_its_script(
    name: str, arguments: list[str], names: set[str]
) -> None:
    assert names_of(name, arguments) == names
