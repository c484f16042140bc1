"""Encrypts and decrypts the file (AES-256-GCM); a program of its own, see ``apart``."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from imds.core.errors import PlaceError
from imds.host.session_places.apart import answer_request

_NONCE = 12
_PURPOSE = b"imds sessions 1"


def answer(request: dict[str, str], content: bytes) -> bytes:
    """Return ``content`` sealed (``do: seal``) or opened.

    Raises:
        PlaceError: it was sealed with another key, or is damaged.
    """
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(bytes.fromhex(request["key"]))
    cipher = AESGCM(derived)
    if request["do"] == "seal":
        nonce = os.urandom(_NONCE)
        return nonce + cipher.encrypt(nonce, content, _PURPOSE)
    try:
        return cipher.decrypt(content[:_NONCE], content[_NONCE:], _PURPOSE)
    except (InvalidTag, ValueError):
        raise PlaceError("it was encrypted with another key, or is damaged") from None


if __name__ == "__main__":
    answer_request(answer)
