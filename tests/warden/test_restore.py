"""Putting back from the journal alone, where not everything can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eagent.model import KnobName
from eagent.sim._plant import Host
from eagent.warden.journal import Journal

RESTORE = """
import json
from eagent.config import Config, Paths
from eagent.errors import RefusedError
from eagent.warden.restore import restore_offline
try:
    print(json.dumps(restore_offline(Paths.from_environment(), Config())))
except RefusedError as problem:
    print(json.dumps(str(problem)))
"""


def test_a_knob_that_can_t_be_written_any_more_is_not_called_done(sim_host: Callable[..., Any]) -> None:
    host = sim_host(gpus=2, permission="nobody")
    uuid = host.nvml("tell(nvmlDeviceGetUUID(gpu))")
    journal = Journal(Path(host.environ["EAGENT_STATE_DIR"]) / "journal")
    journal.enter(uuid, KnobName.POWER_LIMIT, 350_000, Host(host.plant).boot_id or "")
    said = host.python(RESTORE)
    assert "not back: gpu0" in said
    assert "CAP_SYS_ADMIN" in said or "ermission" in said
    assert len(list(journal)) == 1
