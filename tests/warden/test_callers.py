from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eagent import wire
from eagent.access import WARDEN, Rights, Role
from eagent.audit import Audit, read
from eagent.config import Config, Mesh
from eagent.errors import RefusedError
from eagent.model import Budget
from eagent.peer import Peer
from eagent.warden.callers import BURST, Caller, Callers
from eagent.warden.server import dispatch

MakeRig = Callable[..., Any]
ROOT, AGENT, STRANGER = Peer(1, 0, 0), Peer(2, 990, 990), Peer(3, 1000, 1000)
RIGHTS = Rights(frozenset({0}), agents=frozenset({990}))
MESH = Config(fixed_w=200.0, mesh=Mesh(("rack",), "00" * 32, 700.0, 1000.0))
WHOLE = st.integers(-(2**40), 2**40)


def meet(peer: Peer, config: Config | None = None, others: int = 0) -> Caller:
    caller = Callers(RIGHTS, config or Config()).meet(peer, others, 0)
    assert caller is not None
    return caller


def test_strangers_and_connections_without_end_are_turned_away_and_root_never_is() -> None:
    callers = Callers(RIGHTS, Config())
    assert callers.meet(STRANGER, 0, 0) is None
    assert callers.meet(AGENT, 3, 0) is not None
    assert callers.meet(AGENT, 4, 0) is None
    assert callers.meet(ROOT, 15, 0) is not None


@pytest.mark.parametrize("op", WARDEN)
def test_the_agent_may_what_the_table_says(op: str) -> None:
    caller = meet(AGENT)
    if WARDEN[op] <= Role.AGENT:
        caller.check({"op": op}, 0)
    else:
        with pytest.raises(RefusedError, match="is for operators"):
            caller.check({"op": op}, 0)
    meet(ROOT).check({"op": op}, 0)


@pytest.mark.parametrize("op", ["detonate", "", 7, None, ["lease"]])
def test_what_is_in_no_table_is_refused(op: object) -> None:
    with pytest.raises(RefusedError, match="no table"):
        meet(AGENT).check({"op": op}, 0)


@given(st.text(max_size=50))
def test_a_refusal_is_one_line_whatever_was_asked_for(op: str) -> None:
    with pytest.raises(RefusedError) as refused:
        meet(AGENT).check({"op": f"x{op}"}, 0)
    assert str(refused.value).isprintable()


def test_an_agent_that_asks_without_end_is_refused_and_root_is_not() -> None:
    caller, root = meet(AGENT), meet(ROOT)
    for _ in range(int(BURST)):
        caller.check({"op": "status"}, 0)
        root.check({"op": "status"}, 0)
    with pytest.raises(RefusedError, match="too many"):
        caller.check({"op": "status"}, 0)
    root.check({"op": "status"}, 0)
    caller.check({"op": "status"}, 1_000_000_000)


@given(st.builds(Budget, st.floats(0, 5000), st.floats(0, 5000), st.just({})))
def test_in_a_mesh_an_agent_sets_no_budget_above_what_is_declared(budget: Budget) -> None:
    try:
        meet(AGENT, MESH).check({"op": "budget_set", **wire.pack_budget(budget)}, 0)
    except RefusedError:
        return
    assert budget.envelope_w <= 800.01
    assert budget.fixed_w >= 199.99


def test_in_a_mesh_an_agent_sets_a_budget_below_it_and_clears_none() -> None:
    caller = meet(AGENT, MESH)
    caller.check({"op": "budget_set", **wire.pack_budget(Budget(900.0, 200.0, {}))}, 0)
    with pytest.raises(RefusedError):
        caller.check({"op": "budget_clear"}, 0)


def test_hello_tells_a_caller_what_it_is(one_rig: Any) -> None:
    assert dispatch(one_rig.warden, wire.encode({"op": "hello"}), 0, meet(AGENT))["role"] == "agent"
    assert dispatch(one_rig.warden, wire.encode({"op": "hello"}), 0, meet(ROOT))["role"] == "operator"


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([*WARDEN, "restore", ""]),
    st.lists(WHOLE, min_size=2, max_size=2),
    st.fixed_dictionaries({}, optional={"budget_mw": WHOLE, "fixed_mw": WHOLE, "safe_caps_mw": st.just({})}),
)
def test_whatever_an_agent_asks_the_budget_stands_and_the_limits_keep_to_it(
    one_rig: Any, op: str, limits_mw: list[int], fields: dict[str, Any]
) -> None:
    uuids = [device.uuid for device in one_rig.warden.devices]
    packet = wire.encode({"op": op, "limits_mw": dict(zip(uuids, limits_mw, strict=True)), "ttl_s": 1.0, **fields})
    dispatch(one_rig.warden, packet, one_rig.now_ns, meet(AGENT))
    one_rig.step()
    assert one_rig.warden.budget == Budget(500.0, 0.0, {})
    assert sum(one_rig.limits_w()) <= 500
    assert all(100 <= limit_w <= 400 for limit_w in one_rig.limits_w())


def test_a_budget_and_refusals_are_kept_and_leases_are_not(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    callers = Callers(RIGHTS, Config(), audit)
    root, agent = meet(ROOT), meet(AGENT)
    budget = {"budget_mw": 5_000_000}
    callers.note(root, {"op": "budget_set", "why": "heat", "fixed_mw": 0}, {"ok": True}, None, budget)
    callers.note(agent, {"op": "lease", "limits_mw": {}}, {"ok": True}, None, None)
    callers.note(agent, {"op": "budget_clear"}, {"ok": False, "error": "no"}, budget, budget)
    callers.meet(STRANGER, 0, 0)
    audit.close()
    lines = {line["what"]: line for line in read(tmp_path)}
    assert set(lines) == {"warden budget_set", "warden budget_clear", "warden connect"}
    done = lines["warden budget_set"]
    assert (done["why"], done["asked"], done["before"], done["after"]) == (
        "heat",
        {"fixed_w": 0.0},
        {"budget": None},
        {"budget": budget},
    )
    assert lines["warden budget_clear"]["outcome"] == "not done: no"


@pytest.fixture
def one_rig(rig: MakeRig) -> Any:
    """A warden of two GPUs under a budget, for all examples of a test."""
    made = rig(gpus=2)
    dispatch(made.warden, wire.encode({"op": "budget_set", **wire.pack_budget(Budget(500.0, 0.0, {}))}), made.now_ns)
    for _ in range(3):
        made.step()
    assert sum(made.limits_w()) <= 500
    return made
