"""What an operator can get wrong: one clear line, a non-zero exit, and nothing half-applied."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Site = Callable[..., Any]


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("eagent: ")
    for word in words:
        assert word in lines[0]


def test_a_budget_below_the_safe_caps_and_the_fixed_draw_is_refused(site: Site) -> None:
    host = site()
    host.up()
    refused(host.eagent("budget", "set", "1599"), "600 W of safe caps + 1000 W fixed draw are 1600 W")
    assert host.limits_w() == [400] * 4
    assert not (host.made.dir / "state" / "budget.json").exists()


def test_a_budget_without_a_declared_fixed_draw_is_refused(site: Site) -> None:
    host = site()
    host.config.write_text("")
    host.up()
    refused(host.eagent("budget", "set", "2000"), "fixed")
    assert host.limits_w() == [400] * 4


def test_an_unknown_key_stops_up_before_anything_starts(site: Site) -> None:
    host = site()
    host.config.write_text("[host]\nsafe_caps_w = 100\n")
    refused(host.eagent("up"), "eagent.toml: [host] has no key 'safe_caps_w'; did you mean 'safe_cap_w'?")
    assert not list((host.made.dir / "run").iterdir())


def test_a_missing_library_is_named(site: Site) -> None:
    host = site()
    host.config.write_text('[driver]\nlibrary = "libnot-there.so.1"\n')
    done = host.eagent("warden")
    refused(done, "NVML library not found: libnot-there.so.1", "eagent demo")


def test_a_host_without_a_driver_is_told_apart_from_one_without_a_library(site: Site) -> None:
    host = site()
    host.made.environ["EAGENT_SIM_HOST"] = "/nowhere"
    refused(host.eagent("warden"), "does not start: Driver Not Loaded")


def test_a_second_warden_and_a_second_agent_are_refused_and_the_first_go_on(site: Site) -> None:
    host = site()
    host.up()
    host.must("pin", "set", "gpu0", "250")
    assert host.await_true(lambda: host.limits_w()[0] == 250, 5)
    for role in ("warden", "agent"):
        refused(host.eagent(role), f"another {role} (pid {host.pids[role]}) runs on this host already")
    host.must("status")
    assert host.limits_w()[0] == 250


def test_a_second_warden_with_other_directories_is_refused_by_the_gpus_themselves(site: Site, tmp_path: Any) -> None:
    host = site()
    host.up()
    elsewhere = [f"--run-dir={tmp_path}/r", f"--state-dir={tmp_path}/s"]
    refused(host.eagent("warden", *elsewhere), f"another warden (pid {host.pids['warden']}) governs gpu0 already")
    assert host.limits_w() == [400] * 4


def test_a_second_up_says_so_and_ends_while_the_first_goes_on(site: Site) -> None:
    host = site()
    host.up()
    done = host.eagent("up")
    assert done.returncode == 1
    assert f"another warden (pid {host.pids['warden']}) runs on this host already" in done.stderr
    assert "eagent is up" not in done.stdout
    host.must("status")


def test_a_run_directory_too_deep_for_a_socket_is_one_line(site: Site) -> None:
    host = site()
    refused(host.eagent("up", f"--run-dir=/tmp/{'x' * 120}"), "too long for a socket")


def test_a_stale_socket_is_one_line_for_a_client_and_no_obstacle_for_a_start(site: Site) -> None:
    host = site()
    host.up()
    host.kill("agent", "warden", "parent")
    assert (host.made.dir / "run" / "api.sock").exists()
    refused(host.eagent("status"), "is dead and left its socket behind", "eagent up")
    host.up()
    host.must("status")


def test_without_permission_up_observes_and_says_which_knob_and_why(site: Site) -> None:
    host = site(permission="nobody")
    host.up()
    said = host.log.read_text()
    assert "gpu3: power limit: observing only: the driver refuses: Insufficient Permissions" in said
    assert "Insufficient Permissions" in host.must("status")
    refused(host.eagent("budget", "set", "2600"), "gpu0 power limit: the driver refuses: Insufficient Permissions")
    refused(host.eagent("pin", "set", "gpu0", "250"), "Insufficient Permissions")
    assert host.plant.limit_log() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TIMESTAMP,ContextTokens\n", ("line 1", "TIMESTAMP,ContextTokens,GeneratedTokens")),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:46.7,x,1\n",
            ("line 3", "ContextTokens"),
        ),
    ],
)
def test_a_malformed_trace_is_named_by_its_line(site: Site, tmp_path: Any, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "trace.csv").write_text(text)
    command = [sys.executable, "-m", "eagent", "demo", "--trace", str(tmp_path / "trace.csv")]
    refused(subprocess.run(command, env=site().made.environ, capture_output=True, text=True, check=False), *words)
