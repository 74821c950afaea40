"""What `eagent explain` says of a search, as a person reads it."""

from __future__ import annotations

from eagent.cli.explain import sentences
from eagent.policy.search.telling import told
from tests.policy.search.world import World

SECOND_NS = 1_000_000_000
NEWLY = {"device": "gpu0", "knobs": []}


def test_a_gpu_that_is_left_alone_is_told_with_the_reason() -> None:
    assert sentences({**NEWLY, "efficiency": {"left_alone": "several jobs share it"}})[1:] == [
        "  efficiency: several jobs share it"
    ]


def test_an_older_agent_tells_nothing_of_it() -> None:
    assert sentences(NEWLY) == ["gpu0"]


def test_the_curve_is_told_with_its_errors_and_what_is_left_to_spend() -> None:
    world = World(beta=0.5, bound=0.05)
    known = told(world.run(600), round(world.time_s * SECOND_NS))
    lines = sentences({**NEWLY, "efficiency": {"left_alone": None, **known}})
    assert "may take 5.0% longer in all" in lines[1]
    assert any("1410 MHz: 3.333 steps/s at 300 W, +0.0%" in line for line in lines)
    assert all("+-" in line for line in lines if "steps/s" in line)
