"""Which hosts may sleep, and which sleeper must be woken, from what gossip has told: pure.

A host is put to sleep by its own consent: a record that is fresh, says YIELDED, and bears that out by what it holds in
every domain. What it holds is believed, its word alone is not. A sleeper is woken because hosts that are awake have
work for most of their devices. A host that has fallen silent is no reason for either: nobody knows how it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from eagent.engines.power.config import Watching
from eagent.engines.power.wishes import SECOND_NS, Consent
from eagent.mesh.epoch import Stage, Standing, admits, has_sealed, unsealed
from eagent.mesh.records import Held, Power
from eagent.mesh.table import Table

BY = "its own record"  # who confirms a consent


@dataclass(frozen=True, slots=True)
class View:
    """What the role knows at one instant."""

    now_ns: int
    held: Mapping[str, Held]  # by host
    tables: Mapping[str, Table]  # the newest of each domain
    gone: frozenset[str] = frozenset()  # asleep, or on the way there: not awake, whatever they told last


@dataclass(frozen=True, slots=True)
class Load:
    """What the hosts of a domain that are awake, and heard of, have to do."""

    hosts: int
    devices: int
    busy: int

    @property
    def share(self) -> float:
        """Of the devices, how many are busy; 0 where there are none."""
        return self.busy / self.devices if self.devices else 0.0


# --- Sleep ---


def why_not_yielded(view: View, host: str, watching: Watching) -> str | None:
    """Why a host's record is no consent to be switched off; None if it is one."""
    held = view.held.get(host)
    if held is None:
        return "it has not been heard of"
    age_s = held.age_ns(view.now_ns) / SECOND_NS
    if age_s > watching.consent_s:
        return f"its record is {age_s:.0f} s old: more than {watching.consent_s:g} s is no consent"
    return why_withheld(view, host) or _why_not_borne_out(view, host)


def why_withheld(view: View, host: str, since_ns: int | None = None) -> str | None:
    """What in a host's newest record speaks against its sleep, in its own words; None if nothing does.

    Args:
        view: What is known.
        host: Which one.
        since_ns: A record that was made no later than this does not count: it is the consent.
    """
    held = view.held.get(host)
    if held is None or (since_ns is not None and held.born_ns <= since_ns):
        return None
    payload = held.record.payload
    if payload.power is not Power.YIELDED:
        return f"it says that it is {payload.power.name.lower()}"
    if payload.busy:
        return f"{payload.busy} of its devices are busy"
    duty = sum(standing.duty for standing in payload.standings)
    return f"it holds {duty} duty tokens" if duty else None


def consent(view: View, host: str, off_s: float, watching: Watching) -> Consent | None:
    """The consent in a host's record, or None. It counts for a switching that begins while the record is fresh.

    Args:
        view: What is known.
        host: Which one.
        off_s: The longest that switching it off may take.
        watching: The thresholds.
    """
    if why_not_yielded(view, host, watching) is not None:
        return None
    held = view.held[host]
    lives = sorted({standing.life for standing in held.record.payload.standings})
    until_ns = held.born_ns + round((watching.consent_s + off_s) * SECOND_NS)
    return Consent(host, " ".join(lives), BY, True, True, True, min(held.born_ns, view.now_ns), until_ns)


def why_not_asleep(view: View, host: str, watching: Watching) -> str | None:
    """Why a host may not be put to sleep now, or None if it may."""
    return why_not_yielded(view, host, watching) or why_needed(view, host, watching)


def why_needed(view: View, host: str, watching: Watching) -> str | None:
    """Why the others of one of its domains can't do without a host; None if they can."""
    rest = replace(view, gone=view.gone | {host})
    for table in _tables_of(view, host):
        left = load(rest, table)
        if left.hosts < watching.awake_least:
            return f"{table.domain} would be left with {left.hosts} hosts awake: must be {watching.awake_least}"
        if left.devices - left.busy < watching.spare_devices:
            idle = left.devices - left.busy
            return f"{table.domain} would be left with {idle} idle devices: must be {watching.spare_devices}"
        if left.share >= watching.wake_busy:
            return f"the others of {table.domain} are {left.share:.0%} busy: it would be woken again at once"
    return None


def load(view: View, table: Table) -> Load:
    """What those members have to do that are awake and heard of."""
    held = [view.held[host] for host in table.members if host in view.held and host not in view.gone]
    payloads = [each.record.payload for each in held if not each.is_stale(view.now_ns)]
    busy = sum(min(payload.busy, payload.devices) for payload in payloads)
    return Load(len(payloads), sum(payload.devices for payload in payloads), busy)


def _why_not_borne_out(view: View, host: str) -> str | None:
    """Why what a host holds in its domains does not bear out that it has handed over what it can."""
    payload = view.held[host].record.payload
    tables = _tables_of(view, host)
    if not tables:
        return "it is in no table that is known here, so nobody can tell what it holds"
    known = {table.domain for table in tables}
    for standing in payload.standings:
        if standing.domain not in known:
            return f"it is in {standing.domain}, whose table is not known here"
    for table in tables:
        own = payload.standing(table.domain)
        if own is None or not has_sealed(table, own) or own.stage is not Stage.OPEN:
            return f"it is not in the open epoch of table {table.domain} {table.epoch}"
        reserve_mw = table.members[host].reserve_mw
        if own.rights_mw > reserve_mw:
            return f"it holds {own.rights_mw - reserve_mw} mW above its reserve in {table.domain}"
    return None


def _tables_of(view: View, host: str) -> list[Table]:
    return [table for _, table in sorted(view.tables.items()) if host in table.members]


# --- Wake ---


def pressed(since_ns: Mapping[str, int], view: View, watching: Watching) -> dict[str, int]:
    """Since when the domains that have work for most of their devices have had it without a break.

    The devices of a host that has just fallen silent still count as it told them last: its silence is no work.

    Args:
        since_ns: What this returned a moment ago.
        view: What is known now.
        watching: The thresholds.
    """
    return {
        domain: since_ns.get(domain, view.now_ns)
        for domain, table in view.tables.items()
        if load(view, table).share >= watching.wake_busy
        and load(_remembering(view, watching), table).share >= watching.wake_busy
    }


def _remembering(view: View, watching: Watching) -> View:
    """As if those who fell silent less than `wake_s` ago still were as they told last."""
    first_ns = view.now_ns - round(watching.wake_s * SECOND_NS)
    kept = {host: replace(held, born_ns=view.now_ns) for host, held in view.held.items() if held.born_ns >= first_ns}
    return replace(view, held=kept)


def is_back(view: View, host: str, since_ns: int) -> bool:
    """Whether a host that was switched on at this time speaks for itself again."""
    held = view.held.get(host)
    return held is not None and held.born_ns > since_ns and not held.is_stale(view.now_ns)


def wanting(since_ns: Mapping[str, int], waking: Collection[str], view: View, watching: Watching) -> list[Table]:
    """The domains that must have a sleeper woken now: in one where a host is being woken, that one is awaited first."""
    after_ns = round(watching.wake_after_s * SECOND_NS)
    return [
        view.tables[domain]
        for domain, began_ns in sorted(since_ns.items())
        if domain in view.tables
        and view.now_ns - began_ns >= after_ns
        and not any(host in view.tables[domain].members for host in waking)
    ]


def why_not_on(view: View, host: str, reserves_mw: Mapping[str, int]) -> str | None:
    """Why a host may not be powered on (rule 9), or None if it may.

    Args:
        view: What is known.
        host: Which one.
        reserves_mw: By domain, what it may draw without asking, as far as it is known: a domain in which it has to be
            a member.
    """
    held = view.held.get(host)
    told = {standing.domain for standing in held.record.payload.standings} if held is not None else set()
    domains = told | reserves_mw.keys() | {table.domain for table in _tables_of(view, host)}
    if not domains:
        return f"{host} is in no table that is known here: sign one with its reserve first"
    for domain in sorted(domains):
        table = view.tables.get(domain)
        if table is None:
            return f"the table of {domain} is not known here"
        standings = _fresh(view, domain)
        newer = [each for each, standing in standings.items() if standing.epoch > table.epoch]
        if newer:
            return f"{newer[0]} is in a newer epoch of {domain} than {table.epoch}, whose table is not known here yet"
        is_open = any(has_sealed(table, each) and each.stage is Stage.OPEN for each in standings.values())
        if why := admits(table, host, reserves_mw.get(domain, 0), is_open=is_open):
            return why
    return None


def _fresh(view: View, domain: str) -> dict[str, Standing]:
    """What hosts that are heard of announce in a domain."""
    told = {
        host: held.record.payload.standing(domain) for host, held in view.held.items() if not held.is_stale(view.now_ns)
    }
    return {host: standing for host, standing in told.items() if standing is not None}


def waits_for(table: Table, standings: Mapping[str, Standing]) -> list[str]:
    """The members that have not been seen to seal a table."""
    return sorted(unsealed(table, standings))
