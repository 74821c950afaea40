"""The command line: `eagent VERB`. One file a verb, imported only when it is asked for."""

from eagent.cli.dispatch import main

__all__ = ["main"]
