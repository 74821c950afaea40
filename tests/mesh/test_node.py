import random
from dataclasses import replace
from typing import Any

from eagent.errors import RefusedError
from eagent.mesh.effects import Effect, Lower, Raise, Send, Store
from eagent.mesh.epoch import Stage
from eagent.mesh.ledger import Ledger
from eagent.mesh.messages import Ask, Delta, Digest, Document, Gift
from eagent.mesh.node import ASK_PERIOD_NS, POWER_STEP_W, YIELD_NS, Node, Observation
from eagent.mesh.records import Power
from eagent.mesh.state import Host, State
from eagent.mesh.table import Table
from eagent.mesh.trade import Terms

S = 1_000_000_000
TERMS = Terms(headroom_mw=1, band_mw=1, lot_mw=1)


def node(name: str, tables: dict[int, Table], *, seed: int = 1) -> Node:
    def read(document: Document) -> Table:
        if document.content != b"signed":
            raise RefusedError("not signed")
        return tables[document.number]

    return Node(name, [Host(name, "d", 2, 50)], f"{name}9", "ab", random.Random(seed), 1, read, TERMS)


class Pair:
    """Two nodes, whose shells complete everything at once, and a network without loss."""

    def __init__(self, mesh: Any, **grants: int) -> None:
        self.tables = {1: mesh.table(1, **grants)}
        self.nodes = {name: node(name, self.tables) for name in grants}
        self.now_ns = 0
        self.log: list[tuple[str, Effect]] = []
        for name, each in self.nodes.items():
            state = mesh.open(self.tables[1], name)
            self.do(name, each.start(0, {"d": state}, {"d": state.watts.held}))

    def do(self, name: str, effects: list[Effect]) -> None:
        for effect in effects:
            self.log.append((name, effect))
            if isinstance(effect, Send):
                if effect.peer in self.nodes:
                    self.do(effect.peer, self.nodes[effect.peer].on_message(self.now_ns, name, effect.message))
            elif isinstance(effect, Lower | Store | Raise):
                self.do(name, self.nodes[name].done(self.now_ns, effect))

    def run(self, rounds: int) -> None:
        for _ in range(rounds):
            self.now_ns += S
            for name, each in self.nodes.items():
                self.do(name, each.on_tick(self.now_ns))

    def rights(self) -> dict[str, int]:
        states = {name: each.escrows["d"].state for name, each in self.nodes.items()}
        return {name: state.watts.held for name, state in states.items() if isinstance(state, State)}


def test_watts_go_to_whom_needs_them_and_stay_there(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.nodes["a"].observe(Observation(5))
    pair.nodes["b"].observe(Observation(30))
    pair.run(10)
    assert pair.rights() == {"a": 9, "b": 31}
    before = len([effect for _, effect in pair.log if isinstance(effect, Store)])
    pair.run(30)
    assert len([effect for _, effect in pair.log if isinstance(effect, Store)]) == before


def test_when_all_are_short_each_gets_its_grant_back(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    for needs in ((5, 30), (30, 30)):
        for name, need in zip("ab", needs, strict=True):
            pair.nodes[name].observe(Observation(need))
        pair.run(20)
    assert pair.rights() == {"a": 20, "b": 20}
    before = len([effect for _, effect in pair.log if isinstance(effect, Store)])
    pair.run(30)
    assert len([effect for _, effect in pair.log if isinstance(effect, Store)]) == before


def test_no_claim_reaches_into_what_a_host_may_draw_without_asking(mesh: Any) -> None:
    pair = Pair(mesh, a=8, b=20)
    core = pair.nodes["a"].escrows["d"]
    core.host = replace(core.host, reserve_mw=10)  # raised above its grant since the table was signed
    core.state = replace(core.state, watts=Ledger(12))
    shrunk = pair.nodes["b"].escrows["d"]
    shrunk.state = replace(shrunk.state, watts=Ledger(10))
    for each in pair.nodes.values():
        each.observe(Observation(30))
    pair.run(20)
    assert pair.rights()["a"] >= 10


def test_who_finds_no_offer_asks_as_soon_as_there_is_one(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    for each in pair.nodes.values():
        each.observe(Observation(30))
    pair.run(6)
    pair.nodes["a"].observe(Observation(5))
    pair.run(3)  # a round to tell it, one to ask, one to give
    assert pair.rights() == {"a": 9, "b": 31}


def test_watts_come_back_when_needs_change(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    for needs in ((5, 30), (30, 5)):
        for name, need in zip("ab", needs, strict=True):
            pair.nodes[name].observe(Observation(need))
        pair.run(20)
    assert pair.rights()["a"] == 31
    assert sum(pair.rights().values()) == 40


def test_nobody_asks_twice_before_an_answer_is_due(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.run(1)
    pair.nodes["b"].observe(Observation(30))
    del pair.nodes["a"]  # which offers, and does not answer any more
    pair.log.clear()
    pair.run(2 * ASK_PERIOD_NS // S)
    asks = [effect for _, effect in pair.log if isinstance(effect, Send) and isinstance(effect.message, Ask)]
    assert len(asks) == 2


def test_a_host_that_would_sleep_hands_over_all_and_says_so(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.run(2)
    b = pair.nodes["b"]
    b.observe(Observation(30, power=Power.YIELDING, devices=8, busy=0, asleep=("c",)))
    assert b.why_not_yielded(pair.now_ns) == "d: it holds 0.018 W above its reserve"
    pair.run(2)
    assert pair.rights() == {"a": 38, "b": 2}
    assert b.why_not_yielded(pair.now_ns) == "others may not have heard yet that it would sleep"
    pair.run(YIELD_NS // S)
    assert b.why_not_yielded(pair.now_ns) is None
    payload = pair.nodes["a"].gossip.records["b"].record.payload
    assert (payload.power, payload.demands, payload.devices, payload.asleep) == (Power.YIELDED, (), 8, ("c",))
    b.observe(Observation(30))
    assert b.why_not_yielded(pair.now_ns) == "its policies want it awake"
    pair.run(8)
    assert pair.rights()["b"] == 31
    assert pair.nodes["a"].gossip.records["b"].record.payload.power is Power.AWAKE


def test_when_both_would_sleep_only_the_second_does_and_nothing_goes_to_and_fro(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.run(2)
    for each in pair.nodes.values():
        each.observe(Observation(0, power=Power.YIELDING))
    pair.run(20)
    powers = {name: each.gossip.records[name].record.payload.power for name, each in pair.nodes.items()}
    assert powers == {"a": Power.YIELDING, "b": Power.YIELDED}
    why = "d: no other host is known to stay awake, and it holds 0.036 W above its reserve"
    assert pair.nodes["a"].why_not_yielded(pair.now_ns) == why
    before = len([effect for _, effect in pair.log if isinstance(effect, Store)])
    pair.run(30)
    assert len([effect for _, effect in pair.log if isinstance(effect, Store)]) == before


def test_two_that_have_nothing_to_give_do_not_both_yield_because_each_took_the_other_for_awake(mesh: Any) -> None:
    pair = Pair(mesh, a=2, b=2)
    pair.run(2)
    for each in pair.nodes.values():
        each.observe(Observation(0, power=Power.YIELDING))
    for _ in range(40):
        pair.run(1)
        assert pair.nodes["a"].gossip.records["a"].record.payload.power is not Power.YIELDED
    assert pair.nodes["b"].gossip.records["b"].record.payload.power is Power.YIELDED


def test_a_host_does_not_count_on_one_that_it_has_not_heard_of_for_long(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.run(2)
    a = pair.nodes.pop("a")
    pair.now_ns += 70 * S
    pair.nodes["b"].observe(Observation(0, power=Power.YIELDING))
    pair.run(3)
    assert pair.rights() == {"b": 20}
    assert "no other host" in str(pair.nodes["b"].why_not_yielded(pair.now_ns))
    pair.nodes["a"] = a
    pair.run(3)
    assert pair.rights() == {"a": 38, "b": 2}


def test_who_leaves_the_roster_is_talked_to_no_more(mesh: Any) -> None:
    a = Pair(mesh, a=20, b=20).nodes["a"]
    a.set_peers("a")
    assert [effect for effect in a.on_tick(S) if isinstance(effect, Send)] == []


def test_a_table_reaches_all_through_gossip_and_opens(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.tables[2] = mesh.table(2, a=30, b=5)
    assert pair.nodes["a"].add(Document("table:d", 2, b"signed"))
    pair.run(12)
    for each in pair.nodes.values():
        state = each.escrows["d"].state
        assert state is not None
        assert (state.epoch, state.stage) == (2, Stage.OPEN)
    assert sum(pair.rights().values()) == 35


def test_a_document_that_can_not_be_trusted_goes_nowhere(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.tables[2] = mesh.table(2, a=30, b=5)
    assert not pair.nodes["a"].add(Document("table:d", 2, b"forged"))
    pair.run(5)
    assert pair.nodes["b"].gossip.documents == {}


def test_messages_of_another_domain_are_ignored(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    for message in (Gift("x", 1, "b1", "a1", 5), Ask("x", 1, "b1", 5)):
        assert pair.nodes["a"].on_message(0, "b", message) == []


def test_an_ask_of_a_life_that_is_not_known_is_not_served(mesh: Any) -> None:
    pair = Pair(mesh, a=20, b=20)
    pair.run(2)
    pair.nodes["a"].on_message(pair.now_ns, "b", Ask("d", 1, "b7", 5))
    pair.run(1)
    assert pair.rights() == {"a": 20, "b": 20}


def test_a_small_change_of_power_is_not_told(mesh: Any) -> None:
    a = Pair(mesh, a=20, b=20).nodes["a"]
    for power_w, told_w in [(100.0, 100.0), (100.0 + POWER_STEP_W / 2, 100.0), (100.0 + POWER_STEP_W, 110.0)]:
        a.observe(Observation(5, power_w, None, Power.AWAKE))
        a.on_tick(0)
        assert a.gossip.records["a"].record.payload.power_w == told_w
    a.observe(Observation(5))
    a.on_tick(0)
    assert a.gossip.records["a"].record.payload.power_w is None


def test_a_tick_begins_an_exchange(mesh: Any) -> None:
    a = Pair(mesh, a=20, b=20).nodes["a"]
    sends = [effect for effect in a.on_tick(S) if isinstance(effect, Send)]
    assert [type(send.message) for send in sends] == [Digest]
    assert a.on_message(S, "b", Delta()) == []


def test_a_host_in_two_domains_keeps_two_accounts(mesh: Any) -> None:
    rack, site = mesh.table(1, a=9, b=5), Table("s", 1, 50, 0, mesh.table(1, a=7, b=5).members)
    hosts = [Host("a", "d", 2, 50), Host("a", "s", 2, 50)]
    a = Node("a", hosts, "a9", "ab", random.Random(1), 1, lambda _: rack, TERMS)
    stored = {"d": mesh.open(rack, "a"), "s": mesh.open(site, "a")}
    a.start(0, stored, {"d": 9, "s": 7})
    a.on_tick(0)
    payload = a.gossip.records["a"].record.payload
    assert {each.domain: each.rights_mw for each in payload.standings} == {"d": 9, "s": 7}
