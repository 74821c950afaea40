"""Idle GPUs whose clocks are held up for nothing get a low clock ceiling.

Idle needs positive evidence: for some seconds no kernel ran, and either no process holds a context, or the operator
consented to slow those that do (a resident process keeps full clocks while it waits). What can't be read is no
evidence. GPUs of one gang are idle only together.

The first work after a pause runs under the ceiling until the next look, so the ceiling is not the lowest clock: below
the corner of the voltage power falls only in proportion, and the lowest clock would make that work wait long.
"""

from __future__ import annotations

from collections.abc import Container

from eagent.model import DeviceKind, DeviceState, HostState, KnobName, Priority, Proposal
from eagent.policy.goals import Goals
from eagent.policy.groups import grouped

NAME = "idle"


def decide(state: HostState, goals: Goals, now_ns: int) -> list[Proposal]:  # noqa: ARG001  # the shape of a policy
    """A clock ceiling for each GPU that is idle, and whose clocks are up or held down by us already."""
    proposals = []
    for members in grouped(state, lambda each: each.device.clock.writable and each.device.kind is DeviceKind.GPU):
        evidence = [idle_evidence(member, goals.idle.consent) for member in members]
        if any(reason is None for reason in evidence):
            continue
        for member, reason in zip(members, evidence, strict=True):
            ceiling_mhz = _ceiling_mhz(member, goals)
            clock_mhz = member.sm_clock_mhz.value if member.sm_clock_mhz.ok else None
            if ceiling_mhz is None or not (member.clock_held or (clock_mhz is not None and clock_mhz > ceiling_mhz)):
                continue
            text = f"{reason}, and its clocks are up" if not member.clock_held else str(reason)
            proposals.append(
                Proposal(NAME, Priority.IDLE, member.device.uuid, KnobName.GPU_CLOCK, float(ceiling_mhz), text)
            )
    return proposals


def _ceiling_mhz(state: DeviceState, goals: Goals) -> int | None:
    """The clock of the device nearest below the wished share of its highest."""
    clocks = state.device.clocks_mhz
    return max((clock for clock in clocks if clock <= goals.idle.clock_share * clocks[-1]), default=None)


def idle_evidence(state: DeviceState, consent: Container[str]) -> str | None:
    """Why a GPU is idle; None: it is not, or nobody can tell.

    `consent` are UUIDs whose quiet processes are no hindrance.
    """
    processes = state.compute_processes.value if state.compute_processes.ok else None
    busy = state.gpu_utilisation.value if state.gpu_utilisation.ok else None
    lately = state.busy_share.value if state.busy_share.ok else None
    if processes is None or busy != 0 or lately != 0:
        return None
    if processes == 0:
        return "no process holds it"
    if state.device.uuid not in consent:
        return None
    quiet = "its process is quiet" if processes == 1 else f"its {processes:.0f} processes are quiet"
    return f"{quiet}, and the operator consents"
