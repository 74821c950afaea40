"""The small world once more; what happens is decided by Hypothesis, which looks for the shortest way to a breach."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eagent.mesh.state import Lot
from tests.mesh.plots import meet, rejoin, sign
from tests.mesh.world import SITE, W, World

NAMES = st.sampled_from("abcdn")


class AnyWorld(RuleBasedStateMachine):
    """What a world can do, to hosts that Hypothesis chooses."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.world = World(seed)

    def has(self, *names: str) -> bool:
        return all(name in self.world.boxes for name in names) and len(set(names)) == len(names)

    @rule(
        giver=NAMES, taker=NAMES, lot=st.builds(Lot, st.integers(0, 4).map(lambda watts: watts * W), st.integers(0, 1))
    )
    def give(self, giver: str, taker: str, lot: Lot) -> None:
        if self.has(giver, taker):
            self.world.give(giver, {taker: lot})

    @rule(giver=NAMES, taker=NAMES)
    def arrive(self, giver: str, taker: str) -> None:
        if self.has(giver, taker):
            self.world.arrive(giver, taker)

    @rule(name=NAMES)
    def settle(self, name: str) -> None:
        if self.has(name):
            self.world.settle(name)

    @rule(to=NAMES, sender=NAMES, tables=st.integers(0, 1))
    def hear(self, to: str, sender: str, tables: int) -> None:
        if self.has(to, sender):
            self.world.hear(to, [sender], tables=tables)

    @rule(names=st.sets(NAMES))
    def meet(self, names: set[str]) -> None:
        meet(self.world, sorted(name for name in names if self.has(name)))

    @rule(charged=st.sets(NAMES, max_size=2))
    def sign(self, charged: set[str]) -> None:
        sign(self.world, charged)

    @rule(to=NAMES)
    def tell(self, to: str) -> None:
        if self.has(to):
            self.world.tell(to)
            self.world.settle(to)

    @rule()
    def look_who_is_off(self) -> None:
        self.world.hear("power", self.world.boxes)
        self.world.certify()

    @rule(name=NAMES, loses_disk=st.booleans())
    def crash(self, name: str, loses_disk: bool) -> None:
        if self.has(name) and SITE in self.world.boxes[name].parts:
            self.world.crash(name, loses_disk=loses_disk)

    @rule(name=NAMES)
    def cut(self, name: str) -> None:
        if self.has(name):
            self.world.cut(name)

    @rule(name=NAMES, through=NAMES)
    def come_back(self, name: str, through: str) -> None:
        if self.has(name, through):
            rejoin(self.world, name, through)

    @rule(name=NAMES)
    def sleep(self, name: str) -> None:
        if self.has(name):
            self.world.sleep(name)

    @precondition(lambda self: hasattr(self, "world"))
    @rule()
    def chance(self) -> None:
        self.world.run(3)

    @invariant()
    def the_budget_holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check()


TestAnyWorld = AnyWorld.TestCase
TestAnyWorld.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
