"""The operator's file."""

from __future__ import annotations

from collections.abc import Iterator

from eagent.config import DEFAULT_FILE
from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host


def check(host: Host) -> Iterator[Finding]:
    """Whether it can be read. What it says that is missing is told where it is needed."""
    if host.config_problem:
        fix = "correct it; config/eagent.toml explains every option"
        yield Finding("file", Severity.PROBLEM, host.config_problem, fix)
        return
    yield Finding(
        "file", Severity.OK, str(host.config_file) if host.config_file else f"none: {DEFAULT_FILE} is not there"
    )
    if host.config.fixed_w is None:
        what = "fixed_w is not set: `eagent budget set` must be told what the rest of the host draws"
        yield Finding("[host]", Severity.NOTE, what, "set fixed_w, or give --fixed-w with each budget")
