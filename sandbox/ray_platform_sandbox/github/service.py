"""The GitHub server as a local service: started when first needed, found again by later processes."""

import functools
import json
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_platform.config.settings import Settings, child_environment
from ray_platform.text.errors import LocalServiceError
from ray_platform_sandbox.github.access import secret_files
from ray_platform_sandbox.github.client.person import Person
from ray_platform_sandbox.services import processes

NAME = "github"
#: Its port above the base: behind those of the emulator and Ray.
PORT = 4
READY_SECONDS = 30.0
_API = "/api/v3"


@dataclass(frozen=True)
class GitHubService:
    """A running server. ``folder`` holds all of it, secrets included; it outlives the process."""

    url: str
    port: int
    pid: int
    instance: str
    folder: Path

    @property
    def api_url(self) -> str:
        """The REST root, as GitHub Enterprise Server has it, without a slash at its end."""
        return self.url + _API

    @property
    def app_id(self) -> int:
        return int(self._first("apps")["id"])

    @property
    def installation_id(self) -> int:
        return int(self._first("installations")["id"])

    @property
    def private_key_file(self) -> Path:
        return self.folder / secret_files.KEY

    @property
    def webhook_secret_file(self) -> Path:
        return self.folder / secret_files.WEBHOOK

    def env(self, repositories: Sequence[str]) -> dict[str, str]:
        """The variables by which the platform works with these repositories (``OWNER/NAME``) here."""
        return {
            "RAY_PLATFORM_GITHUB_APP_ID": str(self.app_id),
            "RAY_PLATFORM_GITHUB_API_URL": self.api_url,
            "RAY_PLATFORM_GITHUB_PRIVATE_KEY_FILE": str(self.private_key_file),
            "RAY_PLATFORM_GITHUB_WEBHOOK_FILE": str(self.webhook_secret_file),
            "RAY_PLATFORM_GITHUB_REPOSITORIES": ",".join(repositories),
        }

    def person(self, login: str) -> Person:
        """A person who acts at the server: alice, bob, carol or mallory.

        Raises:
            LocalServiceError: there is nobody of that name.
        """
        tokens = secret_files.Secrets(self.folder).people()
        if login not in tokens:
            raise LocalServiceError(
                f"nobody at the local GitHub is called {login!r}",
                where=self.url,
                fix=f"use one of: {', '.join(tokens)}",
            )
        return Person(self.api_url, tokens[login])

    def _first(self, kind: str) -> dict[str, Any]:
        from ray_platform_sandbox.github.snapshot import NAME as STATE

        state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        found: dict[str, Any] = next(iter(state[kind].values()))
        return found


def ensure_github(settings: Settings) -> GitHubService:
    """The running GitHub server of this home, started if there is none. Takes about a second to start.

    Raises:
        LocalServiceError: its port is in use, git is too old, or it does not get ready.
    """
    port = settings.port_base + PORT
    folder = _folder(settings)
    service = processes.start(
        settings.home,
        NAME,
        [
            *(sys.executable, "-m", "ray_platform_sandbox.github"),
            *("--port", str(port), "--state", str(folder)),
        ],
        env=child_environment(),
        ports={"GitHub": port},
        ready=functools.partial(_answers, _url(port)),
        timeout_seconds=READY_SECONDS,
        cwd=Path(__file__).resolve().parents[2],
    )
    return _found(settings, service)


def find_github(settings: Settings) -> GitHubService | None:
    """The running GitHub server of this home, or None."""
    service = processes.find(settings.home, NAME)
    return _found(settings, service) if service else None


def stop_github(settings: Settings) -> bool:
    """End the GitHub server; whether there was one. What it holds stays in the home.

    Raises:
        LocalServiceError: another process is starting or stopping it.
    """
    return processes.stop(settings.home, NAME)


def _found(settings: Settings, service: processes.Service) -> GitHubService:
    port = next(iter(service.ports.values()))
    return GitHubService(_url(port), port, service.pid, service.instance, _folder(settings))


def _folder(settings: Settings) -> Path:
    return settings.home / NAME


def _url(port: int) -> str:
    return f"http://{processes.LOOPBACK}:{port}"


def _answers(url: str) -> bool:
    # No proxy: it is on this machine. This call alone is never counted.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}{_API}/rate_limit", timeout=5) as answer:
        return bool(answer.status == 200)
