from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import EagentError, RefusedError
from eagent.mesh import documents, signing, table
from eagent.mesh.epoch import Off
from eagent.mesh.messages import Document

ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")

TEXT = b'domain = "rack7"\nepoch = 12\nbudget_mw = 9\nothers_mw = 1\n[members.n01]\nreserve_mw = 1\ngrant_mw = 8\n'
TABLE = table.parse(TEXT.decode(), "t")
OFF = Off("rack7", 12, ("n02",), "0123456789abcdef")


def signer() -> tuple[Callable[[bytes], bytes], bytes]:
    key = ed25519.Ed25519PrivateKey.generate()
    return key.sign, key.public_key().public_bytes_raw()


SITE, SITE_KEY = signer()
POWER, POWER_KEY = signer()


def test_a_table_that_the_site_has_signed_is_read() -> None:
    document = documents.table_document(TABLE, TEXT, SITE(TEXT))
    assert (document.name, document.number) == ("table:rack7", 12)
    assert documents.read(document, SITE_KEY, POWER_KEY) == TABLE


def test_a_certificate_that_the_power_role_has_signed_is_read() -> None:
    unsigned = documents.off_document(OFF, 3, b"")
    document = documents.off_document(OFF, 3, POWER(unsigned.content))
    assert documents.read(document, SITE_KEY, POWER_KEY) == OFF
    assert document.number > documents.off_document(OFF, 2, b"").number


@pytest.mark.parametrize("key", [POWER_KEY, bytes(32), b"short"], ids=["power", "zeros", "short"])
def test_a_table_that_another_has_signed_is_refused(key: bytes) -> None:
    document = documents.table_document(TABLE, TEXT, SITE(TEXT))
    with pytest.raises(RefusedError):
        documents.read(document, key, POWER_KEY)


def test_a_signed_table_under_another_number_is_refused() -> None:
    content = documents.table_document(TABLE, TEXT, SITE(TEXT)).content
    for name, number in [("table:rack7", 13), ("table:rack8", 12)]:
        with pytest.raises(RefusedError, match="another domain or epoch"):
            documents.read(Document(name, number, content), SITE_KEY, POWER_KEY)


@given(st.integers(0, len(TEXT) + 63), st.integers(1, 255))
def test_one_changed_byte_is_enough(place: int, change: int) -> None:
    content = bytearray(documents.table_document(TABLE, TEXT, SITE(TEXT)).content)
    content[place] ^= change
    with pytest.raises(RefusedError):
        documents.read(Document("table:rack7", 12, bytes(content)), SITE_KEY, POWER_KEY)


@given(st.sampled_from(["table:rack7", "off:rack7", "x"]), st.binary(max_size=200))
def test_any_bytes_that_are_signed_are_a_document_or_an_error(name: str, body: bytes) -> None:
    content = (SITE if name.startswith("table") else POWER)(body) + body
    with pytest.raises(EagentError):
        documents.read(Document(name, 12, content), SITE_KEY, POWER_KEY)


def test_a_signature_of_a_wrong_length_is_refused_with_the_right_one() -> None:
    with pytest.raises(RefusedError, match="must be 32 and 64"):
        signing.verify(b"x", b"y", SITE_KEY, "table")
