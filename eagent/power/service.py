"""What an operator may ask of the running role. Everything returned is JSON-ready; what is not known is None."""

from __future__ import annotations

import logging
from typing import Any

from eagent.engines.power.wishes import SECOND_NS, Kind
from eagent.power import certify, watch
from eagent.power.keeper import Keeper, Prospect
from eagent.power.watch import View

log = logging.getLogger(__name__)

Json = dict[str, Any]


class Service:
    """The role as HTTP sees it."""

    def __init__(self, keeper: Keeper, public_key: bytes) -> None:
        """A service of this keeper; `public_key` is that of its certificates."""
        self._keeper = keeper
        self._public_key = public_key

    def status(self) -> Json:
        """Who sleeps, who is being switched, how each host was heard of last, and how far each domain is."""
        keeper = self._keeper
        view = keeper.view()
        return {
            "name": keeper.node.name,
            "acts": keeper.rules.act,
            "halted": keeper.halted(),
            "power_key": self._public_key.hex(),
            "failures": keeper.role.failures,
            "stopped": keeper.role.failures >= keeper.rules.failures_max,
            "unrecorded": keeper.role.untold,
            "hosts": [self._host(view, host) for host in sorted(keeper.switches)],
            "domains": [self._domain(view, domain) for domain in sorted(view.tables)],
        }

    def plan(self) -> Json:
        """What acting would do now, whatever the mode, why not more, and the watts at stake as the hosts told them."""
        view = self._keeper.view()
        prospects = self._keeper.prospects(view)
        told_w = [_told_w(view, each.host) for each in prospects if each.wish is not None and _step(each) == Kind.SLEEP]
        return {
            "acts": self._keeper.rules.act,
            "halted": self._keeper.halted(),
            "hosts": [
                {
                    "host": each.host,
                    "step": _step(each),
                    "because": each.wish.why if each.wish is not None else each.because,
                    "told_w": _told_w(view, each.host),
                }
                for each in prospects
            ],
            "sleep_told_w": sum(watts for watts in told_w if watts is not None),
            "sleep_not_told": sum(watts is None for watts in told_w),
        }

    def wake(self, host: str, who: str, why: str) -> Json:
        """Want a host awake; the errors are those of `Keeper.wake`."""
        return {"host": host, "answer": self._keeper.wake(host, who, why)}

    def sleep(self, host: str, who: str, why: str) -> Json:
        """Put a host to sleep if it has yielded; the errors are those of `Keeper.sleep`."""
        return {"host": host, "answer": self._keeper.sleep(host, who, why)}

    def resume(self, who: str) -> Json:
        """Put hosts to sleep again after failures have stopped that."""
        failures = self._keeper.role.failures
        log.warning("%s has looked at %d failures: hosts are put to sleep again", who, failures)
        self._keeper.role.resume()
        return {"failures": failures}

    def _host(self, view: View, host: str) -> Json:
        keeper = self._keeper
        held = view.held.get(host)
        sleeper = keeper.durable.sleepers.get(host)
        state = keeper.states.get(host)
        return {
            "host": host,
            "says": held.record.payload.power.name.lower() if held is not None else None,
            "age_s": held.age_ns(view.now_ns) / SECOND_NS if held is not None else None,
            "told_w": _told_w(view, host),
            "devices": held.record.payload.devices if held is not None else None,
            "busy": held.record.payload.busy if held is not None else None,
            "asleep": host in keeper.asleep,
            "put_to_sleep_s": sleeper.since_s if sleeper is not None else None,
            "state": str(state) if state is not None else None,
            "switching": keeper.role.switching.get(host),
            "awaited": host in keeper.waking,
            "wanted": keeper.wanted[host].who if host in keeper.wanted else None,
            "protected": host in keeper.rules.protected,
        }

    def _domain(self, view: View, domain: str) -> Json:
        table = view.tables[domain]
        standings = certify.heard(table, view.held)
        known = self._keeper.papers.certificate(table)
        load = watch.load(view, table)
        return {
            "domain": domain,
            "epoch": table.epoch,
            "complete": certify.is_open(table, standings),
            "waits_for": watch.waits_for(table, standings),
            "certified_off": list(known.hosts) if known is not None else [],
            "awake": load.hosts,
            "devices": load.devices,
            "busy": load.busy,
        }


def _step(prospect: Prospect) -> str:
    return str(prospect.wish.kind) if prospect.wish is not None else "none"


def _told_w(view: View, host: str) -> float | None:
    """What the host told last that it draws; None: it did not."""
    held = view.held.get(host)
    return held.record.payload.power_w if held is not None else None
