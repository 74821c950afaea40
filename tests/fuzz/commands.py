"""Packets at the warden's command decoder: a real warden on a simulated host, judged by the driver's own log."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from eagent import wire
from eagent.access import Rights, Role
from eagent.audit import Audit
from eagent.config import Config
from eagent.peer import Peer
from eagent.sim import host as simulated
from eagent.warden.callers import Caller, Callers
from eagent.warden.server import ERROR_MAX, dispatch
from tests.conftest import SimHost
from tests.fuzz.hostile import VALUES, battered, check_line, spoilt
from tests.fuzz.referee import Referee
from tests.warden.conftest import Rig

GPUS = 3
OWNERS_W = (400.0, 350.0, 400.0)
MW = st.integers(100_000, 400_000) | st.sampled_from([99_999, 100_000, 150_000, 400_000, 400_001])
ASKERS = st.sampled_from([Caller(Peer(1, 0), Role.OPERATOR), Caller(Peer(1, 990), Role.AGENT)])
DEPTHS = st.sampled_from([1, 14, 20, 500, 950, 980, 1000, 1010, 1020, 3000])  # msgpack unpacks up to 1023
TTLS = st.sampled_from([0.1, 0.5, 1, 3, 3.0, 60, 0, -1])


def valid(uuids: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Requests that a good agent could send, and near misses."""
    vector = st.fixed_dictionaries(dict.fromkeys(uuids, MW))
    part = st.dictionaries(st.sampled_from(uuids), MW, max_size=GPUS)
    clocks = st.dictionaries(st.sampled_from(uuids), st.sampled_from([210, 1000, 1410, 0, 5000]), max_size=GPUS)
    op = st.sampled_from(["hello", "status", "release", "budget_clear", "yield_clear"])
    high = st.fixed_dictionaries(dict.fromkeys(uuids, st.just(400_000)))
    return st.one_of(
        st.fixed_dictionaries({"op": st.just("lease"), "limits_mw": vector | high, "ttl_s": TTLS}),
        st.fixed_dictionaries(
            {
                "op": st.just("budget_set"),
                "budget_mw": st.integers(1_300_000, 2_100_000),
                "fixed_mw": st.sampled_from([1_000_000, 1_000_000, 0, -1]),
                "safe_caps_mw": part,
            }
        ),
        st.fixed_dictionaries({"op": st.just("lease"), "limits_mw": vector, "ttl_s": TTLS, "clocks_mhz": clocks}),
        st.fixed_dictionaries({"op": st.just("lease"), "limits_mw": part, "ttl_s": TTLS}),
        st.fixed_dictionaries({"op": op}),
        st.fixed_dictionaries({"op": st.sampled_from(["lock_again", "yield_clear"]), "uuids": st.just(uuids)}),
    )


@st.composite
def packet(draw: st.DrawFn, uuids: list[str]) -> bytes:
    """A request as bytes: as it should be, with fields spoilt, with bytes battered, or nothing of the kind."""
    match draw(st.integers(0, 10)):
        case 0:
            return draw(st.binary(min_size=1, max_size=64))
        case 1:
            return b"\x91" * draw(st.integers(1, 3000)) + draw(st.binary(max_size=4))  # nested
        case 2:
            return bytes(msgpack.packb(draw(VALUES)))
        case 3:
            return draw(battered(wire.encode(draw(valid(uuids)))))
        case 10:
            return nested(wire.encode(draw(valid(uuids))), draw(DEPTHS))
        case 4 | 5:
            return bytes(msgpack.packb(draw(spoilt({"v": wire.VERSION, **draw(valid(uuids))}))))
        case _:
            return wire.encode(draw(valid(uuids)))


def nested(request: bytes, depth: int) -> bytes:
    """A request with one field more, of lists within one another: deeper than a packer would go."""
    return bytes([request[0] + 1]) + request[1:] + msgpack.packb("x") + b"\x91" * depth + b"\x00"


@contextlib.contextmanager
def depth_of_a_warden() -> Iterator[None]:
    """Let calls go as deep as in a process of its own: Hypothesis has raised that by far."""
    raised = sys.getrecursionlimit()
    sys.setrecursionlimit(sum(1 for _ in traceback.walk_stack(None)) + 1000)
    try:
        yield
    finally:
        sys.setrecursionlimit(raised)


class World:
    """A host for as long as a run takes; each example has a warden and a state directory of its own."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="fuzz"))
        self._made = 0
        self.audit = Audit(self._directory / "audit")
        self.callers = Callers(Rights(frozenset({0})), Config(), self.audit)
        self._open()

    def _open(self) -> None:
        self._made += 1
        host = simulated.create(self._directory, f"h{self._made}", gpus=GPUS, clock="virtual")
        os.environ["EAGENT_SIM_HOST"] = str(host.plant)
        self.rig = Rig(SimHost(host.name, host.path, {}), GPUS, None, False, 0, "respect")
        for gpu, watts in enumerate(OWNERS_W):
            self.rig.plant.set_power_limit(gpu, watts)

    def close(self) -> None:
        self.rig.die()
        self.rig.plant.close()
        self.audit.close()
        shutil.rmtree(self._directory)

    def fresh(self) -> Rig:
        """The host as its owner had it, and a warden that has just begun."""
        self.rig.die()
        self.rig.plant.close()
        simulated.delete(self._directory, f"h{self._made}")
        self._open()
        self.rig.start()
        return self.rig


def play(world: World, data: st.DataObject) -> None:
    """One example: packets and time, and after each of them a look into the driver's log."""
    rig = world.fresh()
    uuids = [device.uuid for device in rig.warden.devices]
    owners_mw = [round(watts * 1000) for watts in OWNERS_W]
    referee = Referee(uuids, 100_000, 400_000, list(owners_mw), owners_mw)
    seen = len(rig.plant.limit_log())
    for _ in range(data.draw(st.integers(2, 8), "packets")):
        sent = data.draw(packet(uuids), "packet")
        now_s = rig.now_s
        asker = data.draw(ASKERS, "asker")
        with depth_of_a_warden():
            reply = dispatch(rig.warden, sent, rig.now_ns, asker, world.callers)
        assert len(wire.encode(reply)) <= wire.MESSAGE_MAX_BYTES
        assert world.audit.problem is None, world.audit.problem
        if reply["ok"]:
            assert asker.role is Role.OPERATOR or "budget_" not in str(msgpack.unpackb(sent)["op"])
            referee.accept(msgpack.unpackb(sent), reply, now_s)
        else:
            check_line(reply["error"], ERROR_MAX)
            assert "failed on this request" not in reply["error"], "the decoder raised something that it does not know"
        rig.step(data.draw(st.sampled_from([0.05, 0.2, 0.4, 1.2, 4.0]), "seconds"))
        rig.warden.tick(rig.now_ns)
        log = rig.plant.limit_log()
        for at_s, gpu, _, new_w, _ in log[seen:]:
            referee.judge(at_s, gpu, round(new_w * 1000))
        seen = len(log)
        referee.stand(rig.now_s)
        for gpu in range(GPUS):
            ceiling_mhz = rig.plant.view(gpu)["locked_max_mhz"]
            assert ceiling_mhz == 0 or 210 <= ceiling_mhz <= 1410, f"a clock was locked at {ceiling_mhz} MHz"


def target() -> tuple[Any, Any]:
    """The property, and what to close after it."""
    world = World()

    @given(st.data())
    def any_packets_leave_only_covered_writes(data: st.DataObject) -> None:
        play(world, data)

    return any_packets_leave_only_covered_writes, world.close
