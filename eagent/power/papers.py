"""The site's signed papers as the role knows them: the newest table of each domain, and the newest certificate."""

from __future__ import annotations

from collections.abc import Callable

from eagent.mesh.epoch import Off
from eagent.mesh.messages import Document
from eagent.mesh.table import Table


class Papers:
    """Reads what gossip takes in, and keeps what it holds."""

    def __init__(self, read: Callable[[Document], Table | Off]) -> None:
        """No paper yet; `read` verifies one."""
        self._read = read
        self.tables: dict[str, Table] = {}
        self._certificates: dict[str, Off] = {}

    def read(self, document: Document) -> Table | Off:
        """What a document holds; gossip asks only for one that is newer than the one that it has.

        Raises:
            EagentError: it can't be trusted.
        """
        content = self._read(document)
        if isinstance(content, Table):
            self.tables[content.domain] = content
        else:
            self._certificates[content.domain] = content
        return content

    def certificate(self, table: Table) -> Off | None:
        """The newest certificate of a table's epoch."""
        known = self._certificates.get(table.domain)
        return known if known is not None and known.epoch == table.epoch else None
