"""Brings together what the mesh tells and who switches hosts: a step each second, and looks at those who sleep."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from eagent.engines.power.adapter import Clock, PowerState
from eagent.engines.power.config import Watching
from eagent.engines.power.role import Entry, Event, Role, Switch
from eagent.engines.power.wishes import SECOND_NS, Kind, Rules, Step, Wish
from eagent.errors import EagentError, NotFoundError, RefusedError
from eagent.mesh.documents import OFF
from eagent.mesh.node import Node, Observation
from eagent.mesh.signer import Signer
from eagent.mesh.table import MEMBERS_MAX
from eagent.power import certify, record, watch
from eagent.power.papers import Papers
from eagent.power.record import Record
from eagent.power.watch import View

log = logging.getLogger(__name__)

LOOKS_MAX = 16  # at as many hosts at once
OURS = "eagent"  # who asks, when no person does


@dataclass(frozen=True, slots=True)
class Prospect:
    """What becomes of a host now: a wish that can begin, or why there is none."""

    host: str
    because: str
    wish: Wish | None = None


class Keeper:
    """Decides for the role. All on one event loop; time is that of the mesh's clock."""

    def __init__(
        self,
        node: Node,
        papers: Papers,
        signer: Signer,
        switches: Mapping[str, Switch],
        rules: Rules,
        watching: Watching,
        durable: Record,
        clock: Clock,
        wall_s: Callable[[], float] = time.time,
        halted: Callable[[], str | None] = lambda: None,
    ) -> None:
        """A keeper that has looked at nobody yet.

        Args:
            node: What tells of the hosts, and is told who sleeps.
            papers: The site's.
            signer: Signs certificates.
            switches: The hosts that can be switched, by name.
            rules: What holds for all switching.
            watching: The thresholds.
            durable: Who was put to sleep before.
            clock: The mesh's.
            wall_s: Seconds since 1970, for the record.
            halted: Why nothing may be switched now; None: it may.
        """
        self.node = node
        self.papers = papers
        self.switches = switches
        self.rules = rules
        self.watching = watching
        self.durable = durable
        self.role = Role(switches, rules, self._tell, clock)
        self.states: dict[str, PowerState] = {}  # as last read
        self.wanted: dict[str, Wish] = {}  # awake, by people
        self.halted = halted
        self._signer = signer
        self._clock = clock
        self._wall_s = wall_s
        self._pressed: dict[str, int] = {}
        self._waking: dict[str, int] = {}  # since when
        self._tried: dict[str, int] = {}  # to wake in vain, when last
        self._doubted: dict[str, int] = {}  # since when a host that was to be switched off is seen on

    # --- What it knows ---

    def view(self) -> View:
        """What is known now."""
        going = {host for host, kind in self.role.switching.items() if kind is Kind.SLEEP}
        gone = frozenset(going | self.durable.sleepers.keys())
        return View(self._clock.now_ns(), self.node.gossip.records, self.papers.tables, gone)

    @property
    def asleep(self) -> tuple[str, ...]:
        """The hosts that the role has switched off and read back as off."""
        switching = self.role.switching
        return tuple(
            host
            for host in sorted(self.durable.sleepers)
            if self.states.get(host) is PowerState.OFF and host not in switching
        )

    @property
    def waking(self) -> tuple[str, ...]:
        """The hosts that were switched on and have not been heard of since."""
        return tuple(sorted(self._waking))

    # --- What it does ---

    def step(self) -> None:
        """Take in what is known now, and begin what is due."""
        view = self.view()
        self._break_off(view)
        self._waking = {
            host: since_ns
            for host, since_ns in self._waking.items()
            if view.now_ns - since_ns < self.watching.wake_s * SECOND_NS and not watch.is_back(view, host, since_ns)
        }
        self._pressed = watch.pressed(self._pressed, view, self.watching)
        if self.rules.act and self.halted() is None:
            for prospect in self.prospects(view):
                # Judged anew: what was begun before may have used up what the rules allow in a minute.
                if prospect.wish is not None and self._judged(prospect.wish).wish is not None:
                    self._begin(prospect.wish)
        self.publish()

    def publish(self) -> None:
        """Tell the mesh who sleeps."""
        self.node.observe(Observation(0, asleep=self.asleep[:MEMBERS_MAX]))

    def prospects(self, view: View) -> list[Prospect]:
        """What becomes of each host, those to be woken first: what acting would do, whatever the mode."""
        found = {each.host: each for each in (*self._wakes(view), *self._sleeps(view))}
        for host in self.durable.sleepers.keys() - found.keys():
            found[host] = Prospect(host, "it sleeps, and is not needed")
        return list(found.values())

    def wake(self, host: str, who: str, why: str) -> str:
        """Want a host awake; it stays wanted until that is begun.

        Returns:
            What becomes of it now, for a person.

        Raises:
            NotFoundError: no host that can be switched.
            RefusedError: nothing is switched in this mode.
        """
        self._check(host)
        self.wanted[host] = Wish(host, Kind.WAKE, who, why, self._clock.now_ns())
        prospect = next(each for each in self._wakes(self.view()) if each.host == host)
        self.step()
        return "it is being woken" if prospect.wish is not None else f"it waits: {prospect.because}"

    def sleep(self, host: str, who: str, why: str) -> str:
        """Put a host to sleep now, if it consents and its domains keep the least number of hosts awake.

        A wish to have it awake that still waits is taken back.

        Returns:
            What becomes of it now, for a person.

        Raises:
            NotFoundError: no host that can be switched.
            RefusedError: it may not be put to sleep now.
        """
        self._check(host)
        self.wanted.pop(host, None)
        # A person may want fewer idle devices and busier hosts than the thresholds do.
        prospect = self._prospect(self.view(), host, replace(self.watching, spare_devices=0, wake_busy=2.0), who, why)
        if prospect.wish is None:
            raise RefusedError(f"{host}: {prospect.because}")
        self._begin(prospect.wish)
        return "it is being switched off"

    def _check(self, host: str) -> None:
        if host not in self.switches:
            raise NotFoundError(f"{host}: not a host that can be switched from here")
        if not self.rules.act:
            raise RefusedError(
                'nothing is switched: power.toml says mode = "observe"; `eagent power plan` says what would'
            )

        if (why := self.halted()) is not None:
            raise RefusedError(f"nothing is switched: {why}; `eagent halt --end` on this host ends it")

    def _begin(self, wish: Wish) -> None:
        self.wanted.pop(wish.host, None)
        try:
            self.role.ask(wish)
        except EagentError as refusal:
            log.warning("%s", refusal)
        self.role.turn()

    def _break_off(self, view: View) -> None:
        """Take no power from a host that has thought better of it since it consented."""
        for host, kind in self.role.switching.items():
            if kind is Kind.SLEEP and (why := watch.why_withheld(view, host, self._consented_ns(host))):
                self.role.withdraw(host, why)

    def _consented_ns(self, host: str) -> int:
        for entry in reversed(self.role.record):
            if entry.wish.host == host and entry.wish.consent is not None:
                return entry.wish.consent.given_ns
        return 0

    def _wakes(self, view: View) -> Iterable[Prospect]:
        for wish in list(self.wanted.values()):
            yield self._waking_prospect(view, wish)
        for table in watch.wanting(self._pressed, [*self._waking, *self._being_woken()], view, self.watching):
            load = watch.load(view, table)
            why = f"{table.domain} is {load.share:.0%} busy: {load.busy} of {load.devices} devices"
            for host in self._in_order(table.members):
                prospect = self._waking_prospect(view, Wish(host, Kind.WAKE, OURS, why, view.now_ns))
                yield prospect
                if prospect.wish is not None:
                    break

    def _being_woken(self) -> list[str]:
        return [host for host, kind in self.role.switching.items() if kind is Kind.WAKE]

    def _in_order(self, members: Mapping[str, object]) -> list[str]:
        """The sleepers that can be woken, in the order in which they are; not who was tried in vain just now."""
        first_ns = self._clock.now_ns() - round(self.watching.wake_s * SECOND_NS)
        hosts = [host for host in self.asleep if host in members and host in self.switches and host not in self.wanted]
        hosts = [host for host in hosts if self._tried.get(host, first_ns) <= first_ns]
        return sorted(hosts, key=lambda host: (self.switches[host].order, host))

    def _waking_prospect(self, view: View, wish: Wish) -> Prospect:
        sleeper = self.durable.sleepers.get(wish.host)
        reserves_mw = sleeper.reserves_mw if sleeper is not None else {}
        if why := watch.why_not_on(view, wish.host, reserves_mw):
            return Prospect(wish.host, why)
        return self._judged(wish)

    def _sleeps(self, view: View) -> Iterable[Prospect]:
        hosts = [host for host in self.switches if host not in view.gone and host not in self.wanted]
        hosts.sort(key=lambda host: (-self.switches[host].order, host))
        for host in hosts:
            prospect = self._prospect(view, host, self.watching, OURS, "it has yielded and is not needed")
            yield prospect
            if prospect.wish is not None:
                view = replace(view, gone=view.gone | {host})

    def _prospect(self, view: View, host: str, watching: Watching, who: str, why: str) -> Prospect:
        if host in self.role.switching:
            return Prospect(host, "it is being switched")
        if host in self.durable.sleepers:
            return Prospect(host, "it is asleep already")
        if host in self._waking:
            return Prospect(host, "it was woken, and has not been heard of since")
        if because := watch.why_not_asleep(view, host, watching):
            return Prospect(host, because)
        given = watch.consent(view, host, self.switches[host].adapter.off_s, watching)
        return self._judged(Wish(host, Kind.SLEEP, who, why, view.now_ns, given))

    def _judged(self, wish: Wish) -> Prospect:
        judged = self.role.judge(wish)
        return Prospect(wish.host, judged.because, wish if judged.step is Step.BEGIN else None)

    # --- The record ---

    def _tell(self, entry: Entry) -> None:
        host = entry.wish.host
        tables = self.papers.tables.values()
        reserves_mw = {table.domain: table.members[host].reserve_mw for table in tables if host in table.members}
        log.info("%s: %s to %s it: %s", host, entry.event, entry.wish.kind, entry.detail)
        self.durable.append(record.line(entry, self._wall_s(), reserves_mw))
        if entry.state is not PowerState.UNKNOWN:
            self.states[host] = entry.state
        if entry.wish.kind is Kind.SLEEP:
            self._doubted.pop(host, None)
        elif entry.event in (Event.BEGUN, Event.ALREADY):
            self._waking[host] = entry.at_ns
        elif entry.event is Event.FAILED:
            self._tried[host] = entry.at_ns

    # --- Looks ---

    async def look(self) -> None:
        """Ask the adapters about those who sleep; who is on is not asleep, whoever switched it."""
        states = await self._read(host for host in self.durable.sleepers if host in self.switches)
        switching, now_ns = self.role.switching, self._clock.now_ns()
        for host, state in states.items():
            if host in switching or host not in self.durable.sleepers or state is PowerState.UNKNOWN:
                continue
            if state is PowerState.ON and self._is_given_up(host, now_ns):
                self.durable.append(record.found_on(host, self._wall_s(), "somebody else has switched it on"))
                self._doubted.pop(host, None)
            if state is PowerState.OFF:
                self._doubted.pop(host, None)
                self.states[host] = state
            elif host not in self.durable.sleepers:
                self.states[host] = state
        self.publish()

    def _is_given_up(self, host: str, now_ns: int) -> bool:
        """Whether a host that is on will not go off any more by what was begun: it was off, or has had its time."""
        if self.states.get(host) is PowerState.OFF:
            return True
        switch = self.switches[host]
        patience_ns = round((switch.adapter.off_s + switch.confirm_s) * SECOND_NS)
        return now_ns - self._doubted.setdefault(host, now_ns) >= patience_ns

    async def certify(self) -> None:
        """Certify what tables wait for, where it is so. Does nothing in observe mode."""
        if not self.rules.act:
            return
        for domain, table in list(self.papers.tables.items()):
            known = self.papers.certificate(table)
            case = certify.case(table, dict(self.node.gossip.records), known, self._clock.now_ns())
            if case is None or not self.switches.keys() >= set(case.missing):
                continue
            off = await self._off_twice(case.hosts)
            made = certify.certificate(case, off, known)
            if made is not None and self.papers.tables.get(domain) is table:
                before = self.node.gossip.documents.get(OFF + domain)
                self.node.add(certify.sign(made, self._signer, before))
                log.info("certified in %s %d: off are %s", domain, made.epoch, ", ".join(made.hosts))

    async def _off_twice(self, hosts: Iterable[str]) -> set[str]:
        """Those that are off in two rounds, one after the other, and that nobody here switches meanwhile."""
        off = {host for host in hosts if host in self.switches and host not in self.role.switching}
        for _ in range(2):
            states = await self._read(off)
            off = {host for host in off if states[host] is PowerState.OFF and host not in self.role.switching}
        return off

    async def _read(self, hosts: Iterable[str]) -> dict[str, PowerState]:
        """The states of hosts as their adapters tell them; unknown where one does not."""
        turn = asyncio.Semaphore(LOOKS_MAX)

        async def one(host: str) -> PowerState:
            async with turn:
                try:
                    return await self.switches[host].adapter.state(host)
                except EagentError as problem:
                    log.debug("%s: %s", host, problem)
                    return PowerState.UNKNOWN

        names = list(hosts)
        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
