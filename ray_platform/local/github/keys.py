"""RSA keys of Apps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyPair:
    """Both halves as PEM text."""

    private: str
    public: str


def new_key_pair() -> KeyPair:
    """A key as GitHub makes them: RSA, 2048 bits."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return KeyPair(private.decode(), public.decode())
