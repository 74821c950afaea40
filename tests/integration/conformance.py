"""schemathesis at a socket of a running agent: whether it does what its document says, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 240.0

# A number or text that fits its schema may still be none for the device in hand, which is 400; and 503 may be answered
# where the document has it.
CONFIG = """
[[operations]]
include-method-regex = "PUT|POST"
[operations.checks.positive_data_acceptance]
enabled = false
[[operations]]
include-path-regex = "/healthz|budget|detachment|restore"
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503]
"""


@dataclass(frozen=True)
class Run:
    """What came of one run."""

    code: int
    output: str
    statuses: dict[str, Counter[int]]  # by route, of the methods that the document has

    def __str__(self) -> str:
        return self.output

    @property
    def requests(self) -> int:
        return sum(sum(counts.values()) for counts in self.statuses.values())


@contextmanager
def relayed(path: Path, uids: str, gid: int) -> Iterator[str]:
    """The URL at which a unix socket answers, to who is taken for one of these users in this group."""
    command = [sys.executable, "-m", "tests.integration.relay", str(path), uids, str(gid)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(relay.stdout.readline())}"
        finally:
            relay.communicate(timeout=10)


def conform(document: Json, url: str, path: Path, examples: int, *more: str, seed: int = 1) -> Run:
    """Try all that the document has, and what it has not.

    Args:
        document: What to hold the answers to.
        url: Where they come from.
        path: A directory for what is written.
        examples: How many of each route, beside the edge cases of its schema.
        more: Options of schemathesis.
        seed: Of what is drawn.
    """
    path.mkdir()
    (path / "document.json").write_text(json.dumps(document))
    (path / "config.toml").write_text(CONFIG)
    command = [
        *(str(Path(sys.executable).with_name("st")), "--config-file", "config.toml", "run", "document.json"),
        *("--url", url, "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", str(seed)),
        *("--continue-on-failure", "--warnings", "off", "--no-color", "--generation-database", "none"),
        *("--request-timeout", "15", "--report", "ndjson", "--report-ndjson-path", "report.ndjson", *more),
    ]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return Run(done.returncode, done.stdout + done.stderr, dict(_statuses(document, path / "report.ndjson")))


def _statuses(document: Json, report: Path) -> Iterator[tuple[str, Counter[int]]]:
    found: dict[str, Counter[int]] = {}
    for line in report.read_text().splitlines():
        event = json.loads(line).get("ScenarioFinished")
        if event is None:
            continue
        recorder = event["recorder"]
        for name, case in recorder.get("cases", {}).items():
            value = case["value"]
            reply = recorder["interactions"].get(name, {}).get("response")
            if reply and value["method"].lower() in document["paths"][value["path"]]:
                found.setdefault(f"{value['method']} {value['path']}", Counter())[reply["status_code"]] += 1
    yield from found.items()
