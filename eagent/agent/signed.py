"""The files that the site signs, looked at again while the agent runs: what is newer and signed counts from then on."""

from __future__ import annotations

from pathlib import Path

from eagent.errors import EagentError
from eagent.mesh import documents, membership
from eagent.mesh.membership import Membership, Sources
from eagent.mesh.node import Node
from eagent.mesh.transport import Transport

Mark = tuple[int, int, int]


class SignedFiles:
    """The roster and the tables of one host."""

    def __init__(self, sources: Sources, member: Membership) -> None:
        """Files of which nothing was read yet.

        Args:
            sources: Where they are.
            member: Who the host is, as it joined; its key stays that of then.
        """
        self.problems: dict[str, str] = {}  # what can't be used now, and why, by "tables" and "roster"
        self._sources = sources
        self._member = member
        self._seen: dict[Path, Mark | None] = {}

    def read(self, node: Node, transport: Transport) -> None:
        """Read what was changed since the last time, and tell it. What can't be used changes nothing but `problems`."""
        tables, roster = self._sources.tables, self._sources.roster_file
        if self._is_new(tables, *_entries(tables)):
            found, problems = membership.load_tables(tables, self._member.site_key)
            own = {documents.TABLE + domain for domain in node.hosts}
            for document in sorted(found, key=lambda each: each.name not in own):  # there may be room for few
                node.add(document)
            self._mind("tables", problems[0] if problems else None)
        if self._is_new(roster, membership.signature_of(roster)):
            try:
                self._take_roster(node, transport)
                self._mind("roster", None)
            except EagentError as problem:
                self._mind("roster", str(problem))

    def _take_roster(self, node: Node, transport: Transport) -> None:
        member = self._member
        found = membership.load_roster(self._sources.roster_file, member.site_key)
        transport.update_roster(found)
        node.set_peers(found.hosts)
        # After: whom the roster revokes is not heard any more, even where it revokes us as well.
        membership.check_listed(found, member.name, member.pair, self._sources)

    def _mind(self, what: str, problem: str | None) -> None:
        if problem is None:
            self.problems.pop(what, None)
        else:
            self.problems[what] = problem

    def _is_new(self, *paths: Path) -> bool:
        """Whether any of these was changed since the last time it was asked for."""
        marks = {path: _mark(path) for path in paths}
        new = any(path not in self._seen or self._seen[path] != mark for path, mark in marks.items())
        self._seen.update(marks)
        return new


def _mark(path: Path) -> Mark | None:
    """What differs after any change of a file, of its permissions, too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
