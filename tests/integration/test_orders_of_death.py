"""Whoever dies first and whoever last: real processes, `kill -9`, and what the driver's own log says of it.

test_promises.py has each death alone and all at once. Here they die one after another, with time for those who are
left to do what they do then; and what lies in the journal is not always what was put there.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eagent.warden import durable

PRIOR_W = 380.0  # what somebody had set on gpu1 before eagent came
BUDGET_W, ENVELOPE_W, SAFE_W = 2000.0, 1000.0, 150.0
BETWEEN_S = 0.3  # less than `up` waits before it starts anybody again
BACK_S = 10.0
NOTICED_S = 12.0  # the agent asks the warden at the latest every ten seconds
ROLES = ("agent", "warden", "parent")

Site = Callable[..., Any]


def journal(host: Any) -> Path:
    return Path(host.made.dir / "state" / "journal")


def kill_in_order(host: Any, order: tuple[str, ...], gone: Callable[[int], bool]) -> float:
    """`kill -9` one after another, but for whom the death of another has ended already."""
    first_s = host.plant.time_s
    for role in order:
        if not gone(host.pids[role]):
            host.kill(role)
        time.sleep(BETWEEN_S)
    return float(first_s)


def all_gone(host: Any, gone: Callable[[int], bool]) -> bool:
    return all(gone(pid) for pid in host.pids.values())


@pytest.mark.parametrize("order", list(itertools.permutations(ROLES)), ids="-".join)
def test_in_any_order_of_deaths_each_knob_is_at_its_prior_value_in_the_end(
    pinned: Callable[..., Any], order: tuple[str, ...], gone: Callable[[int], bool]
) -> None:
    host = pinned()
    killed_s = kill_in_order(host, order, gone)
    assert host.await_true(lambda: all_gone(host, gone), BACK_S)
    host.must("restore")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]
    assert list(journal(host).iterdir()) == []
    # By the driver's log: from the first death on each knob moved once, to its prior value, and the others never.
    moved = [
        (gpu, new_w) for at_s, gpu, old_w, new_w, _ in host.plant.limit_log() if at_s > killed_s and old_w != new_w
    ]
    assert sorted(moved) == [(0, 400.0), (1, PRIOR_W)]


@pytest.mark.parametrize("order", [ROLES, ("warden", "parent", "agent"), ("parent", "agent", "warden")], ids="-".join)
def test_in_any_order_of_deaths_a_budget_is_kept_and_stays(
    site: Site, order: tuple[str, ...], gone: Callable[[int], bool]
) -> None:
    host = site()
    host.plant.set_power_limit(1, PRIOR_W)
    host.up()
    host.must("budget", "set", f"{BUDGET_W:g}")
    in_force_s = host.plant.time_s
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    kill_in_order(host, order, gone)
    assert host.await_true(lambda: all_gone(host, gone), BACK_S)
    assert max(host.sums_w(in_force_s)) <= ENVELOPE_W  # also with nobody left
    host.up()
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, BACK_S)  # it stands, and is shared again
    assert max(host.sums_w(in_force_s)) <= ENVELOPE_W
    host.must("budget", "clear")
    assert host.await_true(lambda: host.limits_w() == [400, PRIOR_W, 400, 400], BACK_S)


def test_what_a_restore_that_was_killed_left_the_next_one_finishes(
    pinned: Callable[..., Any], gone: Callable[[int], bool]
) -> None:
    host = pinned()
    host.kill(*ROLES)
    config = host.config.read_text()
    host.config.write_text(config + "ramp_w_per_s = 25.0\n")  # 280 W: more than ten seconds
    command = [sys.executable, "-m", "eagent", "restore", f"--config={host.config}"]
    with subprocess.Popen(command, env=host.made.environ) as first:
        assert host.await_true(lambda: 250 < host.limits_w()[0] < 400, BACK_S)
        first.kill()
    assert host.limits_w()[0] < 400
    host.config.write_text(config)
    host.must("restore")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]
    assert list(journal(host).iterdir()) == []
    assert all_gone(host, gone)


WRITER = """
import sys
from pathlib import Path
from eagent.warden import durable
path, number = Path(sys.argv[1]), 0
durable.store(path, {"number": 0, "again": "0" * 5000})
print("begun", flush=True)
while True:
    number += 1
    durable.store(path, {"number": number, "again": str(number % 10) * 5000})
"""


def test_a_kill_at_any_moment_of_a_write_leaves_one_whole_file_and_no_more_than_a_draft(tmp_path: Path) -> None:
    file, chance = tmp_path / "x.json", random.Random(7)
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.01))
            writer.kill()
        content = durable.load(file)
        assert content is not None
        assert content["again"] == str(content["number"] % 10) * 5000
        assert len(list(tmp_path.iterdir())) <= 2
        durable.sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_an_entry_of_before_there_were_notes_is_put_back(pinned: Callable[..., Any]) -> None:
    host = pinned()
    host.kill(*ROLES)
    for file in journal(host).iterdir():
        content = durable.load(file)
        assert content is not None
        old = {name: content[name] for name in ("uuid", "knob", "prior", "boot_id", "texts")}
        assert content.keys() - old.keys() == {"driver", "owner", "reason", "entered"}
        durable.store(file, old)
    host.must("restore")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]


def litter(directory: Path) -> None:
    """What no eagent of this version has written."""
    directory.mkdir(parents=True, exist_ok=True)
    os.mkfifo(directory / "GPU-pipe.power_limit.json")  # to read it is to wait for ever
    (directory / "GPU-loop.power_limit.json").symlink_to("GPU-loop.power_limit.json")
    (directory / os.fsdecode(b"GPU-\xff\n.gpu_clock.json")).write_text("x")
    later = {"version": 2, "crc32": 0, "content": {"uuid": "GPU-later"}}
    (directory / "GPU-later.power_limit.json").write_text(json.dumps(later))
    (directory / "GPU-a.fan_speed.json").write_text("{}")


TOLD = (
    "GPU-pipe.power_limit.json: not a plain file",
    "GPU-loop.power_limit.json: a link or socket",
    r"GPU-\udcff\n.gpu_clock.json': damaged",
    "written by a later eagent, version 2; this eagent reads version 1",
)


def test_litter_in_the_journal_is_told_by_every_way_of_restoring_and_costs_no_other_knob(site: Site) -> None:
    host = site()
    litter(journal(host))
    host.up("--no-restart")
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    status = host.must("status")
    assert all(line in status for line in (*TOLD, "GPU-a.fan_speed.json: of no knob that this eagent knows"))

    def restore() -> None:
        done = host.eagent("restore")
        assert done.returncode == 1
        assert all(line in done.stderr for line in TOLD), done.stderr
        assert f"{len(TOLD)} not back, see above" in done.stderr

    restore()  # asked of the agent
    assert host.await_true(lambda: host.limits_w() == [400] * 4, 5)
    host.must("pin", "set", "gpu0", "250W")
    assert host.await_true(lambda: host.limits_w() == [250, 400, 400, 400], 5)
    host.kill("agent")
    restore()  # asked of the warden
    assert host.limits_w() == [400] * 4
    host.kill("parent", "warden")
    restore()  # from the journal alone
    assert host.limits_w() == [400] * 4
    assert len(list(journal(host).iterdir())) == 5


def test_a_torn_entry_stops_neither_the_next_start_nor_its_other_knobs(pinned: Callable[..., Any]) -> None:
    host = pinned()
    host.kill(*ROLES)
    uuid = host.made.nvml("tell(nvmlDeviceGetUUID(nvmlDeviceGetHandleByIndex(0)))")
    torn = journal(host) / f"{uuid}.power_limit.json"
    torn.write_bytes(torn.read_bytes()[:-20])
    writes = len(host.plant.limit_log())
    host.up()
    assert host.await_true(lambda: host.limits_w() == [250, PRIOR_W, 400, 400], 5)
    assert f"{torn}: damaged" in host.must("status")
    host.must("pin", "set", "gpu2", "300W")
    assert host.await_true(lambda: host.limits_w() == [250, PRIOR_W, 300, 400], 5)
    assert host.stop() == 0
    assert host.limits_w() == [250, PRIOR_W, 400, 400]
    assert 0 not in [gpu for _, gpu, *_ in host.plant.limit_log()[writes:]]  # never written, as nobody knows what to
    host.made.nvml("nvmlDeviceSetPowerManagementLimit(gpu, 400000); tell(0)")  # by hand, as the line said
    torn.unlink()
    host.must("restore")
    assert host.limits_w() == [400, PRIOR_W, 400, 400]


def test_a_torn_budget_holds_every_limit_at_its_least_until_it_is_set_anew(site: Site) -> None:
    host = site()
    host.up()
    host.must("budget", "set", f"{BUDGET_W:g}")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    host.kill(*ROLES)
    file = host.made.dir / "state" / "budget.json"
    file.write_bytes(file.read_bytes()[:-20])
    killed_s = host.plant.time_s
    host.up()
    assert host.await_true(lambda: host.limits_w() == [100] * 4, 5)
    assert max(host.sums_w(killed_s)) <= ENVELOPE_W
    assert "the budget can't be read, all limits are held at their minimum" in host.must("status")
    host.must("budget", "set", f"{BUDGET_W:g}")
    assert host.await_true(lambda: min(host.limits_w()) > SAFE_W, 10)
    assert max(host.sums_w(killed_s)) <= ENVELOPE_W
