from pathlib import Path

import pytest

from eagent.errors import ConfigError, RefusedError, UnavailableError
from eagent.mesh import signer, signing

pytest.importorskip("cryptography")


def test_what_is_signed_is_verified(tmp_path: Path) -> None:
    made = signer.make(tmp_path / "key")
    again = signer.load(tmp_path / "key")
    assert again.public_key == made.public_key
    signing.verify(b"text", again.sign(b"text"), made.public_key, "it")


def test_a_key_is_a_secret_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    signer.make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RefusedError, match="exists"):
        signer.make(path)
    path.chmod(0o640)
    with pytest.raises(RefusedError, match="0640"):
        signer.load(path)


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33, "00" * 32 + "\nmore"])
def test_what_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a signing key"):
        signer.load(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No such file"):
        signer.load(tmp_path / "key")
    with pytest.raises(UnavailableError, match="No such file"):
        signer.make(tmp_path / "nowhere" / "key")
