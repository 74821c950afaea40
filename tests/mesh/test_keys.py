import os
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import ConfigError, EagentError, RefusedError, UnavailableError
from eagent.mesh import keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mesh.key"


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def test_a_stored_pair_is_loaded_again_with_the_public_key_that_belongs_to_it(path: Path) -> None:
    pair = keys.make()
    keys.store(pair, path)
    assert keys.load(path) == pair
    assert zmq.curve_public(pair.secret.encode()).decode() == pair.public


def test_every_pair_is_another() -> None:
    assert len({keys.make().secret for _ in range(20)}) == 20


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_a_stored_key_is_its_owners_alone_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        keys.store(keys.make(), path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_key_is_not_replaced_in_passing(path: Path) -> None:
    pair = keys.make()
    keys.store(pair, path)
    with pytest.raises(RefusedError, match="exists: remove it first"):
        keys.store(keys.make(), path)
    assert keys.load(path) == pair


def test_a_key_is_not_written_through_a_link_that_somebody_laid(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="exists"):
        keys.store(keys.make(), path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_key_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    write(path, keys.make().secret + "\n", mode)
    with pytest.raises(RefusedError, match=rf"{path}: mode {mode:04o} lets others in: chmod 600"):
        keys.load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(path: Path) -> None:
    keys.store(keys.make(), path)
    os.chown(path, 12_345, -1)
    with pytest.raises(RefusedError, match="belongs to user 12345"):
        keys.load(path)


def test_a_key_that_is_not_there_or_no_file_is_told_in_a_line(path: Path) -> None:
    with pytest.raises(UnavailableError, match=rf"{path}: No such file or directory"):
        keys.load(path)
    path.mkdir()
    with pytest.raises(ConfigError, match="is no file"):
        keys.load(path)
    with pytest.raises(UnavailableError, match="No such file or directory"):
        keys.store(keys.make(), path / "nowhere" / "key")


def test_a_pipe_instead_of_a_key_does_not_hold_us_up(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="is no file"):
        keys.load(path)


SECRET = keys.make().secret


@pytest.mark.parametrize(
    "content",
    ["", "\n", SECRET[:-1], SECRET + "x", SECRET + "\n\n", SECRET[:-1] + "~", "%" * 40],
    ids=["nothing", "a line", "too short", "too long", "a line more", "not Z85", "above 32 bits"],
)
def test_a_file_without_a_key_is_refused_and_its_content_not_told(path: Path, content: str) -> None:
    write(path, content)
    with pytest.raises(ConfigError, match=f"{path}: not a CURVE secret key") as refusal:
        keys.load(path)
    assert SECRET[:-1] not in str(refusal.value)


@given(st.binary(max_size=60) | st.text(max_size=41).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_file_gives_a_pair_or_a_line(content: bytes) -> None:
    text = content.decode("ascii", "replace")
    line = ""
    try:
        pair = keys.from_secret(text, "key")
    except EagentError as refusal:
        line = str(refusal)
    else:
        assert pair.secret == text
    assert "\n" not in line


def test_a_pair_that_is_printed_keeps_its_secret() -> None:
    pair = keys.make()
    assert pair.secret not in f"{pair!r} {pair}"
