"""A host: its status, its plan, and why a device's knobs stand where they stand."""

from __future__ import annotations

from eagent.api.schema.form import listed, made, mapped, number, one_of, ref, text, truth, whole
from eagent.api.service import Json
from eagent.model import KnobName, Priority

HALVES = ("reading", "writing")
SINCE = "since the warden's loop began; null: there is no ring to tell"


def schemas() -> Json:
    """The schemas of this family, by name."""
    return {
        "Status": made(
            "All that is known of this host now.",
            version=text("Of eagent"),
            host=text("Its name"),
            simulated=truth("Whether its devices are simulated: then no watt and no joule here is a real one"),
            time=text("When this was told: ISO 8601, with the offset from UTC") | {"format": "date-time"},
            warden=ref("Warden"),
            cost=ref("Cost"),
            budget=ref("Budget", "null: there is none", null=True),
            lease={
                "anyOf": [
                    made("What the agent holds", until_s=number("Seconds until it ends unless renewed")),
                    {"type": "null"},
                ],
                "description": "null: it holds nothing",
            },
            held_back=text("Why no lease is asked for; null: nothing speaks against it", null=True),
            halted=text("Why nothing but budgets is acted on (`eagent halt`); null: it is not halted", null=True),
            alarms=listed(text("One line"), "What is wrong now, for people"),
            mesh=ref("MeshSummary", "null: this host is in no mesh", null=True),
            busy_cpus=ref("Reading", "How many CPUs' worth of time all processes use"),
            jobs=listed(ref("Job"), "What runs on the GPUs, and how far it is"),
            devices=listed(ref("Device"), "GPUs, then CPU packages"),
        ),
        "Job": made(
            "Processes that hold GPUs and were begun by one, and how far they have come.",
            job=text("Its name: the same in another run"),
            devices=listed(text("gpu0"), "The GPUs that it holds"),
            source=text("How it is known: beats, counter, period, or none"),
            units=number("Work done since it was first seen, in `unit`; null: not known", null=True),
            unit=text("What they are; null: not known", null=True),
            rate_per_s=number("Units a second, over the last ten seconds; null: not known yet", null=True),
            age_s=number("How long ago it was so many, in seconds; null: not known", null=True),
            why=text("What is wrong with its sources; null: nothing", null=True),
        ),
        "Warden": made(
            "How the privileged half is doing.",
            connected=truth("Whether it answers the agent"),
            why=text("Why it does not; null: it does, or nothing was tried", null=True),
            role=text(
                "What it takes the agent for: operator, or agent (then budgets are set by operators alone)", null=True
            ),
            stale_s=number("Age of the newest reading, in seconds; null: there was none", null=True),
            halves=mapped(
                made(
                    "One half of the loop",
                    silent_s=number("Seconds since its last sign of life; null: it never showed one", null=True),
                    hangs=truth("Whether that is too long"),
                ),
                f"The loop's halves: {' and '.join(HALVES)}",
            ),
            nvml_time_share=number(f"Share of time inside the driver, 0 to 1, {SINCE}", null=True),
            lateness_max_s=number(f"The latest wake-up, in seconds, {SINCE}", null=True),
            missed_periods=whole(f"Turns that ended after the next was due, {SINCE}", null=True),
            read_errors=whole(f"Reads that failed, {SINCE}", null=True),
            write_errors=whole(f"Writes that failed, {SINCE}", null=True),
        ),
        "Cost": made(
            "What eagent itself costs, and what it misses.",
            read_share=ref("Reading", "Share of the last minute that reads took inside the driver"),
            write_share=ref("Reading", "The same of writes"),
            read_share_since_start=number(f"0 to 1, {SINCE}", null=True),
            write_share_since_start=number(f"0 to 1, {SINCE}", null=True),
            read_s=number(f"Seconds that reads took inside the driver, {SINCE}", null=True),
            write_s=number(f"Seconds that writes took inside the driver, {SINCE}", null=True),
            reads=whole(f"Readings asked for, {SINCE}", null=True),
            writes=whole(f"Writes of knobs, {SINCE}", null=True),
            refreshes_caught=whole(f"Publications of busy GPUs' power sensors that were read, {SINCE}", null=True),
            refreshes_missed=whole(f"Those that were not, {SINCE}", null=True),
            refreshes_shed=whole(f"Of the missed those passed over on purpose, {SINCE}", null=True),
            unseen_share=ref("Reading", "Of the last minute's publications, those missed and not shed"),
            shed_share=ref("Reading", "Of the last minute's publications, those shed"),
            shedding_s=number("Seconds since publications are passed over; null: they are not", null=True),
            lateness={
                "type": ["array", "null"],
                "items": whole("Wake-ups"),
                "description": "Wake-ups by how late: the n-th counts those less than 2^n µs late, the last one all "
                f"others; {SINCE}",
            },
            lateness_p99=ref("Reading", "99 of 100 wake-ups of the last minute were at most so late"),
            loop_cpu_s=number(f"CPU seconds of the loop's threads, {SINCE}", null=True),
            processes=mapped(ref("Process", null=True), "warden and agent; null: not told"),
        ),
        "Process": made(
            "One of eagent's processes.",
            pid=whole("Its number"),
            cpu_s=number("CPU seconds since it began"),
            cpu_share=ref("Reading", "Of one CPU, over some seconds"),
            resident_b=whole("Resident memory, in bytes"),
        ),
        "Budget": made(
            "The most that this host may draw, and how that is spent, in watts.",
            **_budget(),
        ),
        "BudgetSet": made(
            "The budget that was set.",
            in_force=truth("Whether all limits have been read back under it"),
            **_budget(),
        ),
        "Plan": made(
            "What every policy asks for now, whether it acts or only observes.",
            simulated=truth("Whether the devices are simulated"),
            halted=text("As in the status", null=True),
            proposals=listed(ref("Proposed"), "One for each wish"),
            sleep=ref("Sleep", "Of the policy sleep; null: this host is in no mesh", null=True),
        ),
        "Proposed": made(
            "What one policy asks of one knob.",
            {
                "ceiling_mhz": number("Of a clock: what that comes to, in MHz; null: no ceiling", null=True),
                "preference": text("Of a CPU package's clock: the preference with it; null: its own", null=True),
            },
            device=text("gpu0, cpu1"),
            uuid=text("The device's"),
            knob=one_of(list(KnobName), "Which of its knobs"),
            unit=text("Of low and high: W or MHz"),
            policy=text("Who asks"),
            acts=truth("Whether it may act, or only observes"),
            low=number("It asks to be at least here, in `unit`"),
            high=number("It asks to be at most here, in `unit`"),
            reason=text("Why"),
            draws_w=number("Watts that the device draws, over a second; null: not known", null=True),
            stake_w=number("Watts that it is expected to save; null: the policy can't tell", null=True),
        ),
        "Explanation": made(
            "Why the knobs of one device stand where they stand.",
            device=text("gpu0, cpu1"),
            knobs=listed(ref("Knob"), "Each of its knobs"),
            jobs=listed(ref("Job"), "What runs on it, and how far it is"),
            efficiency=ref("Efficiency", "null: nothing that the policy efficiency could act on", null=True),
        ),
        "Efficiency": made(
            "What the policy efficiency knows of the job on a GPU; of one that is left alone only why.",
            _efficiency(),
            left_alone=text("Why nothing is tried here; null: something is", null=True),
        ),
        "CurvePoint": made(
            "What was measured at one setting; errors are standard errors.",
            setting=number("What was set, in `setting_unit`"),
            seconds=number("Seconds of work that it is known from"),
            rate=number("Units of the job a second"),
            power_w=number("Mean watts of its GPUs"),
            slowdown=number("How much longer the work takes than at the top, as a share", least=None),
            slowdown_error=number("The error of that, as a share"),
            energy=number("For each unit, as a share of that at the top"),
            energy_error=number("The error of that, as a share"),
        ),
        "Knob": made(
            "One knob; values are in `unit`, or texts.",
            {
                "inferred": ref("InferredLock", "Of a GPU's clock; null: nothing is", null=True),
                "ceiling": number("Of a clock: what is decided, in MHz, in the device's steps; null: none", null=True),
            },
            knob=one_of(list(KnobName), "Which"),
            unit=text("W, MHz, or empty: a text"),
            value=_value("What stands; null: not known"),
            ours=_value("What eagent holds; null: nothing"),
            baseline=_value("What it goes back to; null: nothing, or not known"),
            foreign=ref("Foreign", "null: nobody else wrote to it", null=True),
            decided=_value("What was decided last; null: nothing"),
            winner=ref("Wish", "Who asked for that; null: nobody", null=True),
            losers=listed(ref("LostWish"), "Who else asked"),
            note=text("What a person would wonder about; empty: nothing"),
        ),
        "Wish": made("What a policy or a person asks of a knob.", **_wish()),
        "LostWish": made(
            "What did not set the value.", **_wish(), fate=text("How it fared: met, or lost, and to whom")
        ),
    }


def _value(what: str) -> Json:
    return {"type": ["number", "string", "null"], "description": what}


def _wish() -> Json:
    return {
        "policy": text("Who asks"),
        "priority": one_of([each.name.lower() for each in Priority], "Who wins: the first is the strongest"),
        "low": number("To be at least here, in the knob's `unit`; null: a preference has none", null=True),
        "high": {"type": ["number", "string"], "description": "To be at most here; the name of a preference"},
        "reason": text("Why"),
        "until_s": number("Seconds until it ends; null: it stands until it is taken back", null=True),
    }


def _budget() -> Json:
    return {
        "budget_w": number("The most that the host may draw"),
        "fixed_w": number("What all draws at most that eagent can't cap"),
        "envelope_w": number("What is left for the devices", least=None),
        "limits_w": number("The sum of the limits in force; null: they are not read back now", null=True),
        "reserved_w": number("What counts against the envelope"),
        "headroom_w": number("What is left of it", least=None),
        "safe_caps_w": mapped(number("Watts"), "By UUID: the limit that a device falls to when nobody governs it"),
    }


def _efficiency() -> Json:
    return {
        "job": text("Its name"),
        "unit": text("What it counts"),
        "bound": number("How much longer it may take in all, as a share"),
        "bound_by": text("Who has said so, for people"),
        "slack_s": number("What may still be lost, in seconds; below 0: more was lost than earned", least=None),
        "stage": text("base, trial, hold or safe: what the setting is for"),
        "setting": number("What is asked for, in `setting_unit`"),
        "knob": text("gpu_clock or power_limit"),
        "setting_unit": text("MHz or W"),
        "top": number("The setting at which nothing is held down, in `setting_unit`"),
        "in_force": truth("Whether what is asked for is in force"),
        "why": text("Why this setting, for people"),
        "next_s": number("Seconds until the next choice"),
        "happened": text("What happened last, for people; empty: nothing"),
        "stalled": truth("Whether it makes no progress"),
        "phase": whole("Which of its phases it is in; null: not known yet", null=True),
        "phases": whole("How many are known"),
        "changes": whole("How often it has changed from one to another"),
        "curve": listed(ref("CurvePoint"), "Of this phase, the lowest setting first"),
    }
