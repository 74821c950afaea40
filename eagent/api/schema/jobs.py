"""What jobs are answered."""

from __future__ import annotations

from eagent.api.schema.form import listed, made, number, one_of, text, truth, whole
from eagent.model import KnobName

FLAGS = ("stuck", "aliasing", "disagreement", "gap", "reset")

WINDOWS = made(
    "The joules of windows, in their order.",
    simulated=truth("Whether these joules are simulated ones"),
    windows=listed(
        made(
            "One window",
            devices=listed(
                made(
                    "What one device drew in it",
                    device=text("gpu0, cpu1"),
                    uuid=text("The device's"),
                    energy_j=number("In joules; null: too little is known", null=True, least=None),
                    half_width_j=number("How far it may be off, in joules"),
                    gain_j=number("How far more for what the sensor's gain may be off, in joules"),
                    source=one_of(("counter", "power"), "The energy counter, or readings of power"),
                    flags=listed(one_of(FLAGS, "A trait of the sensor or of the window"), "What to mind"),
                    others=whole("How many other processes held it in this window"),
                    why=text("Why no joules are known; null: they are", null=True),
                ),
                "Those that processes of the caller held",
            ),
            why=text("Why there is none; null: there is one", null=True),
        ),
        "As many as were asked for",
    ),
)
HINTED = made(
    "The hint that was noted.",
    device=text("gpu0"),
    uuid=text("The device's"),
    limit_w=number("The most watts that its limit is to be; null: not asked", null=True),
    clock_mhz=number("The most that its clock is to be, in MHz; null: not asked", null=True),
    slowdown=number("How much longer the job may take, as a share of its time; null: not asked", null=True),
    first_token_p99_s=number("What the p99 of the time to the first token may be; null: not asked", null=True),
    between_tokens_p99_s=number("Likewise of the time between two tokens; null: not asked", null=True),
    for_s=number("Seconds that it lasts, if the job does not end before"),
    acts=truth("Whether hints are acted on here"),
    waits_for=whole("How many users hold the device, too, and have not asked"),
    knobs=listed(
        made(
            "A knob of the device, as it stands",
            knob=one_of(list(KnobName), "Which"),
            unit=text("W or MHz"),
            value=number("What stands, in `unit`; null: not known", null=True),
            ours=number("What eagent holds, in `unit`; null: nothing", null=True),
            baseline=number("What it goes back to, in `unit`; null: nothing", null=True),
            decided=number("What was decided last, in `unit`; null: nothing", null=True),
            ceiling=number("Of a clock: what is decided, in MHz, in the device's steps; null: none", null=True),
            winner={
                **made("Who asked for that; null: nobody", policy=text("A policy"), reason=text("Why")),
                "type": ["object", "null"],
            },
        ),
        "How the knobs of the device stand, and who has set them so",
    ),
)
BEATEN = made("Whether the beat counts.", counts=truth("Whether the caller is of a job that holds a GPU here"))
