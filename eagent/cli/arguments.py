"""Argument types for argparse: quantities whose refusal becomes a usage error."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from eagent.cli import quantities
from eagent.errors import InputError


def _argument(parse: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            return parse(text)
        except InputError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return read


watts = _argument(quantities.parse_watts)
watts_or_none = _argument(quantities.parse_watts_or_none)
site_watts = _argument(partial(quantities.parse_watts, most_w=quantities.MOST_OF_SITE_W))
site_watts_or_none = _argument(partial(quantities.parse_watts_or_none, most_w=quantities.MOST_OF_SITE_W))
megahertz = _argument(quantities.parse_megahertz)
share = _argument(quantities.parse_share)
duration = _argument(quantities.parse_duration)


def add_json(parser: argparse.ArgumentParser, default: bool | str = False) -> None:
    """The option to print what the agent said as JSON, for a program; `default` as of argparse."""
    parser.add_argument("--json", action="store_true", default=default, help="print the answer as JSON, for a program")


def add_why(parser: argparse.ArgumentParser) -> None:
    """The option to give a reason."""
    parser.add_argument("--why", metavar="TEXT", help="a reason, kept in the audit log")


def print_json(document: dict[str, Any]) -> None:
    """The document on stdout, indented."""
    print(json.dumps(document, indent=2, ensure_ascii=False))
