"""Sign-in by a program that a kubeconfig names (`exec`), as EKS, GKE and AKS write it.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins and
https://kubernetes.io/docs/reference/config-api/client-authentication.v1/.
"""

import datetime
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray_platform.config.settings import child_environment
from ray_platform.text.errors import KubernetesError

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
#: A program that asks a cloud for a token takes a second or two; one that waits for a person never ends.
SECONDS = 60.0
#: A token that ends within this time is renewed before it is used.
_MARGIN = datetime.timedelta(seconds=30)
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class ExecCredential:
    """What a program answered.

    Args:
        token: The bearer token; empty: it gave a certificate.
        certificate: The client's certificate, PEM; empty: it gave a token.
        key: Its private key, PEM.
        ends: When the program says that it ends; None: it is used until the API refuses it.
    """

    token: str = field(repr=False)
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    ends: datetime.datetime | None

    @property
    def is_over(self) -> bool:
        return self.ends is not None and datetime.datetime.now(datetime.UTC) >= self.ends - _MARGIN


class ExecSignIn:
    """The program of one user entry; its answer is kept until it ends or is refused.

    A token is renewed. A client certificate is not: `context_access` takes it once, when access is set up.

    Args:
        content: The user's ``exec``.
        file: The kubeconfig: a relative path of the command starts from its folder.
        context: The context's name, for messages.

    Raises:
        KubernetesError: the entry is malformed, of a version that is not known, or wants a terminal.
    """

    def __init__(self, content: Mapping[str, Any], file: Path, context: str) -> None:
        self._file, self._context = file, context
        self._version = str(content.get("apiVersion") or "")
        self._hint = str(content.get("installHint") or "")
        self._lock = threading.Lock()
        self._known: ExecCredential | None = None
        if self._version not in _VERSIONS:
            raise self._failed(
                f"its apiVersion is {self._version!r}, not {_VERSIONS[0]}",
                fix="update the program that wrote the kubeconfig and write it again "
                "(EKS: `aws eks update-kubeconfig`)",
            )
        if content.get("interactiveMode") == "Always":
            raise self._failed(
                "it needs a terminal (interactiveMode: Always)",
                fix="use a sign-in that needs none: the platform also runs unattended",
            )
        command = str(content.get("command") or "")
        if not command:
            raise self._failed("it names no command")
        if os.sep in command:
            command = str(file.parent / command)
        try:
            self._argv = (command, *(str(each) for each in content.get("args") or ()))
            self._added = {str(v["name"]): str(v["value"]) for v in content.get("env") or ()}
        except (TypeError, KeyError) as error:
            raise self._failed("its args or env are malformed") from error

    def credential(self, *, was_refused: bool = False) -> ExecCredential:
        """The credential to use now; the program runs when there is none that holds.

        Args:
            was_refused: The API refused the last one.

        Raises:
            KubernetesError: the program is not there, fails, takes too long or answers something else.
        """
        with self._lock:
            if self._known is None or was_refused or self._known.is_over:
                self._known = self._asked()
            return self._known

    def _asked(self) -> ExecCredential:
        asked = {"apiVersion": self._version, "kind": "ExecCredential"}
        info = json.dumps({**asked, "spec": {"interactive": False}})
        try:
            done = subprocess.run(
                self._argv,
                env=child_environment({**self._added, "KUBERNETES_EXEC_INFO": info}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._failed(f"it did not end within {SECONDS:.0f} s") from None
        except OSError as error:
            hint = f": {self._hint.strip()}" if self._hint else ""
            raise self._failed(
                f"it cannot be started: {error.strerror}", fix=f"install the program{hint}"
            ) from error
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise self._failed(f"exit code {done.returncode}: {lines[-1][:_SHOWN_CHARACTERS]}")
        try:
            answer = json.loads(done.stdout)
            version, status = answer["apiVersion"], answer["status"]
            credential = ExecCredential(
                str(status.get("token") or ""),
                str(status.get("clientCertificateData") or ""),
                str(status.get("clientKeyData") or ""),
                _time(status.get("expirationTimestamp")),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            # The answer may hold the token: it is not shown.
            raise self._failed("its answer is not an ExecCredential with a status") from None
        if version != self._version:
            raise self._failed(
                f"it answered {version!r}, and the kubeconfig says {self._version!r}"
            )
        if bool(credential.certificate) != bool(credential.key):
            raise self._failed("it gave a client certificate or a key, not both")
        if not (credential.token or credential.certificate):
            raise self._failed("it gave neither a token nor a client certificate")
        return credential

    def _failed(self, why: str, *, fix: str = "") -> KubernetesError:
        return KubernetesError(
            f"the sign-in program of context {self._context!r} failed: {why}",
            where=str(self._file),
            fix=fix
            or f"see that `kubectl --context {self._context} get nodes` works, then try again",
        )


def _time(text: Any) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(str(text)).astimezone(datetime.UTC) if text else None
