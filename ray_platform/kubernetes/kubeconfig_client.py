"""How to reach the cluster of a kubeconfig's context, as kubectl does: a server, whom to trust, who asks.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. A user signs in by a token, a client
certificate, or a program that the kubeconfig names (`exec`).
"""

import base64
import binascii
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.exec_credential_process import ExecSignIn
from ray_platform.text.errors import KubernetesError

#: Ways to sign in that are not followed: without them the identity would be another.
_REFUSED = ("auth-provider", "username", "as")


@dataclass(frozen=True)
class _Entry:
    """An entry of a kubeconfig, and the file that it stands in: paths in it start from there."""

    content: Mapping[str, Any]
    file: Path


def context_access(paths: Sequence[Path], context: str) -> ClusterAccess:
    """How to reach the cluster of a context.

    Args:
        paths: The kubeconfig files; of two entries of one name the first file's counts. A file that is
            missing counts for nothing as long as another is there.
        context: The context's name. Which one is current does not matter.

    Raises:
        KubernetesError: no file is there, one is malformed, the context or what it names is not in
            them, or its sign-in program fails.
    """
    clusters, users = _Read.of(paths).at(context)
    server = str(clusters.content.get("server") or "")
    if not server.startswith("https://"):
        raise _wrong(clusters, f"the server of context {context!r} is {server!r}, not https://")
    authority = _text(clusters, "certificate-authority")
    if not authority or clusters.content.get("insecure-skip-tls-verify"):
        raise _wrong(
            clusters,
            f"context {context!r} does not say which certificate of the server to trust",
            fix="give certificate-authority or certificate-authority-data in its cluster",
        )
    for name in _REFUSED:
        if users.content.get(name):
            raise _wrong(
                users,
                f"context {context!r} signs in by {name}, which is not followed",
                fix="use a context with a token, a client certificate (kind makes one) or exec, or leave "
                "[kubernetes] context empty for the cluster that EKS names",
            )
    certificate, key = _text(users, "client-certificate"), _text(users, "client-key")
    token = _token(paths, context)
    if (sign_in := users.content.get("exec")) is not None:
        program = _program(users, sign_in, context)
        first = program.credential()
        certificate, key = first.certificate or certificate, first.key or key
        token = _program_token(program)
    if bool(certificate) != bool(key):
        raise _wrong(users, f"context {context!r} has a client certificate or a key, not both")
    if not certificate and not token(False):
        raise _wrong(users, f"context {context!r} has neither a token nor a client certificate")
    access = ClusterAccess(server.rstrip("/"), authority, token, certificate, key)
    try:
        access.tls()
    except (ssl.SSLError, ValueError) as error:
        raise _wrong(
            users, f"a certificate or the key of context {context!r} is not understood: {error}"
        ) from error
    return access


def context_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The contexts of the kubeconfig files.

    Raises:
        KubernetesError: no file is there, or one is malformed.
    """
    return tuple(_Read.of(paths).contexts)


@dataclass(frozen=True)
class _Read:
    """What stands in the files, by name."""

    paths: Sequence[Path]
    clusters: Mapping[str, _Entry]
    users: Mapping[str, _Entry]
    contexts: Mapping[str, _Entry]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "_Read":
        found: dict[str, dict[str, _Entry]] = {"clusters": {}, "users": {}, "contexts": {}}
        files = [path for path in paths if path.is_file()]
        if not files:
            raise KubernetesError(
                "there is no kubeconfig file",
                where=", ".join(map(str, paths)),
                fix="make the cluster (`kind create cluster --config deploy/kind/cluster.yaml`), or let "
                "KUBECONFIG name the file",
            )
        for file in files:
            content = _load(file)
            for kind, entries in found.items():
                for entry in content.get(kind) or []:
                    body = entry.get(kind.removesuffix("s")) if isinstance(entry, Mapping) else None
                    if not isinstance(body, Mapping):
                        raise _malformed(file, f"an entry of {kind} is not understood")
                    entries.setdefault(str(entry.get("name")), _Entry(body, file))
        return cls(paths, found["clusters"], found["users"], found["contexts"])

    def at(self, context: str) -> tuple[_Entry, _Entry]:
        """Cluster and user of a context."""
        where = ", ".join(map(str, self.paths))
        chosen = self.contexts.get(context)
        if chosen is None:
            raise KubernetesError(
                f"the kubeconfig has no context {context!r}; it has: "
                + (", ".join(sorted(self.contexts)) or "none"),
                where=where,
                fix="make its cluster, or name one of these in [kubernetes] context",
            )
        named = {kind: str(chosen.content.get(kind)) for kind in ("cluster", "user")}
        cluster, user = self.clusters.get(named["cluster"]), self.users.get(named["user"])
        if cluster is None or user is None:
            kind = "cluster" if cluster is None else "user"
            raise _wrong(
                chosen, f"context {context!r} names the {kind} {named[kind]!r}, which is not there"
            )
        return cluster, user


def _load(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        # The text around the fault may be a key: where it is must do.
        mark = getattr(error, "problem_mark", None)
        raise _malformed(file, f"line {mark.line + 1}" if mark else type(error).__name__) from error
    kinds = ("clusters", "users", "contexts")
    if not isinstance(content, Mapping) or any(
        not isinstance(content.get(kind) or [], list) for kind in kinds
    ):
        raise _malformed(file, "it is no kubeconfig")
    return content


def _malformed(file: Path, why: str) -> KubernetesError:
    return KubernetesError(
        f"the kubeconfig is malformed: {why}",
        where=str(file),
        fix="mend it, or make it anew: `kind export kubeconfig --name ray-platform`",
    )


def _wrong(entry: _Entry, what: str, *, fix: str = "") -> KubernetesError:
    return KubernetesError(
        what,
        where=str(entry.file),
        fix=fix or "mend it, or make it anew: `kind export kubeconfig --name ray-platform`",
    )


def _text(entry: _Entry, name: str) -> str:
    """What ``NAME-data`` holds in base64, else the file that ``NAME`` names; empty: neither is given."""
    try:
        if data := entry.content.get(f"{name}-data"):
            return base64.b64decode(str(data), validate=True).decode("ascii")
        if file := entry.content.get(name):
            return (entry.file.parent / str(file)).read_text(encoding="ascii")
    except (OSError, ValueError, binascii.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not what it should be"
        raise _wrong(entry, f"{name} cannot be read: {why}") from error
    return ""


def _program(user: _Entry, content: Any, context: str) -> ExecSignIn:
    if not isinstance(content, Mapping):
        raise _wrong(user, f"exec of context {context!r} is not understood")
    return ExecSignIn(content, user.file, context)


def _program_token(program: ExecSignIn) -> Callable[[bool], str]:
    """The token of a sign-in program, renewed when it ends or is refused."""
    return lambda was_refused: program.credential(was_refused=was_refused).token


def _token(paths: Sequence[Path], context: str) -> Callable[[bool], str]:
    """The token of a context's user: of its file, which others renew, or its own.

    The kubeconfig is read anew when the token was refused; the token's file each time.
    """
    known: list[_Entry] = []

    def token(was_refused: bool) -> str:
        if was_refused or not known:
            known[:] = [_Read.of(paths).at(context)[1]]
        user = known[0]
        if not (file := user.content.get("tokenFile")):
            return str(user.content.get("token") or "")
        try:
            return (user.file.parent / str(file)).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise _wrong(
                user, f"the token of context {context!r} cannot be read: {file}"
            ) from error

    return token
