"""How to reach a Kubernetes API: address, trust, and who asks."""

import base64
import functools
import json
import os
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ClusterAccess:
    """How to reach an API.

    Args:
        endpoint: As in ``https://127.0.0.1:5584``.
        authority: The certificate to trust, PEM.
        token: Gives the bearer token; called with True when the last one was refused. Empty: none is
            shown, as with a certificate.
        certificate: The client's certificate, PEM; empty: it has none.
        key: Its private key, PEM.
    """

    endpoint: str
    authority: str
    token: Callable[[bool], str] = field(repr=False)
    certificate: str = field(repr=False)
    key: str = field(repr=False)

    def headers(self, was_refused: bool = False) -> dict[str, str]:
        """What a request shows of who asks."""
        token = self.token(was_refused)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def tls(self) -> ssl.SSLContext:
        """The context of a connection: whom to trust, and the client's certificate.

        Raises:
            ssl.SSLError: a certificate or the key is no PEM, or they do not belong together.
        """
        return context(self.authority, self.certificate, self.key)

    def kubeconfig(self) -> str:
        """A kubeconfig with a token of now, for tools that live shorter than it."""
        cluster = {
            "server": self.endpoint,
            "certificate-authority-data": _encoded(self.authority),
        }
        user = {"token": token} if (token := self.token(False)) else {}
        if self.certificate:
            user["client-certificate-data"] = _encoded(self.certificate)
            user["client-key-data"] = _encoded(self.key)
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@functools.cache
def context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority)
    # Python 3.13 asks for extensions that old clusters' own authorities lack, also on EKS
    # (https://github.com/kubernetes-client/python/issues/2394). Chain, name and dates are checked.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate:
        # OpenSSL reads a key from a file alone: one that only we can read, gone at once.
        descriptor, path = tempfile.mkstemp(prefix="client-", suffix=".pem")
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{certificate}\n{key}\n")
            context.load_cert_chain(path)
        finally:
            Path(path).unlink()
    return context
