"""What a person, or the mesh, has done to the whole host: each is asked of the warden between two turns of the loop.

Each raises RefusedError when the warden says no, and nothing has changed then; UnavailableError when it does not
answer; ProtocolError when its answer can't be read.
"""

from __future__ import annotations

from eagent.agent.loop import Governor
from eagent.errors import RefusedError
from eagent.model import Budget
from eagent.wire import Message


async def set_budget(governor: Governor, budget: Budget, now_ns: int) -> bool:
    """Put the host under a budget; returns whether its limits were read back under the envelope."""
    async with governor.turn:
        before = governor.budget
        if before is not None and budget.envelope_w < before.envelope_w:
            # The warden scales a lease that does not fit into it; who is to give is better decided by demand.
            await governor.share(budget, now_ns)
        try:
            in_force = await governor.warden.set_budget(budget)
        except RefusedError:  # nothing has changed; after any other error the warden is met anew, and says
            governor.budget = before
            governor.reconsider()
            raise
        finally:
            governor.ask_warden()  # whatever came of it, what the warden holds is asked for
        await governor.look(now_ns)
    governor.wake()
    return in_force


async def clear_budget(governor: Governor, now_ns: int) -> None:
    """End the budget."""
    async with governor.turn:
        await governor.warden.clear_budget()
        await governor.look(now_ns)
    governor.wake()


async def detach(governor: Governor, uuid: str, by: str, why: str, now_ns: int) -> Message:
    """Have a GPU taken out, so that it can be reset: `why` it is told to be out, and `already`."""
    async with governor.turn:
        answer = await governor.warden.detach(uuid, by, why)
        await governor.look(now_ns)
    governor.wake()
    return answer


async def attach(governor: Governor, uuid: str, now_ns: int) -> Message:
    """Have it taken in again; `already`: it was not out. Refused, it stays out."""
    async with governor.turn:
        answer = await governor.warden.attach(uuid)
        await governor.look(now_ns)
    governor.wake()
    return answer


async def take_back(governor: Governor, now_ns: int) -> None:
    """Govern again all that is left to somebody else who has set it."""
    async with governor.turn:
        await governor.warden.take_back()
        await governor.look(now_ns)
    governor.wake()
