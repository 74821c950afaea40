"""The front as a picture: SVG made by hand, for a scatter of some points is no reason to need a plotting library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from eagent.sweep.front import Point, front_of
from eagent.sweep.setting import Setting

WIDTH, HEIGHT = 880, 560
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 50, 60
TICKS = 6
STYLE = (
    "text{font:12px sans-serif;fill:#222}.grid{stroke:#ddd}.front{stroke:#b2182b;fill:none;stroke-width:1.5}"
    ".error{stroke:#888}.on{fill:#b2182b}.off{fill:#9aa7b5}.base{fill:none;stroke:#222;stroke-width:2}"
)

Scale = Callable[[float], float]


def svg(points: Sequence[Point], default: Setting, title: str, unit: str, *, simulated: bool) -> str:
    """Time of a unit to the right, its energy upwards, errors of 95 %; the front is joined, the default has a ring.

    Args:
        points: At least one.
        default: What all are compared with.
        title: What was run.
        unit: What time and energy are of.
        simulated: Whether to say so.
    """
    front = front_of(points)
    across = _scale([end for point in points for end in _ends(point.time_s, point.time_error)], LEFT, WIDTH - RIGHT)
    upward = _scale(
        [end for point in points for end in _ends(point.energy_j, point.energy_error)], HEIGHT - BOTTOM, TOP
    )
    energy = "simulated joules" if simulated else "joules"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="24">{escape(title)}{" (SIMULATED: no hardware behind it)" if simulated else ""}</text>',
        *_axes(across, upward),
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 16}" text-anchor="middle">seconds a {escape(unit)}</text>',
        f'<text transform="translate(18 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{energy} a {escape(unit)}</text>",
    ]
    joined = " ".join(f"{across[1](each.time_s):.1f},{upward[1](each.energy_j):.1f}" for each in front)
    lines.append(f'<polyline class="front" points="{joined}"/>')
    for point in points:
        lines += _dot(point, across[1], upward[1], on=point in front, base=point.setting == default)
    return "\n".join([*lines, "</svg>", ""])


def _ends(value: float, error: float) -> tuple[float, float]:
    """Of an error bar, as far as it is drawn."""
    error = min(error, 1.0) if math.isfinite(error) else 0.0
    return value * (1 - error), value * (1 + error)


def _scale(values: Sequence[float], begin: float, end: float) -> tuple[tuple[float, float], Scale]:
    """The range that is shown, and where in the picture a value of it lies."""
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or high * 0.1
    low, high = low - room, high + room
    return (low, high), lambda value: begin + (min(max(value, low), high) - low) / (high - low) * (end - begin)


def _axes(across: tuple[tuple[float, float], Scale], upward: tuple[tuple[float, float], Scale]) -> list[str]:
    lines = []
    for value in _ticks(*across[0]):
        x = across[1](value)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>')
    for value in _ticks(*upward[0]):
        y = upward[1](value)
        lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return lines


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    return [float(f"{number * step:.12g}") for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _dot(point: Point, across: Scale, upward: Scale, *, on: bool, base: bool) -> list[str]:
    x, y = across(point.time_s), upward(point.energy_j)
    lines = [f"<g><title>{escape(point.setting.label())}</title>"]
    if math.isfinite(point.time_error) and math.isfinite(point.energy_error):
        left, right = map(across, _ends(point.time_s, point.time_error))
        lower, upper = map(upward, _ends(point.energy_j, point.energy_error))
        lines.append(f'<line class="error" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<line class="error" x1="{x:.1f}" x2="{x:.1f}" y1="{lower:.1f}" y2="{upper:.1f}"/>')
    lines.append(f'<circle class="{"on" if on else "off"}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    if base:
        lines.append(f'<circle class="base" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
    aside, anchor = (7, "start") if x < WIDTH * 0.7 else (-7, "end")  # so that it stays in the picture
    name = escape(point.setting.label())
    lines.append(f'<text x="{x + aside:.1f}" y="{y - 6:.1f}" text-anchor="{anchor}">{name}</text></g>')
    return lines
