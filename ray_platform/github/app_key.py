"""The private key of the GitHub App: from a file, a variable or AWS Secrets Manager."""

from pathlib import Path
from typing import TYPE_CHECKING

from ray_platform.config.github_app import GitHubApp
from ray_platform.text.errors import ForgeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_MIN_BITS = 2048
_NEW_KEY = "make a new private key on the App's page (docs/how-to/set-up-the-github-app.md)"


class SecretText(str):
    """A text that never shows itself in a ``repr``: not in a dataclass's, not in a traceback's locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'(sensitive)'"


def read_private_key(app: GitHubApp) -> "RSAPrivateKey":
    """The App's private key: RSA, of at least 2048 bits. The object shows nothing of itself.

    A key in a variable may have its line breaks written as ``\\n``.

    Raises:
        ForgeError: it cannot be read, or is no such key; the message never shows any of it.
    """
    if app.private_key_file:
        where, text = str(app.private_key_file), _from_file(app.private_key_file)
    elif app.private_key:
        where, text = "RAY_PLATFORM_GITHUB_PRIVATE_KEY", app.private_key.replace("\\n", "\n")
    else:
        where = f"AWS Secrets Manager, {app.private_key_secret}"
        text = _from_secrets_manager(app.private_key_secret, where)
    return _parse(text, where)


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise ForgeError(
            "there is no file with the GitHub App's private key", where=str(path), fix=_NEW_KEY
        ) from None
    except OSError as error:
        raise ForgeError(
            f"the GitHub App's private key cannot be read: {error.strerror}",
            where=str(path),
            fix="let the user who runs the platform read it",
        ) from None
    except UnicodeDecodeError:
        # The error holds what it could not decode.
        raise ForgeError(
            "the GitHub App's private key is no PEM file", where=str(path), fix=_NEW_KEY
        ) from None


def _from_secrets_manager(name: str, where: str) -> str:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    patience = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3})
    try:
        answer = boto3.client("secretsmanager", config=patience).get_secret_value(SecretId=name)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "refused")
        raise ForgeError(
            f"AWS Secrets Manager does not give the GitHub App's private key: {code}",
            where=where,
            fix="see that the secret exists and that the role may secretsmanager:GetSecretValue it",
        ) from None
    except BotoCoreError as error:
        raise ForgeError(
            f"AWS Secrets Manager was not asked: {type(error).__name__}",
            where=where,
            fix="give AWS credentials and AWS_REGION to this process",
        ) from None
    text = answer.get("SecretString")
    return str(text) if text is not None else bytes(answer["SecretBinary"]).decode("latin-1")


def _parse(text: str, where: str) -> "RSAPrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Malformed, encrypted, or of a kind that the library does not know; its words may quote it.
        raise ForgeError(
            "the GitHub App's private key is malformed",
            where=where,
            fix=f"it begins with -----BEGIN RSA PRIVATE KEY----- and has no passphrase; or {_NEW_KEY}",
        ) from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _MIN_BITS:
        raise ForgeError(
            f"the GitHub App's private key is no RSA key of {_MIN_BITS} bits or more",
            where=where,
            fix=_NEW_KEY,
        )
    return key
