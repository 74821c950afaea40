"""A simulated server's own metrics over HTTP, under vLLM's names: what a scraper of a real one would find.

Names, labels and bounds of buckets are those of vLLM's /metrics (its engine's version 1). An engine is one GPU's.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType

from eagent.errors import EagentError, UnavailableError
from eagent.sim._plant import Host

PATIENCE_S = 5.0  # with who connects and does not ask
MODEL = "simulated-13b"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# By the keys of `Host.engine`.
GAUGES = {
    "running": ("vllm:num_requests_running", "Requests in the batches of the engine."),
    "waiting": ("vllm:num_requests_waiting", "Requests that wait to be admitted."),
}
COUNTERS = {
    "prompt_tokens": ("vllm:prompt_tokens_total", "Tokens of prompts that were prefilled."),
    "tokens": ("vllm:generation_tokens_total", "Tokens that were generated."),
    "requests_done": ("vllm:request_success_total", "Requests that were answered."),
}
HISTOGRAMS = {
    "first token": ("vllm:time_to_first_token_seconds", "Time from arrival to the first token."),
    "between tokens": ("vllm:inter_token_latency_seconds", "Time from a token of a request to its next."),
    "whole request": ("vllm:e2e_request_latency_seconds", "Time from arrival to the last token."),
}


def exposition(plant: Host, gpus: Sequence[int]) -> str:
    """The metrics of the server on these GPUs, in Prometheus' text format.

    Raises:
        EagentError: it does not run any more, or its host is off.
    """
    engines = [(f'engine="{place}",model_name="{MODEL}"', plant.engine(gpu)) for place, gpu in enumerate(gpus)]
    lines: list[str] = []
    for kind, table in (("gauge", GAUGES), ("counter", COUNTERS)):
        for key, (name, words) in table.items():
            lines += _head(name, kind, words)
            reason = ',finished_reason="stop"' if key == "requests_done" else ""
            lines += [f"{name}{{{labels}{reason}}} {float(engine[key])}" for labels, engine in engines]  # type: ignore[literal-required]
    for key, (name, words) in HISTOGRAMS.items():
        lines += _head(name, "histogram", words)
        for labels, engine in engines:
            lines += _histogram(name, labels, *engine["latencies"][key])
    return "\n".join(lines) + "\n"


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words} Simulated.", f"# TYPE {name} {kind}"]


def _histogram(name: str, labels: str, bounds_s: Sequence[float], counts: Sequence[int], sum_s: float) -> Iterator[str]:
    below = 0
    for bound, count in zip((*map(str, bounds_s), "+Inf"), counts, strict=True):
        below += count
        yield f'{name}_bucket{{{labels},le="{bound}"}} {float(below)}'
    yield f"{name}_count{{{labels}}} {float(below)}"
    yield f"{name}_sum{{{labels}}} {sum_s}"


class Endpoint(HTTPServer):
    """Answers GET /metrics, and GET /health as a server that is there; one request at a time."""

    def __init__(self, address: tuple[str, int], plant: Host, gpus: Sequence[int]) -> None:
        """Listen.

        Raises:
            UnavailableError: the address can't be had.
        """
        self.plant, self.gpus = plant, tuple(gpus)
        try:
            super().__init__(address, _Handler)
        except OSError as problem:
            host, port = address
            raise UnavailableError(f"cannot listen on {host}:{port}: {problem.strerror or problem}") from None

    @property
    def url(self) -> str:
        """Where its metrics are."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/metrics"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    timeout = PATIENCE_S

    def do_GET(self) -> None:  # http.server's name
        """Answer."""
        if self.path not in ("/metrics", "/health"):
            self._say(HTTPStatus.NOT_FOUND, "only /metrics and /health are here\n")
            return
        try:
            body = exposition(self.server.plant, self.server.gpus)
        except EagentError as problem:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, f"{problem}\n")
            return
        self._say(HTTPStatus.OK, body if self.path == "/metrics" else "")

    def _say(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's
        """Say nothing: somebody asks every second."""


def serve(endpoint: Endpoint, ready: Callable[[], None]) -> None:
    """Answer until SIGTERM or SIGINT."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signal module's
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ready()
        endpoint.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        endpoint.server_close()
