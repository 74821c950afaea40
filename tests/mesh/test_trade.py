from hypothesis import given
from hypothesis import strategies as st

from eagent.mesh.state import Lot
from eagent.mesh.trade import Heir, Terms, asks, bequests, heirs, lots, offers_mw, wants_mw

TERMS = Terms(headroom_mw=100, band_mw=80, lot_mw=20, asked_max=3)
MW = st.integers(0, 2000)
PARTNERS = st.dictionaries(st.sampled_from("abcdef"), st.builds(Heir, MW, MW, st.integers(0, 2), st.booleans()))
BOOK = st.dictionaries(st.sampled_from("abcdef"), MW)


@given(MW, MW, MW)
def test_nobody_wants_and_offers_at_once(rights: int, need: int, nameplate: int) -> None:
    assert not (wants_mw(rights, need, nameplate, TERMS) and offers_mw(rights, rights, need, nameplate, TERMS))


@given(MW, MW, MW)
def test_who_has_given_does_not_ask_back_and_who_has_taken_not_give_back(rights: int, need: int, spare: int) -> None:
    offered = offers_mw(rights, min(spare, rights), need, 10**6, TERMS)
    if offered:
        assert wants_mw(rights - offered, need, 10**6, TERMS) == 0
    wanted = wants_mw(rights, need, 10**6, TERMS)
    if wanted:
        assert offers_mw(rights + wanted, rights + wanted, need, 10**6, TERMS) == 0


@given(MW, BOOK)
def test_asks_are_for_no_more_than_is_wanted_or_offered(wanted: int, offers: dict[str, int]) -> None:
    asked = asks(wanted, offers, TERMS)
    assert sum(asked.values()) <= wanted
    assert len(asked) <= TERMS.asked_max
    assert all(TERMS.lot_mw <= mw <= offers[peer] for peer, mw in asked.items())


@given(MW, BOOK)
def test_lots_are_for_no_more_than_is_offered_or_asked(offered: int, asked: dict[str, int]) -> None:
    given_mw = lots(offered, asked, TERMS)
    assert sum(given_mw.values()) <= offered
    assert all(TERMS.lot_mw <= mw <= asked[peer] for peer, mw in given_mw.items())


@given(MW, MW, BOOK, BOOK)
def test_lots_are_for_no_more_than_is_offered_or_owed(
    offered: int, lent: int, asked: dict[str, int], claims: dict[str, int]
) -> None:
    given_mw = lots(offered, asked, TERMS, lent_mw=lent, claims=claims)
    assert sum(given_mw.values()) <= max(offered, lent)
    assert sum(mw for peer, mw in given_mw.items() if not claims.get(peer)) <= offered
    assert all(TERMS.lot_mw <= mw <= asked[peer] for peer, mw in given_mw.items())


def test_what_is_on_loan_goes_back_to_a_claim_and_to_nobody_else() -> None:
    asked = {"a": 300, "b": 500}
    assert lots(0, asked, TERMS, lent_mw=200, claims={"a": 120}) == {"a": 120}
    assert lots(0, asked, TERMS, lent_mw=100, claims={"a": 120}) == {"a": 100}
    assert lots(150, asked, TERMS, lent_mw=100, claims={"a": 120}) == {"a": 150}
    assert lots(450, asked, TERMS, lent_mw=100, claims={"a": 120}) == {"a": 300, "b": 150}
    assert lots(0, asked, TERMS, lent_mw=200) == {}


def test_the_hungriest_is_served_first() -> None:
    assert lots(100, {"a": 30, "b": 80, "c": 40}, TERMS) == {"b": 80, "c": 20}


def test_the_greatest_offer_is_asked_first() -> None:
    assert asks(100, {"a": 30, "b": 80, "c": 40}, TERMS) == {"b": 80, "c": 20}


def test_nobody_asks_beyond_its_nameplate() -> None:
    assert wants_mw(500, 900, 600, TERMS) == 100
    assert wants_mw(600, 900, 600, TERMS) == 0


def test_what_is_above_the_nameplate_is_offered_whatever_is_needed() -> None:
    assert offers_mw(900, 800, 600, 600, TERMS) == 300
    assert offers_mw(900, 800, 5000, 600, TERMS) == 300
    assert offers_mw(600, 500, 600, 600, TERMS) == 0


@given(MW, st.integers(-1, 4), PARTNERS)
def test_who_would_sleep_gives_all_it_may_if_there_is_anyone(spare: int, duty: int, partners: dict[str, Heir]) -> None:
    given_lots = bequests(spare, duty, partners)
    assert sum(lot.mw for lot in given_lots.values()) == (spare if partners else 0)
    assert all(lot.mw or lot.duty for lot in given_lots.values())
    without = {peer for peer, heir in partners.items() if not heir.duty}
    assert sum(lot.duty for lot in given_lots.values()) == min(max(0, duty), len(without))
    assert all(lot.duty == 0 or (lot.duty == 1 and peer in without) for peer, lot in given_lots.items())


def test_who_wants_most_is_given_first_and_who_holds_least_the_rest() -> None:
    partners = {"a": Heir(100, 50, 0), "b": Heir(300, 90, 1), "c": Heir(0, 200, 0)}
    assert bequests(350, 1, partners) == {"b": Lot(300), "a": Lot(50, 1)}
    assert bequests(500, 2, partners) == {"b": Lot(300), "a": Lot(200, 1), "c": Lot(0, 1)}


@given(st.sets(st.sampled_from("abcdef"), min_size=2))
def test_of_those_that_would_all_sleep_one_has_no_heir_and_no_two_are_heirs_of_each_other(names: set[str]) -> None:
    drowsy = {name: Heir(0, 5, 0, is_awake=False) for name in names}
    found = {name: set(heirs(name, {peer: drowsy[peer] for peer in names - {name}})) for name in names}
    assert [name for name in names if not found[name]] == [min(names)]
    assert not any(one in found[other] and other in found[one] for one in names for other in names)
    awake = {"x": Heir(0, 5, 0)}
    assert all(heirs(name, drowsy | awake) == awake for name in names)


@given(st.lists(st.tuples(MW, MW), min_size=2, max_size=6))
def test_with_steady_needs_watts_come_to_rest(hosts: list[tuple[int, int]]) -> None:
    rights = {str(number): mw for number, (mw, _) in enumerate(hosts)}
    needs = {str(number): mw for number, (_, mw) in enumerate(hosts)}
    for _ in range(100):
        offers = {name: offers_mw(mw, mw, needs[name], 10**6, TERMS) for name, mw in rights.items()}
        book: dict[str, dict[str, int]] = {name: {} for name in rights}
        for name, mw in rights.items():
            for peer, asked in asks(wants_mw(mw, needs[name], 10**6, TERMS), offers, TERMS).items():
                book[peer][name] = asked
        moved = False
        for giver, asked in book.items():
            for taker, mw in lots(offers[giver], asked, TERMS).items():
                rights[giver] -= mw
                rights[taker] += mw
                moved = True
        if not moved:
            return
    raise AssertionError("still trading after 100 turns")
