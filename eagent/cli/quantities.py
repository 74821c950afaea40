"""Watts, clocks and durations as people type and read them."""

from __future__ import annotations

import re

from eagent.errors import InputError

_WATTS = re.compile(r"(\d+(?:\.\d+)?) ?(k?w)?", re.ASCII | re.IGNORECASE)
_MEGAHERTZ = re.compile(r"(\d+(?:\.\d+)?) ?(?:mhz)?", re.ASCII | re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?(%)?", re.ASCII)
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s?)?|{_NUMBER}ms", re.ASCII)

MOST_W = 1_000_000
MOST_OF_SITE_W = 1_000_000_000
MOST_MHZ = 10_000
MOST_S = 366 * 86_400


def parse_watts(text: str, most_w: int = MOST_W) -> float:
    """Watts from `2480`, `2480W` or `2.48kW`, to the milliwatt.

    Raises:
        InputError: anything else, zero, or more than `most_w`, by default the most that a host can draw.
    """
    match = _WATTS.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{_shown(text)} is not a number of watts: write it as 2480, 2480W or 2.48kW")
    watts = round(float(match[1]) * (1000 if (match[2] or "").lower() == "kw" else 1), 3)
    if not 0 < watts <= most_w:
        raise InputError(f"{_shown(text)}: watts must be more than 0 and at most {most_w}")
    return watts


def parse_watts_or_none(text: str, most_w: int = MOST_W) -> float:
    """As `parse_watts`, but zero is an answer too: for what may draw nothing.

    Raises:
        InputError: as `parse_watts`.
    """
    match = _WATTS.fullmatch(text.strip())
    return 0.0 if match is not None and float(match[1]) == 0 else parse_watts(text, most_w)


def format_watts(watts: float | None) -> str:
    """`312.4 W`, and a dash for what is not known. Tenths are shown where there are any."""
    if watts is None:
        return "—"
    shown = f"{watts:.1f}"
    return f"{shown.removesuffix('.0')} W"


def parse_megahertz(text: str) -> float:
    """Megahertz from `1200` or `1200MHz`.

    Raises:
        InputError: anything else, zero, or more than any clock.
    """
    match = _MEGAHERTZ.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{_shown(text)} is not a number of MHz: write it as 1200 or 1200MHz")
    mhz = float(match[1])
    if not 0 < mhz <= MOST_MHZ:
        raise InputError(f"{_shown(text)}: MHz must be more than 0 and at most {MOST_MHZ}")
    return mhz


def parse_share(text: str) -> float:
    """A share from `10%` or `0.1`.

    Raises:
        InputError: anything else, zero, or more than all.
    """
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{_shown(text)} is not a share: write it as 10% or 0.1")
    share = float(match[1]) / (100 if match[2] else 1)
    if not 0 < share <= 1:
        raise InputError(f"{_shown(text)}: a share must be more than 0 and at most 1, or 100%")
    return share


def parse_duration(text: str) -> float:
    """Seconds from `90`, `90s`, `10m`, `2h`, `1h30m` or `300ms`, to the millisecond.

    Raises:
        InputError: anything else, zero, or more than a year.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not text.strip():
        raise InputError(f"{_shown(text)} is not a duration: write it as 90, 90s, 10m, 2h, 1h30m or 300ms")
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    total_s = round(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000, 3)
    if not 0 < total_s <= MOST_S:
        raise InputError(f"{_shown(text)}: a duration must be more than 0 and at most {MOST_S // 3600}h")
    return total_s


def format_duration(seconds: float | None) -> str:
    """`40ms`, `8.4s`, `1m30s`, `2h`, and a dash for what is not known."""
    if seconds is None:
        return "—"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    parts = ((hour, "h"), (minute, "m"), (second, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def _shown(text: str) -> str:
    """What was typed, on one line and cut short."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
