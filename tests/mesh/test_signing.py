from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from eagent.errors import RefusedError
from eagent.mesh.signing import verify

CONTENT = b"domain = 'rack7'"


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def test_what_the_site_signed_is_taken(key: Ed25519PrivateKey) -> None:
    verify(CONTENT, key.sign(CONTENT), key.public_key().public_bytes_raw(), "table")


def test_another_content_another_key_and_another_length_are_refused(key: Ed25519PrivateKey) -> None:
    signature, public = key.sign(CONTENT), key.public_key().public_bytes_raw()
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    for content, signed, known in (
        (CONTENT + b" ", signature, public),
        (CONTENT, signature, stranger),
        (CONTENT, signature[:-1], public),
        (CONTENT, signature, public[:-1]),
    ):
        with pytest.raises(RefusedError, match="table: "):
            verify(content, signed, known, "table")
