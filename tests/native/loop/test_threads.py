"""All threads of the loop at once, under sanitizers that see every one of their accesses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

STEMS = (
    *("hotloop", "driver", "exposure", "sampler", "reads", "channel", "shed", "ring", "written"),
    *("actuator", "govern", "foreign", "scale", "ramp", "purse", "ceiling", "setting", "zone", "attribute", "nvml"),
)
SECONDS = (3, 6, 12)  # one run is enough on a machine that does nothing else
ENVELOPE_MW = 1_000_000


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_no_thread_of_the_loop_races_with_another(
    compiled: Callable[..., Path], tmp_path: Path, sanitizer: str
) -> None:
    options = ("-O1", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    program = compiled("threads.c", *STEMS, options=options)
    environ = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # of another sanitizer
    environ |= {"TSAN_OPTIONS": "halt_on_error=1", "ASAN_OPTIONS": "detect_leaks=0"}
    for seconds in SECONDS:
        ran = subprocess.run(
            [str(program), str(tmp_path / f"ring{seconds}"), str(seconds)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-4000:]
        life, work = ([*map(int, line.split())] for line in ran.stdout.splitlines())
        assert life[-1] == 0, "somebody is in the driver while it is opened anew"
        assert work[-1] <= ENVELOPE_MW
        behind = what_is_behind(life, work)
        if not behind:
            return
    pytest.fail(f"{behind}: {ran.stdout}")


def what_is_behind(life: list[int], work: list[int]) -> list[str]:
    """What there was too little of. Where others have the processors that may be for one run, not for a longer one."""
    reloads, opens, forgets, sampled_by, generation, _ = life
    told, asked, drained, writes, refreshes, steps, _ = work
    enough = {
        "reloads": reloads >= 5,
        "each time handles were void they were got anew, and of every GPU": opens >= forgets >= reloads - 2,
        "the sampler reads by the handles that there are": generation - sampled_by in (0, 1, 2),
        "every part has work to do": min(told, asked, writes, refreshes, steps) >= 20,
        "what was written is drained": drained >= 4 * refreshes / 2,
    }
    return [what for what, is_so in enough.items() if not is_so]


def test_a_setter_that_hangs_stops_the_half_that_writes_alone(compiled: Callable[..., Path], tmp_path: Path) -> None:
    program = compiled("hung_setter.c", *STEMS, options=("-O1",))
    ran = subprocess.run(
        [str(program), str(tmp_path / "ring"), "1"], capture_output=True, text=True, timeout=30, check=True
    )
    well_ms, reading_ms, writing_ms, reads = map(int, ran.stdout.split())
    assert well_ms < 500
    assert reading_ms < 500
    assert writing_ms > 900
    assert reads > 20
