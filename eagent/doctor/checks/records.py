"""Journal and budget on disk: whole, of this boot, and kept by somebody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eagent.doctor.finding import Finding, Severity
from eagent.doctor.host import Host
from eagent.doctor.locks import holder
from eagent.errors import ProtocolError
from eagent.model import KnobName
from eagent.warden import durable
from eagent.warden.entry import unpack

Json = dict[str, Any]

BY_ROOT = "run `sudo eagent doctor`"
RESTORE = "run `sudo eagent restore`"


def check(host: Host) -> Iterator[Finding]:
    """Damage first, then what stands without a warden that keeps it."""
    kept = host.warden_answers or holder(host.paths.warden_lock, host.roots.proc) is not None
    budget = _budget(host, kept=kept)
    # Under a budget knobs stay at their safe caps when eagent ends: its finding says all that is to be done.
    yield from _journal(host, kept=kept or budget.severity is not Severity.OK)
    yield budget


def _journal(host: Host, *, kept: bool) -> Iterator[Finding]:
    try:
        files = sorted(path for path in host.paths.journal.iterdir() if path.suffix == ".json")
        boot_id = host.paths.boot_id(host.roots.proc)
    except FileNotFoundError:
        yield Finding("journal", Severity.OK, "empty: eagent holds no knob")
        return
    except OSError as problem:
        yield _unreadable(host.paths.journal, problem)
        return
    standing = void = 0
    for path in files:
        entry = _load(path)
        if isinstance(entry, Finding):
            yield entry
        elif entry is not None and _stands(entry, boot_id, host.paths.driver_life()):
            standing += 1
        else:
            void += 1
    knobs, them = ("1 knob", "it") if standing == 1 else (f"{standing} knobs", "them")
    if standing and not kept:
        what = f"{knobs} may still stand where a dead eagent set {them}, and no warden runs to put {them} back"
        yield Finding("journal", Severity.PROBLEM, what, f"{RESTORE}, or `sudo eagent up`")
    else:
        of_old = f"; of an earlier boot or driver, and void: {void}" if void else ""
        what = f"{knobs} can be put back" if standing else "empty: eagent holds no knob"
        yield Finding("journal", Severity.OK, f"{what}{of_old}")


def _stands(entry: Json, boot_id: str, driver: str) -> bool:
    """Whether no boot and no reload of the driver has reset the knob; what can't be read is the warden's to tell."""
    try:
        found = unpack(entry, str(entry.get("uuid")), KnobName(entry.get("knob", "")))
    except (ProtocolError, ValueError):
        return entry.get("boot_id") == boot_id
    return not found.is_void(boot_id, driver)


def _budget(host: Host, *, kept: bool) -> Finding:
    content = _load(host.paths.budget)
    if content is None:
        return Finding("budget", Severity.OK, "none")
    if isinstance(content, Finding):
        return content
    if not isinstance(content.get("budget_mw"), int):
        return Finding("budget", Severity.PROBLEM, f"{host.paths.budget}: not a budget", "set it again")
    if kept:
        return Finding("budget", Severity.OK, f"{content['budget_mw'] / 1000:g} W, kept by the warden")
    what = f"a budget of {content['budget_mw'] / 1000:g} W stands, and no warden runs to keep it"
    return Finding("budget", Severity.PROBLEM, what, "run `sudo eagent up`, or end it: `eagent restore --clear-budget`")


def _load(path: Path) -> Json | Finding | None:
    """The content, None if there is no such file, or what is wrong with it."""
    try:
        return durable.load(path)
    except ProtocolError as problem:
        fix = f"set that knob or budget by hand as it should be, then remove {path} and restart eagent"
        return Finding(path.name, Severity.PROBLEM, str(problem), fix)
    except OSError as problem:
        return _unreadable(path, problem)


def _unreadable(path: Path, problem: OSError) -> Finding:
    return Finding(path.name, Severity.NOTE, f"{path} can't be read: {problem.strerror}", BY_ROOT)
