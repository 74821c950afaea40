"""From argv to a verb: the registry of verbs, and how errors and signals end.

Words are read by `eagent.cli.words`, but those that start a daemon: a warden keeps what it has loaded, so what it loads
is little.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from eagent.errors import EagentError
from eagent.paths import Paths

if TYPE_CHECKING:
    import argparse

    from eagent.client import Client
    from eagent.config import Config

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
        from eagent.client import Client

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
# These take the options of all verbs and no others.
BARE = frozenset({"agent", "warden"})
SHARED = {"--config": "config", "--run-dir": "run_dir", "--state-dir": "state_dir"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 1 failed with one line, 2 not understood, 130 interrupted."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except EagentError as problem:
        return fail(str(problem), FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, a pager) has gone. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def fail(line: str, code: int) -> int:
    """Complain in one line, and return the exit code."""
    print(f"eagent: {' '.join(line.split())}", file=sys.stderr)
    return code


def verb_of(name: str) -> Verb:
    """The module of a verb that there is."""
    return cast(Verb, importlib.import_module(VERBS[name][0]))


def _run(argv: Sequence[str]) -> int:
    args = bare(argv)
    if args is None:
        from eagent.cli.words import read  # here: argparse takes 0.7 MB, and as long as half of `eagent status`

        args = read(argv)
    if args is None:
        return USAGE
    return verb_of(args.verb).run(args, _context(args))


def bare(argv: Sequence[str]) -> argparse.Namespace | None:
    """The words that start a daemon, as argparse would read them, without argparse.

    Returns:
        None: there is more in them, and it is for argparse to say what.
    """
    verb, options = None, dict.fromkeys(SHARED.values())
    words = iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name in SHARED:
            options[SHARED[name]] = value = value if equals else next(words, "-")
            if not equals and value.startswith("-"):
                return None
        elif verb is None and word in BARE:
            verb = word
        else:
            return None
    return None if verb is None else cast("argparse.Namespace", SimpleNamespace(verb=verb, **options))


def _context(args: argparse.Namespace) -> Context:
    chosen = {"EAGENT_RUN_DIR": args.run_dir, "EAGENT_STATE_DIR": args.state_dir}
    environ = {**os.environ, **{name: value for name, value in chosen.items() if value is not None}}
    paths = Paths.from_environment(environ) if args.verb in OWN else Paths.of_who_answers(environ)
    return Context(paths, None if args.config is None else Path(args.config))
