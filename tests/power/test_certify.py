import random
from dataclasses import replace
from pathlib import Path

import pytest

from eagent.errors import RefusedError
from eagent.mesh import documents, epoch, signer
from eagent.mesh.epoch import Off, Stage
from eagent.mesh.messages import Document
from eagent.mesh.records import Held
from eagent.mesh.table import Charged, Member
from eagent.power import certify
from tests.power.site import NOW_NS, RESERVE_MW, standing, table, told

OLD, NEW = table(epoch=1), table(epoch=2)


def sealed(host: str, **changed: object) -> Held:
    age_s = changed.pop("age_s", 3.0)
    return told(host, standing(host, NEW, stage=Stage.SEALED, **changed), age_s=age_s)


def held(*records: Held) -> dict[str, Held]:
    return {each.record.owner: each for each in records}


OTHERS = held(sealed("n1"), sealed("n2"))


def test_a_table_that_waits_for_a_silent_host_is_a_case_with_the_seals_heard_before_the_look() -> None:
    records = {**OTHERS, **held(told("n3", standing("n3", OLD), age_s=61))}
    case = certify.case(NEW, records, None, NOW_NS)
    assert case is not None
    assert (case.hosts, case.missing, case.silent) == (("n3",), ("n3",), ())
    made = certify.certificate(case, {"n3"}, None)
    assert made is not None
    assert made.hosts == ("n3",)
    assert epoch.rolls(NEW, case.standings, made) == (made.roll,)  # what the others can countersign


def test_a_host_that_was_never_heard_of_is_one_to_look_at() -> None:
    case = certify.case(NEW, OTHERS, None, NOW_NS)
    assert case is not None
    assert case.missing == ("n3",)


@pytest.mark.parametrize(
    "records",
    [
        {**OTHERS, **held(sealed("n3"))},
        {**OTHERS, **held(told("n3", standing("n3", OLD)))},
        {**OTHERS, **held(told("n1", standing("n1", NEW)))},
    ],
    ids=["all have sealed", "who has not still speaks", "it is complete"],
)
def test_a_table_that_waits_for_nobody_silent_is_no_case(records: dict[str, Held]) -> None:
    assert certify.case(NEW, records, None, NOW_NS) is None


def test_there_is_no_certificate_unless_all_who_have_not_sealed_were_off() -> None:
    case = certify.case(NEW, held(sealed("n1")), None, NOW_NS)
    assert case is not None
    assert certify.certificate(case, {"n3"}, None) is None
    assert certify.certificate(case, set(), None) is None
    made = certify.certificate(case, {"n2", "n3"}, None)
    assert made is not None
    assert made.hosts == ("n2", "n3")


def test_a_host_that_sealed_and_then_went_off_is_named_too_for_it_can_not_countersign() -> None:
    case = certify.case(NEW, held(sealed("n1"), sealed("n2", age_s=61), sealed("n3")), None, NOW_NS)
    assert case is not None
    assert (case.missing, case.silent) == ((), ("n2",))
    made = certify.certificate(case, {"n2"}, None)
    assert made is not None
    assert made.hosts == ("n2",)
    assert certify.certificate(case, set(), None) is None  # it is on: its countersignature is awaited


def test_who_is_charged_is_not_looked_at() -> None:
    charged = table(["n1", "n2"], 2, n3=Member(RESERVE_MW, RESERVE_MW, charged=Charged.FULL))
    records = held(*(told(host, standing(host, charged, stage=Stage.SEALED)) for host in ("n1", "n2")))
    assert certify.case(charged, records, None, NOW_NS) is None


def first() -> Off:
    case = certify.case(NEW, OTHERS, None, NOW_NS)
    assert case is not None
    made = certify.certificate(case, {"n3"}, None)
    assert made is not None
    return made


def test_a_certificate_that_fits_is_not_given_again() -> None:
    assert certify.case(NEW, OTHERS, first(), NOW_NS) is None


def test_a_new_life_of_another_needs_a_new_look() -> None:
    records = held(sealed("n1"), sealed("n2", life="another"))
    case = certify.case(NEW, records, first(), NOW_NS)
    assert case is not None
    made = certify.certificate(case, {"n3"}, first())
    assert made is not None
    assert made.roll != first().roll


def test_another_host_that_went_off_needs_a_new_look() -> None:
    case = certify.case(NEW, held(sealed("n1"), sealed("n2", age_s=61)), first(), NOW_NS)
    assert case is not None
    assert certify.certificate(case, {"n3"}, first()) is None  # n2 is on: nothing new
    assert certify.certificate(case, {"n2", "n3"}, first()) is not None


def test_certificates_of_one_epoch_are_counted_on_across_restarts(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    signs = signer.make(tmp_path / "power.key")
    made = first()
    document = certify.sign(made, signs, None)
    assert document.number == 2 * documents.LOOKS_MAX
    assert documents.read(document, b"", signs.public_key) == made
    assert certify.sign(made, signs, document).number == document.number + 1
    later = replace(made, epoch=3)
    assert certify.sign(later, signs, document).number == 3 * documents.LOOKS_MAX
    last = Document(document.name, 3 * documents.LOOKS_MAX - 1, b"")
    with pytest.raises(RefusedError, match="sign a new table"):
        certify.sign(made, signs, last)


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_heard_a_certificate_names_all_who_have_not_sealed_and_nobody_who_was_not_off(seed: int) -> None:
    rng = random.Random(seed)
    hosts = [f"n{number}" for number in range(1, 6)]
    of = table(hosts, 2)
    records = {}
    for host in hosts:
        if rng.random() < 0.8:
            old = standing(host, table(hosts, 1))
            own = rng.choice((old, standing(host, of, stage=Stage.SEALED)))
            records[host] = told(host, own, age_s=rng.choice((3.0, 61.0)))
    case = certify.case(of, records, None, NOW_NS)
    off = {host for host in hosts if rng.random() < 0.7}
    made = certify.certificate(case, off, None) if case is not None else None
    if made is not None and case is not None:
        assert set(epoch.unsealed(of, certify.heard(of, records))) <= set(made.hosts) <= off
        assert all(host not in records or records[host].is_stale(NOW_NS) for host in made.hosts)
