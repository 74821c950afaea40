"""`eagent sim sysfs`: the host's CPUs as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.usefixtures("fuse")
def test_the_hosts_sys_is_served_until_the_host_is_deleted(sim: Run, tmp_path: Path) -> None:
    sim("create", "lab", "--gpus", "1", "--cpu-model", "epyc-7543", "--powercap", "intel-rapl-mmio")
    kernel = tmp_path / "s/lab/kernel"
    assert f"export EAGENT_SYSFS={kernel}/sys\n" in sim("env", "lab").out
    assert f"export EAGENT_PROC={kernel}/proc\n" in sim("env", "lab").out
    files = [path.relative_to(kernel) for path in kernel.rglob("*") if not path.is_dir()]
    assert sorted(map(str, files)) == ["proc/sys/kernel/random/boot_id", "sys/module/nvidia"]
    assert not (kernel / "proc/stat").exists()
    assert sim("sysfs", "lab").out.startswith(f"{kernel} is served by pid ")
    assert (kernel / "sys/class/powercap/intel-rapl-mmio:0").exists()
    assert (kernel / "proc/stat").exists()
    again = sim("sysfs", "lab")
    assert (again.code, "is served already" in again.err) == (1, True)
    assert sim("delete", "lab").code == 0
    assert not kernel.parent.exists()
