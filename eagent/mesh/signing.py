"""The site's signature, Ed25519, behind one function; nothing else here knows how it is made.

The library is imported only when something is to be verified: a host without a mesh does not need it.
"""

from __future__ import annotations

from eagent.errors import RefusedError, UnavailableError

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
MISSING_LIBRARY = "signatures can't be made or checked: pip install 'eagent[mesh]'"


def verify(content: bytes, signature: bytes, public_key: bytes, what: str) -> None:
    """Return if the site signed exactly this content; `what` is what errors call it.

    Args:
        content: The file's bytes as they were signed.
        signature: 64 bytes.
        public_key: The site's, 32 bytes.
        what: Of what, for the error.

    Raises:
        RefusedError: it did not.
        UnavailableError: the library that would tell is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise UnavailableError(MISSING_LIBRARY) from None
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise RefusedError(
            f"{what}: a key of {len(public_key)} bytes and a signature of {len(signature)}; "
            f"must be {PUBLIC_KEY_BYTES} and {SIGNATURE_BYTES}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        raise RefusedError(f"{what}: not signed by this site's key") from None
