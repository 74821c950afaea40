"""The words behind `eagent`, read by argparse: the options that all verbs share, helps, and complaints of one line."""

from __future__ import annotations

import argparse
import functools
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from eagent.cli.dispatch import USAGE, VERBS, Verb, fail, verb_of

HELP_WIDTH = 100

_TOP = """\
eagent measures and governs the power of this host's GPUs, and puts everything back when it is done.

verbs:
{verbs}

examples:
  eagent up                    run it here, in this shell
  eagent status                what draws how much, under which limit
  eagent budget set 2.4kW      all limits and the rest of the host stay under 2400 W
  eagent explain gpu0          why gpu0 has the limit it has
  eagent restore               give every knob back

`eagent VERB --help` tells more about each verb."""


def read(argv: Sequence[str]) -> argparse.Namespace | None:
    """What the words say: the verb, the options of all verbs, and what the verb takes.

    Returns:
        None: there are none, and help is shown.

    Raises:
        SystemExit: help was asked for, or they are not understood, which has been said.
    """
    top = _parser()
    cut = list(argv).index("--") if "--" in argv else len(argv)
    ours, theirs = argv[:cut], argv[cut:]  # behind "--" stands somebody else's command, whose options are its own
    args = top.parse_args(ours)
    if args.verb is None:
        top.print_help()
        return None
    if args.verb not in VERBS:
        top.error(f"unknown verb {args.verb!r}{_near(args.verb)}")
    parser = _verb_parser(args.verb, verb_of(args.verb))
    _, rest = _shared_parser().parse_known_args(args.rest, args)
    negative = next((word for word in rest if re.match(r"-[\d.]", word)), None)
    if negative is not None:  # argparse would take it for an option and speak of something else
        parser.error(f"{negative!r}: numbers here are never negative")
    return parser.parse_args([*rest, *theirs], args)


class _OneLineParser(argparse.ArgumentParser):
    """An argparse parser whose complaints are one line, as all of ours are; so are those of its subparsers."""

    def __init__(self, **options: Any) -> None:
        """A parser that guesses no abbreviations.

        Its help has a fixed width: to measure the terminal argparse imports shutil, whether help is shown or not.
        """
        formatter = functools.partial(argparse.RawDescriptionHelpFormatter, width=HELP_WIDTH)
        super().__init__(**{"formatter_class": formatter, "allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        sys.exit(fail(f"{message} (see `{self.prog} --help`)", USAGE))


def _parser() -> argparse.ArgumentParser:
    verbs = "\n".join(f"  {name:<9} {summary}" for name, (_, summary) in VERBS.items())
    parser = _OneLineParser(
        prog="eagent",
        usage="eagent [options] VERB ...",
        description=_TOP.format(verbs=verbs),
    )
    parser.add_argument("--version", action="version", version=_version())
    _add_shared(parser, None)
    parser.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _verb_parser(name: str, verb: Verb) -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog=f"eagent {name}",
        description=verb.__doc__,
    )
    _add_shared(parser, argparse.SUPPRESS)  # for its help: `_shared_parser` has taken them out before
    verb.configure(parser)
    return parser


def _shared_parser() -> argparse.ArgumentParser:
    """Takes the shared options wherever they stand after the verb; one that is absent undoes none before the verb."""
    parser = _OneLineParser(prog="eagent", add_help=False)
    _add_shared(parser, argparse.SUPPRESS)
    return parser


def _add_shared(parser: argparse.ArgumentParser, default: str | None) -> None:
    shared = parser.add_argument_group("options of all verbs")
    shared.add_argument(
        "--config", metavar="FILE", default=default, help="configuration; else /etc/eagent/eagent.toml, if it is there"
    )
    shared.add_argument(
        "--run-dir", metavar="DIR", default=default, help="sockets and ring; else EAGENT_RUN_DIR, else /run/eagent"
    )
    shared.add_argument(
        "--state-dir",
        metavar="DIR",
        default=default,
        help="journal and budget; else EAGENT_STATE_DIR, else /var/lib/eagent (a user other than root has own ones)",
    )


def _near(word: str) -> str:
    import difflib  # only a typing error needs it

    near = difflib.get_close_matches(word, VERBS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _version() -> str:
    from eagent import __version__

    return f"eagent {__version__}"
