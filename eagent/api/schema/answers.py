"""What commands answer, and every refusal."""

from __future__ import annotations

from eagent.api.schema.form import listed, made, number, text, truth, whole
from eagent.api.service import Json

EMPTY = {"type": "object", "maxProperties": 0, "description": "Nothing: it is done"}
HEALTH = made("The hardware is seen, and seen now.", healthy={"type": "boolean", "const": True})
METRICS = {"type": "string", "description": "Prometheus text; each family says its unit and its source"}
DOCUMENT = {
    **made("An OpenAPI document.", openapi=text("3.1.0"), info={"type": "object"}, paths={"type": "object"}),
    "additionalProperties": True,
}

PINNED = made(
    "The pin that was set.",
    device=text("gpu0, cpu1"),
    uuid=text("The device's"),
    limit_w=number("Where its limit is held, as far as a budget lets it, in watts; null: the pin leaves it", null=True),
    clock_mhz=number("Where its clock ceiling is held, in MHz; null: the pin leaves it", null=True),
    until_s=number("Seconds that it lasts; null: until it is cleared", null=True),
)
DETACHED = made(
    "The GPU is out.",
    device=text("gpu0"),
    uuid=text("The device's"),
    why=text("What is told of it from now on"),
    already=truth("Whether it was out before"),
)
ATTACHED = made(
    "The GPU is in.", device=text("gpu0"), uuid=text("The device's"), already=truth("Whether it was not out")
)
RESTORED = made(
    "What goes back, and to where.",
    pins_dropped=whole("How many pins there were"),
    devices=listed(
        made(
            "A device whose knobs go back",
            {
                "baseline_mhz": number("Of a CPU package: its frequency ceiling; null: not known", null=True),
                "baseline_preference": text("Of a CPU package; null: not known", null=True),
            },
            device=text("gpu0, cpu1"),
            uuid=text("The device's"),
            baseline_w=number("Where its power limit goes back to, in watts; null: not known", null=True),
        ),
        "All devices whose knobs can be set",
    ),
    kept=listed(text("A line"), "What can't be put back, and why"),
)


def schemas() -> Json:
    """The schemas of this family, by name."""
    return {"Error": made("What is wrong, and mostly what would be right.", error=text("One line for people"))}
