"""Asking a host's agent over its socket, without the time that a command of ours takes to start."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from contextlib import closing
from typing import Any


def ask(host: Any, path: str) -> tuple[int, str]:
    """The agent's answer to a GET: its status and text."""
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.fspath(host.made.dir / "run" / "api.sock"))
    with closing(connection):
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()


def told(host: Any) -> dict[str, Any]:
    code, text = ask(host, "/v1/status")
    assert code == 200, text
    status: dict[str, Any] = json.loads(text)
    return status


def values(metrics: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", metrics, re.MULTILINE)]


def is_well(host: Any) -> bool:
    return ask(host, "/healthz")[0] == 200
