"""The next table of a domain: what was heard of is in it, and whoever reads tables takes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.cli.draft import Wish, draft
from eagent.errors import ConfigError, InputError
from eagent.mesh.table import MEMBERS_MAX, Member, Table, parse

WISH = Wish("rack7", 10_000_000, 700_000, 1_000_000)


def peer(host: str, *, age_s: float = 2.0, stale: bool = False, domain: str = "rack7", **told: Any) -> dict[str, Any]:
    standing = {"domain": domain, "life": f"{host[:8]}1", "epoch": 3, "duty": 0, **told}
    if not standing["life"].isalnum():
        standing["life"] = "a1"
    return {"host": host, "age_s": age_s, "stale": stale, "domains": [standing]}


def line(grant_w: float, life: str = "old", duty: int = 0) -> dict[str, Any]:
    return {"grant_w": grant_w, "life": life, "duty": duty}


def told(*peers: dict[str, Any], newest_epoch: int = 3, lines: dict[str, Any] | None = None) -> dict[str, Any]:
    own: dict[str, Any] = {"domain": "rack7", "newest_epoch": newest_epoch, "epoch": 3}
    if lines is not None:
        own["lines"] = lines
    return {"name": "n1", "simulated": False, "domains": [own], "peers": list(peers)}


def drafted(said: dict[str, Any], wish: Wish = WISH) -> Table:
    return parse(draft(said, wish), "draft")


def test_every_host_that_was_heard_of_gets_the_same_in_its_present_life() -> None:
    assert drafted(told(peer("n2"), peer("n1", duty=1), peer("n3"))) == Table(
        "rack7",
        4,
        10_000_000,
        1_000_000,
        {
            "n1": Member(700_000, 3_000_000, "n11", 1),
            "n2": Member(700_000, 3_000_000, "n21"),
            "n3": Member(700_000, 3_000_000, "n31"),
        },
    )


def test_the_text_is_what_a_person_signs() -> None:
    said = told(peer("n1", duty=2), peer("n2", stale=True, age_s=95), lines={"n1": line(3000), "n2": line(4000)})
    assert draft({**said, "simulated": True}, WISH).splitlines() == [
        "# A draft as n1 sees the mesh: check it, and sign it with `eagent mesh sign FILE --key KEY`.",
        "# SIMULATED: these are the lives of simulated hosts.",
        "# n2: last heard of 1m35s ago; its grant is kept, and until it seals this table nobody raises",
        'domain = "rack7"',
        "epoch = 4",
        "budget_mw = 10000000",
        "others_mw = 1000000",
        "",
        "[members.n1]",
        "reserve_mw = 700000",
        "grant_mw = 5000000",
        'life = "n11"',
        "duty = 2",
        "",
        "[members.n2]",
        "reserve_mw = 700000",
        "grant_mw = 4000000",
        'life = "n21"',
    ]


def test_a_share_is_rounded_down_to_the_milliwatt() -> None:
    grants = [
        each.grant_mw
        for each in drafted(told(peer("n1"), peer("n2"), peer("n3")), Wish("rack7", 10, 1)).members.values()
    ]
    assert grants == [3, 3, 3]


def test_a_stale_host_whose_grant_is_not_known_gets_what_all_get() -> None:
    said = told(peer("n1"), peer("n2", stale=True, age_s=7200))
    assert {each.grant_mw for each in drafted(said).members.values()} == {4_500_000}
    note = "# n2: last heard of 2h ago; its grant of before is not known, so it has that of all, and until it seals"
    assert note in draft(said, WISH)


def test_a_member_that_was_never_heard_of_keeps_its_line() -> None:
    said = told(peer("n1"), lines={"n1": line(2000), "n9": line(3000, "z9", 1), "n8": line(600)})
    assert drafted(said).members == {
        "n1": Member(700_000, 5_300_000, "n11"),
        "n8": Member(700_000, 700_000, "old"),  # its reserve, at least
        "n9": Member(700_000, 3_000_000, "z9", 1),
    }
    assert "# n9: not heard of; its grant is kept" in draft(said, WISH)


def test_the_epoch_is_above_any_that_was_heard_of() -> None:
    assert drafted(told(peer("n1"), newest_epoch=8)).epoch == 9  # one that was signed and is refused here, say
    assert drafted(told(peer("n1"), peer("n2", epoch=11))).epoch == 12


def test_hosts_of_other_domains_and_of_none_are_left_out() -> None:
    said = told(peer("n1"), peer("n2", domain="rack8"), {"host": "power", "age_s": 1, "stale": False, "domains": []})
    assert set(drafted(said).members) == {"n1"}


@pytest.mark.parametrize(
    ("duty", "tokens"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 0, 1]), (5, [3, 0, 2]), (None, [0, 1, 4])]
)
def test_tokens_are_spread_over_the_first_hosts_that_are_heard_or_stay(duty: int | None, tokens: list[int]) -> None:
    said = told(peer("n1"), peer("n2", stale=True, duty=1), peer("n3", duty=4))
    table = drafted(said, Wish("rack7", 10_000_000, 700_000, duty=duty))
    assert [each.duty for each in table.members.values()] == tokens


def test_a_budget_that_is_too_small_for_the_reserves_is_one_clear_line() -> None:
    said = told(peer("n1"), peer("n2"), peer("n3", stale=True), lines={"n3": line(4000)})
    with pytest.raises(InputError) as refusal:
        draft(said, Wish("rack7", 6_399_999, 700_000, 1_000_000))
    assert str(refusal.value) == (
        "a budget of 6400 W is too small for rack7: 2 reserves of 700 W + 1000 W of others + 4000 W kept by hosts "
        "that are not heard of are 6400 W"
    )
    assert drafted(said, Wish("rack7", 6_400_000, 700_000, 1_000_000)).members["n1"].grant_mw == 700_000


@pytest.mark.parametrize(
    ("said", "line_"),
    [
        ({**told(), "domains": []}, "n1 is not in domain 'rack7': it has not joined the mesh"),
        (told(), "rack7: no host was heard of yet"),
        ({**told(), "domains": [{"domain": "rack8"}, {"domain": "site"}]}, "it is in rack8, site"),
    ],
)
def test_without_the_domain_or_a_host_it_says_why(said: dict[str, Any], line_: str) -> None:
    with pytest.raises(InputError, match=re.escape(line_)):
        draft(said, WISH)


def test_more_hosts_than_a_table_takes_are_refused() -> None:
    with pytest.raises(ConfigError, match="members; must be from 1 to"):
        draft(told(*(peer(f"n{n}") for n in range(MEMBERS_MAX + 1))), Wish("rack7", 10**12, 1))


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
AMOUNTS = st.integers(1, 10**9)


@given(
    st.dictionaries(NAMES, st.tuples(st.booleans(), st.integers(0, 3), st.none() | AMOUNTS), min_size=1, max_size=9),
    AMOUNTS,
    AMOUNTS,
    st.integers(0, 10**9),
    st.none() | st.integers(0, 50),
)
def test_any_draft_is_a_table_that_holds(
    hosts: dict[str, tuple[bool, int, int | None]], budget_mw: int, reserve_mw: int, others_mw: int, duty: int | None
) -> None:
    peers = [peer(host, stale=stale, duty=tokens) for host, (stale, tokens, _) in hosts.items()]
    lines = {host: line(grant / 1000) for host, (*_, grant) in hosts.items() if grant is not None}
    wish = Wish("rack7", budget_mw * 10, reserve_mw, others_mw, duty)
    try:
        table = drafted(told(*peers, lines=lines), wish)
    except InputError:
        assert wish.budget_mw < others_mw + sum(
            max(reserve_mw, grant or 0) if stale else reserve_mw for stale, _, grant in hosts.values()
        )
        return
    assert set(table.members) == set(hosts)
    assert table.duty == (sum(tokens for _, tokens, _ in hosts.values()) if duty is None else duty)
    total_mw = others_mw + sum(each.grant_mw for each in table.members.values())
    kept = [host for host, (stale, _, grant) in hosts.items() if stale and grant is not None]
    assert total_mw > wish.budget_mw - len(hosts) or len(kept) == len(hosts)


def test_the_verb_prints_the_text_and_nothing_else(eagent: Callable[..., Any], agent: Any) -> None:
    agent.meshed = told(peer("n1"), peer("n2"))
    said = eagent("mesh", "draft", "rack7", "--budget", "4000kW", "--reserve", "0.7kW", "--others", "0")
    assert (said.code, said.err) == (0, "")
    assert parse(said.out, "draft").members["n1"] == Member(700_000, 2_000_000_000, "n11")
    tokens = eagent("mesh", "draft", "rack7", "--budget=9kW", "--reserve=700", "--others=1kW", "--duty=1").out
    assert [each.duty for each in parse(tokens, "draft").members.values()] == [1, 0]


def test_the_verb_says_what_it_can_not_do_in_one_line(eagent: Callable[..., Any], agent: Any) -> None:
    agent.meshed = told(peer("n1"), peer("n2"))
    assert eagent("mesh", "draft", "rack7", "--budget=1kW", "--reserve=700") == (
        1,
        "",
        "eagent: a budget of 1000 W is too small for rack7: 2 reserves of 700 W + 0 W of others are 1400 W\n",
    )
    for words in (("--budget=1kW",), ("--budget=1kW", "--reserve=1", "--duty=x"), ("--budget=0", "--reserve=1")):
        said = eagent("mesh", "draft", "rack7", *words)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
