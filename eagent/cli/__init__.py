"""The command line: `eagent VERB`. One file a verb, imported only when it is asked for."""

from eagent.cli.later import put_off

put_off("inspect", "ipaddress")  # before what follows loads those that load them

from eagent.cli.dispatch import main  # noqa: E402

__all__ = ["main"]
