from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.doctor.checks import permission
from eagent.doctor.driver import Driver
from eagent.doctor.host import Host, User

Tell = Callable[[Any], list[tuple[str, str, str]]]


def test_root_is_told_that_the_warden_will_try(host: Host, tell: Tell) -> None:
    what = "power limits and clocks: this user has CAP_SYS_ADMIN; the warden tries each knob when it starts"
    assert tell(permission.check(host)) == [("ok", "gpu0-1", what)]


@pytest.mark.parametrize(("uid", "who"), [(1000, "user 1000, without CAP_SYS_ADMIN"), (0, "root without CAP_SYS_ADM")])
def test_who_lacks_the_capability_is_told_so_and_what_to_do(host: Host, uid: int, who: str) -> None:
    (found,) = permission.check(replace(host, user=User(uid, admin=False)))
    assert (found.severity, found.subject) == ("warning", "gpu0-1")
    assert f"lets only root set them, and this is {who}" in found.what
    assert "sudo eagent up" in found.fix


def test_the_wardens_word_counts_more_than_who_asks(host: Host, status: Callable[..., Any], tell: Tell) -> None:
    asked = replace(host, user=User(1000, admin=False), status=status())
    assert tell(permission.check(asked)) == [
        ("ok", "gpu0-1", "power limit: the warden can set it"),
        ("ok", "gpu0-1", "gpu clock: the warden can set it"),
    ]


def test_each_knob_that_the_warden_can_not_set_is_a_problem_with_the_drivers_reason(
    host: Host, status: Callable[..., Any], tell: Tell
) -> None:
    why = "the driver refuses: Insufficient Permissions; setting it takes root (CAP_SYS_ADMIN) on the host itself"
    said = status()
    said["devices"][1]["power_limit"].update(writable=False, why=why)
    no_clocks = "the device has no clocks that can be locked"
    said["devices"][0]["gpu_clock"].update(writable=False, why=no_clocks)
    assert tell(permission.check(replace(host, status=said))) == [
        ("ok", "gpu0", "power limit: the warden can set it"),
        ("warning", "gpu0", f"gpu clock: can't be set: {no_clocks}"),
        ("problem", "gpu1", f"power limit: can't be set: {why}"),
        ("ok", "gpu1", "gpu clock: the warden can set it"),
    ]


def test_a_warden_that_is_gone_has_no_word(host: Host, status: Callable[..., Any]) -> None:
    said = status(writable=False, why="as it was")
    said["warden"]["connected"] = False
    (found,) = permission.check(replace(host, status=said))
    assert "the warden tries each knob" in found.what


def test_device_files_that_may_not_be_opened_are_problems(host: Host, tell: Tell, unprivileged: Path) -> None:
    for name, mode in (("nvidiactl", 0o600), ("nvidia0", 0o000), ("nvidia-caps", 0o000)):
        (unprivileged / name).touch(mode=mode)
    seen = replace(host, roots=replace(host.roots, dev=unprivileged))
    problems = [subject for severity, subject, _ in tell(permission.check(seen)) if severity == "problem"]
    assert problems == [str(unprivileged / "nvidia0")]


def test_without_a_driver_there_is_nothing_to_judge(host: Host) -> None:
    assert list(permission.check(replace(host, driver=Driver("x.so", not_opened="no")))) == []


def test_packages_are_named_by_themselves_and_weigh_less(
    host: Host, status: Callable[..., Any], package: Callable[..., Any], tell: Tell
) -> None:
    root = (
        "cannot write '3400000' to scaling_max_freq: Permission denied; needs root, or the capability CAP_DAC_OVERRIDE"
    )
    none = "RAPL has no limit here; its draw is a part of fixed_w"
    said = status()
    said["devices"] += [
        package(number, power_limit={"writable": False, "why": none}, cpu_clock={"writable": False, "why": root})
        for number in range(2)
    ]
    found = list(permission.check(replace(host, status=said)))
    assert tell(found) == [
        ("ok", "gpu0-1", "power limit: the warden can set it"),
        ("ok", "gpu0-1", "gpu clock: the warden can set it"),
        ("note", "cpu0-1", f"power limit: can't be set: {none}"),
        ("warning", "cpu0-1", f"cpu clock: can't be set: {root}"),
        ("ok", "cpu0-1", "cpu preference: the warden can set it"),
    ]
    assert "a container needs /sys mounted read-write" in found[3].fix
