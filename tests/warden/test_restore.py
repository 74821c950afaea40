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
from eagent.config import Config
from eagent.paths import Paths
from eagent.warden.restore import restore_offline
outcome = restore_offline(Paths.from_environment(), Config())
print(json.dumps([outcome.back, outcome.kept]))
"""


def test_a_knob_that_can_t_be_written_any_more_is_not_called_done(sim_host: Callable[..., Any]) -> None:
    host = sim_host(gpus=2, permission="nobody")
    uuid = host.nvml("tell(nvmlDeviceGetUUID(gpu))")
    journal = Journal(Path(host.environ["EAGENT_STATE_DIR"]) / "journal")
    journal.enter(uuid, KnobName.POWER_LIMIT, 350_000, Host(host.plant).boot_id or "")
    back, (line,) = host.python(RESTORE)
    assert back[0].startswith("gpu1: power limit not touched: ")
    assert line.startswith("gpu0 (")
    assert "CAP_SYS_ADMIN" in line or "ermission" in line
    assert len(list(journal)) == 1


def journal_of(host: Any) -> Path:
    return Path(host.environ["EAGENT_STATE_DIR"]) / "journal"


def test_of_a_device_that_is_not_here_what_stands_is_kept_and_what_a_boot_has_reset_is_dropped(
    sim_host: Callable[..., Any],
) -> None:
    host = sim_host(gpus=1, permission="anyone")
    journal, boot_id = Journal(journal_of(host)), Host(host.plant).boot_id or ""
    journal.enter("GPU-gone", KnobName.POWER_LIMIT, 350_000, boot_id, owner="lease")
    journal.enter("GPU-old", KnobName.POWER_LIMIT, 350_000, "an earlier boot")
    back, (line,) = host.python(RESTORE)
    assert back == ["gpu0: power limit 400 W: it was at its prior value"]
    assert line.startswith("GPU-gone is not here: its power limit was 350 W, journalled at 20")
    assert line.endswith("Z for a lease")
    assert [path.name for path in journal_of(host).iterdir()] == ["GPU-gone.power_limit.json"]


def test_a_draft_of_a_warden_that_died_is_swept_away(sim_host: Callable[..., Any]) -> None:
    host = sim_host(gpus=1, permission="anyone")
    journal_of(host).mkdir(parents=True)
    drafts = [journal_of(host) / ".GPU-a.power_limit.json.7.tmp", journal_of(host).parent / ".budget.json.7.tmp"]
    for draft in drafts:
        draft.write_text("half")
    host.python(RESTORE)
    assert not any(draft.exists() for draft in drafts)
