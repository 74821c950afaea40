"""Push-pull gossip of records and documents with random peers; sans-IO.

Once a round each host picks a peer and sends a digest: which versions it has. The peer answers with what it has newer,
and with what it wants; the first host sends that. So one exchange makes both equal, as far as one message carries; what
does not fit goes with a later round, the freshest news first.

A record is worth what its owner says; others only pass it on. Ages travel with records, so no clocks are compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

from eagent.mesh.effects import Send
from eagent.mesh.messages import Delta, Digest, Document
from eagent.mesh.records import Held, Payload, Record

RECORDS_MAX = 64  # in one message
TOLD_MAX = 2048  # claims and sleepers in the records of one message, unless its first alone has more
DIGEST_MAX = 1024  # versions in one digest; of more records a digest tells a stretch, another one each time
DOCUMENTS_MAX = 8  # names that a host keeps
FANOUT = 1  # exchanges that a host begins in a round
REFRESH_NS = 15_000_000_000  # a record that does not change is made anew so often, to show that its owner lives
NS_PER_MS = 1_000_000
DOUBLE_NS = 60_000_000_000  # what was made so long after this process began is not of the one before it

Accept = Callable[[Document], bool]


class Gossip:
    """What one host knows of all, and how it spreads."""

    def __init__(self, name: str, peers: Iterable[str], rng: random.Random, version: int, accept: Accept) -> None:
        """A host that knows of nobody but itself.

        Args:
            name: This host.
            peers: The roster's hosts; records and messages of others are ignored. It may contain this host.
            rng: Chance, for the choice of peers.
            version: Where versions start: the wall clock in nanoseconds at the start of this process, so that they go
                on from those of the process before. If the clock was set back, the first exchange corrects it.
            accept: Whether a document is what its name and number say and the site has signed it.
        """
        self.name = name
        self.records: dict[str, Held] = {}
        self.documents: dict[str, Document] = {}
        self.double: Held | None = None  # the last record of this name that another process made while this one ran
        self._began_ns: int | None = None
        self._versions: dict[str, int] = {}
        self._rng = rng
        self._version = version
        self._accept = accept
        self._heard: set[str] = set()
        self.set_peers(peers)

    def set_peers(self, peers: Iterable[str]) -> None:
        """Go by a new roster: who is not in it is forgotten."""
        self._peers = sorted(set(peers) - {self.name})
        self._known = frozenset(self._peers)
        for owner in self.records.keys() - self._known - {self.name}:
            del self.records[owner], self._versions[owner]

    # --- What this host says ---

    def publish(self, now_ns: int, payload: Payload) -> None:
        """Make a new version of this host's record, if anything in it is new or it is due."""
        self._began_ns = now_ns if self._began_ns is None else self._began_ns
        held = self.records.get(self.name)
        if held is not None and held.record.payload == payload and held.age_ns(now_ns) < REFRESH_NS:
            return
        self._version += 1
        self._keep(Held(Record(self.name, self._version, payload), now_ns))

    def add(self, document: Document) -> bool:
        """Spread a document, unless a newer one of its name is known or it is not accepted."""
        known = self.documents.get(document.name)
        if known is not None and known.number >= document.number:
            return False
        if (known is None and len(self.documents) >= DOCUMENTS_MAX) or not self._accept(document):
            return False
        self.documents[document.name] = document
        return True

    def heard(self) -> set[str]:
        """Who announces something new since this was last asked."""
        heard, self._heard = self._heard, set()
        return heard

    # --- The exchange ---

    def on_tick(self, now_ns: int) -> list[Send]:  # noqa: ARG002  # the interface of every core here
        """Begin the exchanges of one round."""
        chosen = self._rng.sample(self._peers, min(FANOUT, len(self._peers)))
        return [Send(peer, self._digest()) for peer in chosen]

    def on_message(self, now_ns: int, sender: str, message: Digest | Delta) -> list[Send]:
        """Take what is new in a message, and answer it."""
        if sender not in self._known:
            return []
        if isinstance(message, Digest):
            return self._answer(now_ns, sender, message)
        for record, age_ms in message.records:
            self._take(now_ns, record, age_ms)
        for document in message.documents:
            self.add(document)
        if not message.want and not message.want_documents:
            return []
        wanted = [self.documents[name] for name in message.want_documents if name in self.documents]
        return [Send(sender, Delta(self._fresh(now_ns, message.want), tuple(wanted[:1])))]

    def _digest(self) -> Digest:
        numbers = {name: document.number for name, document in self.documents.items()}
        if len(self._versions) <= DIGEST_MAX:
            return Digest(dict(self._versions), numbers)
        # A stretch of the owners in the order of their names; it may begin before the first, so that all come up alike.
        owners = sorted(self._versions)
        first = self._rng.randrange(1 - DIGEST_MAX, len(owners))
        stretch = owners[max(0, first) : first + DIGEST_MAX]
        low = stretch[0] if first > 0 else ""
        high = stretch[-1] if first + DIGEST_MAX < len(owners) else None
        return Digest({owner: self._versions[owner] for owner in stretch}, numbers, low, high)

    def _answer(self, now_ns: int, sender: str, digest: Digest) -> list[Send]:
        theirs, mine = digest.versions, self._within(digest)
        # Nearly all versions are equal, so the pass over all of them does no more than compare: a round costs this.
        pairs = zip(mine.items(), map(theirs.get, mine), strict=True)
        different = [owner for (owner, version), their in pairs if their != version]
        newer = [owner for owner in different if theirs.get(owner, 0) < mine[owner]]
        want = [owner for owner in different if theirs.get(owner, 0) > mine[owner]]
        if not theirs.keys() <= mine.keys():
            known = self._versions
            want += [
                owner
                for owner, version in theirs.items()
                if owner not in mine and known.get(owner, 0) < version and self._is_known(owner)
            ]
        if self.name in want:  # a version of ours that we did not make: this process is not the first of this host
            want.remove(self.name)
            self._go_past(now_ns, theirs[self.name])
            newer.append(self.name)
        documents = [each for each in self.documents.values() if digest.documents.get(each.name, 0) < each.number]
        want_documents = [
            name
            for name, number in digest.documents.items()
            if (self.documents[name].number if name in self.documents else 0) < number
        ]
        if not (newer or want or documents or want_documents):
            return []
        if len(want) > RECORDS_MAX:
            want = self._rng.sample(want, RECORDS_MAX)
        records = self._fresh(now_ns, newer)
        return [Send(sender, Delta(records, tuple(documents[:1]), tuple(want), tuple(want_documents[:DOCUMENTS_MAX])))]

    def _within(self, digest: Digest) -> Mapping[str, int]:
        """The versions of the owners that a digest is about."""
        if not digest.low and digest.high is None:
            return self._versions
        return {
            owner: version
            for owner, version in self._versions.items()
            if digest.low <= owner and (digest.high is None or owner <= digest.high)
        }

    def _fresh(self, now_ns: int, owners: Iterable[str]) -> tuple[tuple[Record, int], ...]:
        """The freshest of these records, as many as one message carries."""
        held = [self.records[owner] for owner in owners if owner in self.records]
        if len(held) > RECORDS_MAX:
            held = sorted(held, key=lambda each: each.born_ns, reverse=True)[:RECORDS_MAX]
        fresh: list[tuple[Record, int]] = []
        told = 0
        for each in held:
            record = each.record
            told += len(record.payload.asleep)
            for standing in record.payload.standings:
                told += len(standing.told)
            if told > TOLD_MAX and fresh:
                break
            fresh.append((record, each.age_ns(now_ns) // NS_PER_MS))
        return tuple(fresh)

    def _take(self, now_ns: int, record: Record, age_ms: int) -> None:
        owner = record.owner
        if owner == self.name:
            born_ns = now_ns - age_ms * NS_PER_MS  # or somewhat before: time in the network is not counted
            began_ns = self._began_ns
            if record.version > self._version and began_ns is not None and born_ns - began_ns > DOUBLE_NS:
                self.double = Held(record, born_ns)
            self._go_past(now_ns, record.version)
        elif owner in self._known and record.version > self._versions.get(owner, 0):
            before = self.records.get(owner)
            if record.payload.standings != (before.record.payload.standings if before is not None else ()):
                self._heard.add(owner)
            self._keep(Held(record, now_ns - age_ms * NS_PER_MS))

    def _go_past(self, now_ns: int, version: int) -> None:
        """Only the owner makes versions: one that is greater than any of ours is of an earlier process."""
        own = self.records.get(self.name)
        if version > self._version:
            self._version = version + 1
            if own is not None:
                self._keep(Held(Record(self.name, self._version, own.record.payload), now_ns))

    def _keep(self, held: Held) -> None:
        self.records[held.record.owner] = held
        self._versions[held.record.owner] = held.record.version

    def _is_known(self, owner: str) -> bool:
        return owner in self._known or owner == self.name
