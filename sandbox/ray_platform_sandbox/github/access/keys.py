"""RSA keys of Apps."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KeyPair:
    """Both halves as PEM text."""

    private: str = field(repr=False)
    public: str


def new_key_pair() -> KeyPair:
    """A key as GitHub makes them: RSA, 2048 bits."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return _pair(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def read_key_pair(private: str) -> KeyPair:
    """Both halves of a private key in PEM text."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return _pair(load_pem_private_key(private.encode(), password=None))


def _pair(key: Any) -> KeyPair:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPair(private.decode(), public.decode())
