"""What the site and the power role sign, as gossip carries it: a signature, then the bytes that were signed."""

from __future__ import annotations

from eagent.errors import ConfigError, ProtocolError, RefusedError
from eagent.mesh import codec, signing, table
from eagent.mesh.epoch import Off
from eagent.mesh.messages import Document
from eagent.mesh.table import Table

TABLE, OFF = "table:", "off:"  # before the name of the domain
LOOKS_MAX = 2**20  # of the power role, in one epoch


def table_document(content: Table, text: bytes, signature: bytes) -> Document:
    """A table's document; `text` is the file that was signed."""
    return Document(TABLE + content.domain, content.epoch, signature + text)


def off_document(certificate: Off, look: int, signature: bytes) -> Document:
    """A certificate's document; `look` counts the looks of the power role in this epoch, from 0."""
    number = certificate.epoch * LOOKS_MAX + look
    return Document(OFF + certificate.domain, number, signature + codec.encode_off(certificate))


def read(document: Document, site_key: bytes, power_key: bytes) -> Table | Off:
    """What a document holds.

    Args:
        document: As it came over the network.
        site_key: The public key of the site, which signs tables.
        power_key: The public key of the power role, which signs certificates.

    Raises:
        RefusedError: it is not signed by who may sign it, or not what its name and number say.
        ConfigError: it is not a table that holds.
        ProtocolError: it is not a certificate.
    """
    signature, body = document.content[: signing.SIGNATURE_BYTES], document.content[signing.SIGNATURE_BYTES :]
    if document.name.startswith(TABLE):
        signing.verify(body, signature, site_key, document.name)
        try:
            content = table.parse(body.decode(), document.name)
        except UnicodeDecodeError:
            raise ConfigError(f"{document.name}: not a text in UTF-8") from None
        if (TABLE + content.domain, content.epoch) == (document.name, document.number):
            return content
    elif document.name.startswith(OFF):
        signing.verify(body, signature, power_key, document.name)
        certificate = codec.decode_off(body)
        if (OFF + certificate.domain, certificate.epoch) == (document.name, document.number // LOOKS_MAX):
            return certificate
    else:
        raise ProtocolError(f"{document.name}: a document of an unknown kind")
    raise RefusedError(f"{document.name} {document.number}: says to be of another domain or epoch than it is")
