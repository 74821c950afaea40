"""Run eagent on this host: warden and agent under one parent, until Ctrl-C.

Either of them is started again when it dies, and a warden whose loop hangs in the driver for long is ended and
replaced. When the parent dies, however it dies, both end in order: every knob goes
back to what it was or, while a budget stands, to its safe cap. systemd runs the two as units of their own instead.

Examples:
  sudo eagent up
  eagent up --no-restart          leave dead what dies: for trying out what happens then
"""

from __future__ import annotations

import argparse
import signal
import socket
import time

from eagent.cli.child import Child
from eagent.cli.dispatch import Context
from eagent.cli.loopwatch import LoopWatch
from eagent.errors import UnavailableError
from eagent.process import check_socket_path

POLL_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `eagent up`."""
    parser.add_argument("--no-restart", action="store_true", help="do not start again what died; end when both have")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run both until a signal.

    Raises:
        UnavailableError: one of them did not start; its own line stands above.
    """
    context.config()  # a bad configuration is told once, here, and not by each child
    for path in (context.paths.warden_socket, context.paths.api_socket):
        check_socket_path(path)
    warden = Child("warden", context, context.paths.warden_socket, socket.SOCK_SEQPACKET)
    agent = Child("agent", context, context.paths.api_socket, socket.SOCK_STREAM)
    watch, replace_after_s = LoopWatch(context.paths.ring), context.config().replace_after_s
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    try:
        for child in (warden, agent):
            child.start()
            if not child.wait_ready(stopping):
                raise UnavailableError(f"the {child.role} did not start")
            if stopping:
                return 0
        print(
            f"eagent is up: warden {warden.pid}, agent {agent.pid}, control socket {context.paths.api_socket}",
            flush=True,
        )
        while not stopping:
            time.sleep(POLL_S)
            if not args.no_restart:
                now_s = time.monotonic()
                silent_s = watch.silent_s(warden.pid, now_s)
                if silent_s > replace_after_s:
                    warden.replace(now_s, f"its loop has hung in a call of the driver for {silent_s:.0f} s")
                warden.keep_alive(now_s)
                agent.keep_alive(now_s)
            elif not (warden.alive or agent.alive):
                return 1
    finally:
        agent.stop()
        warden.stop()
        watch.close()
    return 0
