"""All threads of the loop at once, under sanitizers that see every one of their accesses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

STEMS = (
    *("hotloop", "sampler", "reads", "channel", "shed", "ring"),
    *("actuator", "govern", "scale", "ramp", "purse", "ceiling", "setting", "zone", "attribute", "nvml"),
)
SECONDS = "3"
ENVELOPE_MW = 1_000_000


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_no_thread_of_the_loop_races_with_another(
    compiled: Callable[..., Path], tmp_path: Path, sanitizer: str
) -> None:
    options = ("-O1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    program = compiled("threads.c", *STEMS, options=options)
    environ = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # of another sanitizer
    environ |= {"TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=0"}
    ran = subprocess.run(
        [str(program), str(tmp_path / "ring"), SECONDS],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    told, asked, drained, writes, refreshes, steps, highest_mw = map(int, ran.stdout.split())
    assert min(told, asked, writes, refreshes, steps) >= 20, "every part had work to do"
    assert drained >= 4 * refreshes / 2
    assert highest_mw <= ENVELOPE_MW
