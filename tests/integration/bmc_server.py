"""A BMC on loopback with a host behind it: pyghmi's IPMI 2.0 server, and a process that is the host while it has power.

    bmc_server.py PORT USER obeys|deaf

The password comes on the first line of its input, and it ends with its input. An orderly shutdown is a SIGTERM to the
host's process, which a deaf one ignores; what it was told is printed, a word a line.
"""

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import Any

from pyghmi.ipmi.bmc import Bmc

HOST = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[1] == "deaf" else lambda *_: (time.sleep(0.3), sys.exit()))
print("up", flush=True)
while True:
    time.sleep(60)
"""
DCMI, GET_POWER_READING = 0x2C, 0x02
ON_W, STANDBY_W = 312, 7


class Board(Bmc):  # type: ignore[misc]  # pyghmi has no types
    """The BMC; its host is off at first."""

    def __init__(self, users: dict[str, str], port: int, manner: str) -> None:
        super().__init__(users, port=port, address="127.0.0.1")
        self.manner = manner
        self.host: subprocess.Popen[str] | None = None

    def get_power_state(self) -> str:
        return "on" if self.host is not None and self.host.poll() is None else "off"

    def power_on(self) -> None:
        print("on", flush=True)
        if self.get_power_state() == "off":
            command = [sys.executable, "-c", HOST, self.manner]
            self.host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert self.host.stdout is not None
            self.host.stdout.readline()

    def power_off(self) -> None:
        print("off", flush=True)
        self.end(signal.SIGKILL)

    def power_shutdown(self) -> None:
        print("soft", flush=True)
        self.end(signal.SIGTERM)

    def end(self, how: signal.Signals) -> None:
        if self.host is not None and self.host.poll() is None:
            self.host.send_signal(how)
            if how is signal.SIGKILL:
                self.host.wait()

    def handle_raw_request(self, request: dict[str, Any], session: Any) -> None:
        if (request["netfn"], request["command"]) == (DCMI, GET_POWER_READING):
            watts = ON_W if self.get_power_state() == "on" else STANDBY_W
            reading = struct.pack("<HHHHIIB", watts, 5, 700, watts, int(time.time()), 1000, 0x40)
            session.send_ipmi_response(data=[0xDC, *reading])
        else:
            super().handle_raw_request(request, session)


def main() -> None:
    """Serve until the input ends."""
    port, user, manner = sys.argv[1:]
    board = Board({user: sys.stdin.readline().strip()}, int(port), manner)

    def end_with_input() -> None:
        sys.stdin.read()
        board.end(signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    print("serving", flush=True)
    board.listen()


if __name__ == "__main__":
    main()
