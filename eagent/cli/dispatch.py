"""From argv to a verb: the registry of verbs, the options all of them share, and how errors and signals end."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, cast

from eagent.client import Client
from eagent.errors import EagentError
from eagent.paths import Paths

if TYPE_CHECKING:
    from eagent.config import Config

HELP_WIDTH = 100
FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


class Context(NamedTuple):
    """What the options that all verbs share come to."""

    paths: Paths
    config_file: Path | None = None

    def config(self) -> Config:
        """The configuration; read when a verb asks for it.

        Raises:
            ConfigError: it can't be used.
        """
        from eagent.config import load  # here: half of the verbs start without it, and in two thirds of the time

        return load(self.config_file)

    def client(self) -> Client:
        """The way to the agent."""
        return Client(self.paths.api_socket)


class Verb(Protocol):
    """What the module of a verb offers. Its docstring is the text of `eagent VERB --help`."""

    __doc__: str | None

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, args: argparse.Namespace, context: Context) -> int:
        """Do it.

        Returns:
            The exit code.

        Raises:
            EagentError: shown as one line, exit code 1.
        """


# One line a verb: its module and what it does. The module is imported only when the verb is asked for.
VERBS: Mapping[str, tuple[str, str]] = {
    "up": ("eagent.cli.up", "run warden and agent together in this shell"),
    "status": ("eagent.cli.status", "show power, limits and budget of this host"),
    "explain": ("eagent.cli.explain", "say why a device's limit stands where it stands"),
    "plan": ("eagent.cli.plan", "say what each policy would do, and whether it may"),
    "halt": ("eagent.cli.halt", "freeze all policies but the budget, at once"),
    "budget": ("eagent.cli.budget", "show, set or clear the budget of this host"),
    "mesh": ("eagent.cli.mesh", "show this host's part in the mesh, its peers and their budgets"),
    "pin": ("eagent.cli.pin", "hold one device's power limit or clock ceiling by hand"),
    "detach": ("eagent.cli.detach", "give a GPU up, so that it can be reset"),
    "attach": ("eagent.cli.attach", "take a GPU again that was given up"),
    "hint": ("eagent.cli.hint", "ask for less power on a GPU that your own processes hold; for anybody"),
    "beat": ("eagent.cli.beat", "tell how far your job is, from a shell's loop; for anybody"),
    "restore": ("eagent.cli.restore", "put every knob back to what it was before eagent"),
    "top": ("eagent.cli.top", "watch power and limits, live"),
    "measure": ("eagent.cli.measure", "run a command and tell what it drew; for anybody"),
    "sweep": ("eagent.cli.sweep", "find the clock, limit and values that need least energy for your command"),
    "verify": ("eagent.cli.verify", "compare the live knobs with what eagent says it holds"),
    "doctor": ("eagent.cli.doctor", "find what is missing or wrong here, and what to do about it"),
    "audit": ("eagent.cli.audit", "show who did what, and who was refused"),
    "demo": ("eagent.cli.demo", "watch a budget being shared, on a simulated host"),
    "sim": ("eagent.cli.sim", "make simulated hosts and give them load"),
    "power": ("eagent.cli.power", "put hosts to sleep and wake them, from a management host"),
    "service": ("eagent.cli.service", "install eagent as a service of systemd, or take it away"),
    "agent": ("eagent.cli.agent", "run the agent alone (systemd does this)"),
    "warden": ("eagent.cli.warden", "run the warden alone (systemd does this)"),
}
# These run something in the caller's own directories, or look at them; all others ask who runs this host.
OWN = frozenset({"up", "agent", "warden", "demo", "sim", "power", "doctor", "service"})

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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 1 failed with one line, 2 not understood, 130 interrupted."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except EagentError as problem:
        return _fail(str(problem), FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, a pager) has gone. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _run(argv: Sequence[str]) -> int:
    top = _parser()
    cut = list(argv).index("--") if "--" in argv else len(argv)
    ours, theirs = argv[:cut], argv[cut:]  # behind "--" stands somebody else's command, whose options are its own
    args = top.parse_args(ours)
    if args.verb is None:
        top.print_help()
        return USAGE
    if args.verb not in VERBS:
        top.error(f"unknown verb {args.verb!r}{_near(args.verb)}")
    module = importlib.import_module(VERBS[args.verb][0])
    verb = cast(Verb, module)
    parser = _verb_parser(args.verb, verb)
    _, rest = _shared_parser().parse_known_args(args.rest, args)
    negative = next((word for word in rest if re.match(r"-[\d.]", word)), None)
    if negative is not None:  # argparse would take it for an option and speak of something else
        parser.error(f"{negative!r}: numbers here are never negative")
    parser.parse_args([*rest, *theirs], args)
    return verb.run(args, _context(args))


def _context(args: argparse.Namespace) -> Context:
    chosen = {"EAGENT_RUN_DIR": args.run_dir, "EAGENT_STATE_DIR": args.state_dir}
    environ = {**os.environ, **{name: value for name, value in chosen.items() if value is not None}}
    paths = Paths.from_environment(environ) if args.verb in OWN else Paths.of_who_answers(environ)
    return Context(paths, None if args.config is None else Path(args.config))


class _OneLineParser(argparse.ArgumentParser):
    """An argparse parser whose complaints are one line, as all of ours are; so are those of its subparsers."""

    def __init__(self, **options: Any) -> None:
        """A parser that guesses no abbreviations.

        Its help has a fixed width: to measure the terminal argparse imports shutil, whether help is shown or not.
        """
        formatter = functools.partial(argparse.RawDescriptionHelpFormatter, width=HELP_WIDTH)
        super().__init__(**{"formatter_class": formatter, "allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        sys.exit(_fail(f"{message} (see `{self.prog} --help`)", USAGE))


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


def _fail(line: str, code: int) -> int:
    print(f"eagent: {' '.join(line.split())}", file=sys.stderr)
    return code


def _near(word: str) -> str:
    import difflib  # only a typing error needs it

    near = difflib.get_close_matches(word, VERBS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _version() -> str:
    from eagent import __version__

    return f"eagent {__version__}"
