"""The local Kubernetes API as a service: started when first needed, found again by later processes."""

import base64
import contextlib
import fcntl
import functools
import json
import os
import secrets
import shutil
import ssl
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ray_platform.config.settings import Settings, child_environment
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.text.errors import KubernetesError, LocalServiceError
from ray_platform_sandbox.kubernetes.certificates import Certificates, ensure_certificates
from ray_platform_sandbox.services import processes

NAME = "kubernetes"
PORT_OFFSET = 3
READY_SECONDS = 60.0
CONTEXT = "ray-platform-local"


@dataclass(frozen=True)
class Kubernetes:
    """A running Kubernetes API.

    ``authority`` is the certificate to trust, ``token_path`` holds the token that it asks for,
    ``kubeconfig`` is for kubectl and other tools; all are readable by their owner alone.
    """

    url: str
    authority: Path
    token_path: Path
    kubeconfig: Path
    pid: int

    @property
    def token(self) -> str:
        return self.token_path.read_text(encoding="utf-8").strip()


def kubernetes_url(settings: Settings) -> str:
    """The API's address: the same at each start, so that Terraform sees no change in it."""
    return f"https://{processes.LOOPBACK}:{settings.port_base + PORT_OFFSET}"


def kubernetes_certificates(settings: Settings) -> Certificates:
    """The certificates of this home's API, made if it has none; they outlive the API's objects.

    Raises:
        LocalServiceError: their folder cannot be written.
    """
    with _locked(_folder(settings)) as folder:
        return ensure_certificates(folder / "certificates")


def ensure_kubernetes(settings: Settings) -> Kubernetes:
    """The running Kubernetes API of this home, started if there is none. Its objects outlive it.

    Raises:
        LocalServiceError: its port is in use, its folder cannot be written, or it does not get
            ready.
    """
    certificates = kubernetes_certificates(settings)
    token_path = _folder(settings) / "token"
    with _locked(_folder(settings)):
        if not token_path.exists():
            _write_private(token_path, secrets.token_hex(32))
    service = processes.start(
        settings.home,
        NAME,
        [
            sys.executable,
            "-m",
            "ray_platform_sandbox.kubernetes.server",
            *("--port", str(settings.port_base + PORT_OFFSET)),
            *("--folder", str(objects_folder(settings))),
            *("--secret", str(token_path)),
            *("--certificate", str(certificates.server)),
        ],
        env=child_environment(),
        ports={"Kubernetes API": settings.port_base + PORT_OFFSET},
        ready=functools.partial(_answers, settings, token_path),
        timeout_seconds=READY_SECONDS,
        cwd=Path(__file__).resolve().parents[2],
    )
    return _kubernetes(settings, service)


def find_kubernetes(settings: Settings) -> Kubernetes | None:
    """The running Kubernetes API of this home, or None."""
    service = processes.find(settings.home, NAME)
    return _kubernetes(settings, service) if service else None


def kubernetes_access(settings: Settings) -> ClusterAccess:
    """How a process of this home reaches its API, with the API's own token."""
    authority = kubernetes_certificates(settings).authority.read_text(encoding="ascii")
    token_path = _folder(settings) / "token"

    def token(_was_refused: bool) -> str:
        try:
            return token_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError as error:
            raise KubernetesError(
                "no Kubernetes API runs on this machine",
                where=str(token_path),
                fix="run `ray-platform up`",
            ) from error

    return ClusterAccess(kubernetes_url(settings), authority, token, "", "")


def stop_kubernetes(settings: Settings) -> bool:
    """End the API and forget its objects; whether it was running.

    Raises:
        LocalServiceError: another process is starting or stopping it.
    """
    was_running = processes.stop(settings.home, NAME)
    # As with a cluster that is removed, nothing of it is left; who holds the token holds nothing.
    shutil.rmtree(objects_folder(settings), ignore_errors=True)
    for name in ("token", "kubeconfig"):
        (_folder(settings) / name).unlink(missing_ok=True)
    return was_running


def _kubernetes(settings: Settings, service: processes.Service) -> Kubernetes:
    folder = _folder(settings)
    url = kubernetes_url(settings)
    authority = kubernetes_certificates(settings).authority
    found = Kubernetes(url, authority, folder / "token", folder / "kubeconfig", service.pid)
    with _locked(folder):
        if found.kubeconfig.exists():
            return found
        trusted = base64.b64encode(authority.read_bytes()).decode()
        cluster = {"server": url, "certificate-authority-data": trusted}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CONTEXT,
            "clusters": [{"name": CONTEXT, "cluster": cluster}],
            "users": [{"name": CONTEXT, "user": {"token": found.token}}],
            "contexts": [
                {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}},
            ],
        }
        _write_private(found.kubeconfig, json.dumps(content, indent=2))
    return found


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The folder, while no other process makes its files."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    except OSError as error:
        raise LocalServiceError(
            f"the folder of the local Kubernetes API cannot be written: {error.strerror}",
            where=str(folder),
            fix="mend its permissions, or set RAY_PLATFORM_HOME to a folder of yours",
        ) from error


def _answers(settings: Settings, token_path: Path) -> bool:
    token = token_path.read_text(encoding="utf-8").strip()
    request = urllib.request.Request(  # noqa: S310  (our own address)
        f"{kubernetes_url(settings)}/readyz", headers={"Authorization": f"Bearer {token}"}
    )
    # No proxy: it is on this machine.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(
            context=ssl.create_default_context(
                cafile=str(kubernetes_certificates(settings).authority)
            )
        ),
    )
    with opener.open(request, timeout=5) as answer:
        return bool(answer.status == 200)


def objects_folder(settings: Settings) -> Path:
    """Where the API keeps its objects, and ``logs/NAMESPACE/POD.log`` what pods wrote."""
    return _folder(settings) / "objects"


def _folder(settings: Settings) -> Path:
    return settings.home / "kubernetes"


def _write_private(path: Path, content: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    beside.replace(path)
