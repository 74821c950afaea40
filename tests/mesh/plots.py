"""Beginnings that lead a world to where chance alone seldom goes. Each is a few scenes, with chance between them.

A plot knows no rule and expects nothing: it brings about an order of events that is possible, and the world looks.
"""

# ruff: noqa: ARG001  # every plot is given the same
from __future__ import annotations

from collections.abc import Callable, Iterator

from eagent.mesh.state import Lot
from tests.mesh.site import W
from tests.mesh.world import RULES, SITE, Rules, World

Scenes = Iterator[None]


def play(seed: int, rules: Rules = RULES, steps: int = 100) -> World:
    """A world with the plot that its seed has, and then so many steps of chance.

    Raises:
        BreachError: a promise was broken on the way.
    """
    world = World(seed, rules)
    hosts = [name for name, box in world.boxes.items() if box.on]
    world.rng.shuffle(hosts)
    for _ in world.rng.choice(PLOTS)(world, *hosts[:3]):
        world.check()
        world.run(world.rng.choice((0, 0, 0, 0, 1, 3)))
    world.run(steps)
    return world


def chance(world: World, *hosts: str) -> Scenes:
    """Nothing in particular."""
    yield


def ended_life(world: World, one: str, two: str, three: str = "") -> Scenes:
    """One seals and is heard, dies, and is back in the old epoch through another, which gives to it and then seals."""
    yield from trade(world)
    sign(world)
    inform(world, one)
    if three:
        world.hear(three, [one], tables=0)
    yield
    world.cut(one)
    if world.rng.random() < 0.5:
        world.hear("power", world.boxes)
        world.certify()
    yield
    rejoin(world, one, two)
    yield
    transfer(world, two, one)
    yield
    inform(world, two)
    yield
    if three:
        inform(world, three)
        world.hear(three, [two])
        world.settle(three)
    yield
    meet(world, [two, three] if three else [two])


def skipped_epoch(world: World, one: str, two: str, three: str = "") -> Scenes:
    """Two tables at once: one host hears of the second only, the others of the first."""
    yield from trade(world)
    sign(world)
    sign(world)
    inform(world, one)
    yield
    others = [name for name in (two, three) if name]
    for name in others:
        world.tell(name, max(world.truths[SITE].tables) - 1)
        world.settle(name)
    yield
    for name in others:
        world.hear(name, world.boxes, tables=0)
        world.settle(name)
    yield
    for name in others:
        world.hear(name, world.boxes, tables=0)
        world.settle(name)


def unreachable(world: World, one: str, two: str, three: str = "") -> Scenes:
    """A host is given watts, cut off and charged; who gave them may die and come back."""
    world.give(two, {one: Lot(W)})
    world.settle(two)
    yield
    if world.rng.random() < 0.6:
        world.crash(two, loses_disk=True)
        world.settle(two)
        if world.rng.random() < 0.6:
            world.tell(two)
            world.settle(two)
            world.hear(two, world.boxes)
            world.settle(two)
    yield
    world.part({one})
    sign(world, charged={one})
    for name in [name for name in (two, three) if name]:
        inform(world, name)
    yield
    meet(world, [name for name in world.boxes if name != one])
    yield
    world.arrive(two, one)
    world.settle(one)


def unreachable_pair(world: World, one: str, two: str, three: str = "") -> Scenes:
    """Two hosts are cut off together and charged; they trade, and one of them comes back."""
    world.part({one, two})
    yield
    transfer(world, one, two)
    yield
    sign(world, charged={one, two})
    rest = [name for name in world.boxes if name not in (one, two)]
    for name in rest:
        inform(world, name)
    meet(world, rest)
    yield
    world.part(set())
    inform(world, one)
    meet(world, [one, *rest])


def twice_taken(world: World, one: str, two: str, three: str = "") -> Scenes:
    """A host passes on what it was given, dies, comes back, and the gift arrives again."""
    transfer(world, two, one)
    yield
    transfer(world, one, three or two)
    yield
    world.cut(one)
    rejoin(world, one, two)
    yield
    world.arrive(two, one)
    world.settle(one)


def handed_over(world: World, one: str, two: str, three: str = "") -> Scenes:
    """A host gives its tokens away and sleeps; who took them dies on the way, and comes back."""
    core = world.boxes[one].parts[SITE].core
    state = core.state if core is not None else None
    world.give(one, {two: Lot(W, state.duty.held if state is not None else 0)})
    world.settle(one)
    yield
    world.arrive(one, two)
    for to, sender, domain, what in list(world.bags.get(_receipt(), [])):
        if (to, sender) == (one, two):
            world._hand(to, sender, domain, what)
    yield
    world.crash(two, loses_disk=world.rng.random() < 0.3)
    yield
    world.sleep(one)


def left_behind(world: World, one: str, two: str, three: str = "") -> Scenes:
    """A host that no table lists any more, and has not heard so, trades with one that has forgotten."""
    for _ in range(3):
        transfer(world, two, one)
        transfer(world, three or two, one)
    world.give(three or two, {one: Lot(W)})
    world.settle(three or two)
    yield
    world.part({one})
    world.sign(SITE, [name for name, box in world.boxes.items() if box.starts and name != one], set())
    rest = [name for name in world.boxes if name != one]
    for name in rest:
        inform(world, name)
    meet(world, rest)
    yield
    world.cut(two)
    world.part({one, two})
    rejoin(world, two, one)
    world.hear(one, [two], tables=0)
    yield
    transfer(world, one, two)
    world.arrive(three or two, one)
    world.settle(one)


def interrupted(world: World, one: str, two: str, three: str = "") -> Scenes:
    """A host dies in the middle of giving, and goes on with what it had stored; what it said by then arrives."""
    world.give(one, {two: Lot(W)})
    for _ in range(world.rng.randrange(3)):
        part = world.boxes[one].parts[SITE]
        if part.todo:
            world._complete(world.boxes[one], SITE)
    world.crash(one)
    yield
    world.arrive(one, two)
    world.settle(two)
    yield
    world.settle(one)


def late_gift(world: World, one: str, two: str, three: str = "") -> Scenes:
    """A gift arrives in the next epoch."""
    world.give(one, {two: Lot(W)})
    world.settle(one)
    sign(world)
    for name in world.boxes:
        inform(world, name)
    yield
    meet(world, list(world.boxes))
    yield
    world.arrive(one, two)
    world.settle(two)


PLOTS: tuple[Callable[..., Scenes], ...] = (
    chance,
    chance,
    ended_life,
    skipped_epoch,
    unreachable,
    unreachable_pair,
    twice_taken,
    handed_over,
    left_behind,
    interrupted,
    late_gift,
)

# --- What plots are made of ---


def trade(world: World) -> Scenes:
    """A few gifts."""
    for _ in range(world.rng.randrange(3)):
        giver, taker = world.rng.sample(list(world.boxes), 2)
        transfer(world, giver, taker)
        yield


def transfer(world: World, giver: str, taker: str) -> None:
    """A gift, taken and raised to."""
    core = world.boxes[giver].parts[SITE].core if SITE in world.boxes[giver].parts else None
    if core is not None and world.give(giver, {taker: Lot(world.rng.choice((W, core.spare_mw)))}):
        world.settle(giver)
        world.arrive(giver, taker)
        world.settle(taker)


def sign(world: World, charged: set[str] | None = None) -> None:
    """A table for all that have been on."""
    world.sign(SITE, [name for name, box in world.boxes.items() if box.starts], charged or set())


def inform(world: World, name: str) -> None:
    """A host hears of the newest table and seals it."""
    world.tell(name)
    world.settle(name)


def rejoin(world: World, name: str, through: str) -> None:
    """A host that is off comes on, and hears of the epoch that another is in."""
    world.boot(name)
    world.settle(name)
    world.hear(name, [through], tables=1)
    world.settle(name)
    world.hear(name, [through])
    world.settle(name)
    world.hear(through, [name], tables=0)


def meet(world: World, names: list[str]) -> None:
    """Hosts hear of each other until nothing new comes of it."""
    for _ in range(2):
        for name in names:
            world.hear(name, names)
            world.settle(name)


def _receipt() -> type:
    from eagent.mesh.messages import Receipt

    return Receipt
