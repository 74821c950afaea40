import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import ProtocolError
from eagent.warden import durable

CONTENTS = st.dictionaries(
    st.text(max_size=8), st.integers() | st.text(max_size=8) | st.lists(st.integers()), max_size=4
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("durable") / "x.json"


@given(CONTENTS)
def test_what_is_stored_is_loaded(file: Path, content: dict[str, object]) -> None:
    durable.store(file, content)
    assert durable.load(file) == content
    assert [path.name for path in file.parent.iterdir()] == ["x.json"]


@given(CONTENTS.filter(bool), st.data())
def test_no_truncation_and_no_flipped_byte_is_ever_taken_for_another_content(
    file: Path, content: dict[str, object], data: st.DataObject
) -> None:
    durable.store(file, content)
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    file.write_bytes(broken)
    with contextlib.suppress(ProtocolError):  # else only white space and the like was hit, which carries nothing
        assert durable.load(file) == content


def test_another_version_is_told_apart_from_damage(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({"version": 2, "crc32": 0, "content": {}}))
    with pytest.raises(ProtocolError, match="version 2; this eagent reads version 1"):
        durable.load(tmp_path / "x")


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert durable.load(tmp_path / "x") is None


def test_a_failed_store_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    durable.store(tmp_path / "x", {"a": 1})
    (tmp_path / "y").mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.store(tmp_path / "y", {"a": 2})
    assert durable.load(tmp_path / "x") == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


def test_a_file_of_before_and_something_else_than_a_version_are_damage(tmp_path: Path) -> None:
    for version in ("0", "true", '"1"', "1.0", "null"):
        (tmp_path / "x").write_text(f'{{"version": {version}, "crc32": 0, "content": {{}}}}')
        with pytest.raises(ProtocolError, match="damaged: version"):
            durable.load(tmp_path / "x")


def test_what_could_not_be_read_again_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the most is 65536"):
        durable.store(tmp_path / "x", {"a": "x" * durable.FILE_MAX_BYTES})
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_draft_of_this_number_is_no_obstacle_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("before")
    (tmp_path / f".x.json.{os.getpid()}.tmp").symlink_to(victim)
    durable.store(tmp_path / "x.json", {"a": 1})
    assert durable.load(tmp_path / "x.json") == {"a": 1}
    assert victim.read_text() == "before"


def test_a_sweep_takes_drafts_and_nothing_else(tmp_path: Path) -> None:
    for name in (".x.json.1.tmp", ".a b.power_limit.json.99999.tmp", "x.json", ".x.json.tmp", "x.json.1.tmp", ".new"):
        (tmp_path / name).touch()
    (tmp_path / ".y.json.1.tmp").mkdir()
    durable.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["x.json", ".x.json.tmp", "x.json.1.tmp", ".new", ".y.json.1.tmp"]
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_another_user_has_laid_there_is_not_ours_unless_the_whole_directory_is_theirs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "detached.json"  # in a directory in which the agent may make files, too
    durable.store(path, {"a": 1})
    os.chown(path, 12345, -1)
    with pytest.raises(ProtocolError, match="belongs to user 12345"):
        durable.load(path)
    os.chown(tmp_path, 12345, -1)
    assert durable.load(path) == {"a": 1}
