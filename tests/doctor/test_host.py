import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eagent.config import Config
from eagent.doctor.host import Host, Roots, gather, has_kernel_driver, look_at_processes, look_at_user
from eagent.errors import UnavailableError


@pytest.mark.parametrize(
    ("capabilities", "uid_map", "admin"),
    [
        ("000001ffffffffff", "0 0 4294967295", True),
        ("00000000a80425fb", "0 0 4294967295", False),  # root in a container
        ("000001ffffffffff", "0 1000 1", False),  # root of a user namespace, which is nobody to a driver
    ],
)
def test_a_capability_counts_only_outside_of_user_namespaces(
    tmp_path: Path, capabilities: str, uid_map: str, admin: bool
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities}\nSeccomp:\t0\n")
    (tmp_path / "self/uid_map").write_text(f"         {uid_map}\n")
    assert look_at_user(tmp_path).admin is admin


@pytest.mark.parametrize("sign", ["proc/driver/nvidia/version", "dev/dxg", "sys/module/nvgpu"])
def test_each_kind_of_kernel_driver_is_seen_by_its_sign(tmp_path: Path, sign: str) -> None:
    roots = Roots(tmp_path / "sys", tmp_path / "proc", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()  # made by the library itself: proves nothing
    assert not has_kernel_driver(roots)
    (tmp_path / sign).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / sign).touch()
    assert has_kernel_driver(roots)


def test_we_see_ourselves_among_the_processes() -> None:
    assert os.getpid() in {process.pid for process in look_at_processes()}


def test_all_is_gathered_and_an_agent_that_can_not_be_asked_is_told(host: Host, tmp_path: Path) -> None:
    def no_agent() -> Any:
        raise UnavailableError("no agent runs here")

    roots = replace(host.roots, proc=Path("/proc"))
    seen = gather(host.paths, roots, Config(library=str(tmp_path / "no.so")), no_agent, watch_s=0.01)
    assert (seen.status, seen.status_problem) == (None, "no agent runs here")
    assert seen.driver.not_opened
    assert not seen.warden_answers


def test_what_eagent_held_before_or_after_counts_as_held(host: Host, status: Callable[..., Any]) -> None:
    assert replace(host, before=status(), status=status()).held() == frozenset()
    assert replace(host, before=status(state="leased"), status=status()).held() == {"GPU-0000", "GPU-0001"}
    assert replace(host, status=status(state="restoring")).held() == {"GPU-0000", "GPU-0001"}
