from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import UnavailableError
from eagent.mesh.ledger import Ledger
from eagent.mesh.state import State
from eagent.mesh.store import Store

STATE = State("a1", watts=Ledger(5))


def test_what_was_stored_comes_back(tmp_path: Path) -> None:
    Store(tmp_path / "mesh", "boot1", "n01").save("rack", STATE)
    assert Store(tmp_path / "mesh", "boot1", "n01").load("rack") == STATE


def test_nothing_comes_back_of_another_boot_domain_or_name(tmp_path: Path) -> None:
    Store(tmp_path, "boot1", "n01").save("rack", STATE)
    assert Store(tmp_path, "boot2", "n01").load("rack") is None
    assert Store(tmp_path, "boot1", "n01").load("site") is None
    assert Store(tmp_path, "boot1", "n02").load("rack") is None


def test_the_newest_counts(tmp_path: Path) -> None:
    store = Store(tmp_path, "boot1", "n01")
    for watts in (5, 4, 3):
        store.save("rack", State("a1", watts=Ledger(watts)))
    assert store.load("rack") == State("a1", watts=Ledger(3))
    assert [path.name for path in tmp_path.iterdir()] == ["rack.state"]


@given(st.data())
def test_a_changed_or_cut_file_is_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = Store(tmp_path_factory.mktemp("store"), "boot1", "n01")
    store.save("rack", STATE)
    path = next(store._directory.iterdir())
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    assert store.load("rack") is None


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match=r"rack\.state"):
        Store(tmp_path / "file", "boot1", "n01").save("rack", STATE)
