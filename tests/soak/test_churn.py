"""Real time under churn without growth of memory, descriptors or threads: `make soak MINUTES=30`."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest

from tests.soak.churn import Churn, minutes
from tests.soak.growth import fit

SEED = 1
# The agent keeps every refresh of a sensor for ten minutes, lets an eighth of that wait to be thinned, and remembers
# the dead for as long: until then it fills. Afterwards it grows by design, by 20 bytes a second for each of 8 sensors,
# which is 0.2 MB in 20 minutes, until there is a day of them.
WARM_UP_S = 12 * 60.0
# By how much the line fitted to the rest may rise until the end, whatever its length. Resident are the pages of the
# simulated driver's file, too, whose log of writes grows.
BOUNDS = {"resident memory, kB": 3072, "unique memory, kB": 1024, "descriptors": 1.0, "threads": 1.0}


@pytest.mark.soak
@pytest.mark.parametrize("mortal", ["agent", "warden"])
def test_who_lives_through_churn_holds_no_more_at_the_end(mortal: str, capsys: pytest.CaptureFixture[str]) -> None:
    lasting = "warden" if mortal == "agent" else "agent"
    assert minutes() * 60 > WARM_UP_S + 120, "MINUTES is too short: nothing is left behind the warm-up"
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    pids = set()
    with tempfile.TemporaryDirectory(prefix="s", dir=os.environ.get("TMPDIR")) as directory:  # short, for sockets
        churn = Churn(Path(directory) / "w", SEED, mortal)
        try:
            for look in churn.run(minutes() * 60):
                if look.role == lasting:
                    pids.add(look.pid)
                    for what, value in look.values.items():
                        samples[what].append((look.at_s, value))
        finally:
            churn.close()
    found = [fit(f"{lasting}: {what}", samples[what], WARM_UP_S, bound) for what, bound in BOUNDS.items()]
    with capsys.disabled():
        print(
            f"\n{minutes():g} minutes (simulated host), {churn.requests} disturbances, {churn.failures} failed; "
            f"the {mortal} died {churn.deaths} times"
        )
        print("\n".join(map(str, found)))
    assert len(pids) == 1, "it has died itself"
    assert churn.failures < churn.requests / 3
    assert all(each.is_bounded for each in found)
