"""The GitHub App of a deployment, from its variables; see `ray_platform.config.settings` for their names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ray_platform.config.repository import Repository
from ray_platform.text.errors import SettingsError

_REPOSITORIES = "RAY_PLATFORM_GITHUB_REPOSITORIES"


@dataclass(frozen=True)
class GitHubApp:
    """The GitHub App of this deployment. Of the three sources of its private key one is set.

    ``private_key`` and the webhooks' secret never stand in a message or in a ``repr``.
    """

    app_id: str
    api_url: str
    repositories: tuple[Repository, ...]
    private_key_file: Path | None = None
    private_key: str = field(default="", repr=False)
    private_key_secret: str = ""
    webhook_secret_file: Path | None = None


def read_github_app(variables: Mapping[str, str]) -> GitHubApp | None:
    """The App that the variables describe; None where they name none.

    Raises:
        SettingsError: it is set up by half.
    """
    app_id = variables.get("RAY_PLATFORM_GITHUB_APP_ID", "").strip()
    if not app_id:
        return None
    sources = {
        name: variables.get(name, "")
        for name in (
            "RAY_PLATFORM_GITHUB_PRIVATE_KEY_FILE",
            "RAY_PLATFORM_GITHUB_PRIVATE_KEY",
            "RAY_PLATFORM_GITHUB_KEY_SECRET",
        )
    }
    key_file, key_text, key_secret = sources.values()
    if sum(bool(source) for source in sources.values()) != 1:
        raise SettingsError(
            "the GitHub App's private key needs one source",
            where="RAY_PLATFORM_GITHUB_APP_ID is set",
            fix=f"set one of {', '.join(sources)}",
        )
    webhook_file = variables.get("RAY_PLATFORM_GITHUB_WEBHOOK_FILE", "")
    api_url = variables.get("RAY_PLATFORM_GITHUB_API_URL") or "https://api.github.com"
    return GitHubApp(
        app_id=app_id,
        api_url=api_url.rstrip("/"),
        repositories=_read_repositories(variables.get(_REPOSITORIES, "")),
        private_key_file=Path(key_file) if key_file else None,
        private_key=key_text,
        private_key_secret=key_secret,
        webhook_secret_file=Path(webhook_file) if webhook_file else None,
    )


def _read_repositories(text: str) -> tuple[Repository, ...]:
    found = []
    for part in text.split(","):
        owner, _, name = part.strip().partition("/")
        if not owner or not name or "/" in name:
            raise SettingsError(
                f"{part.strip()!r} is no repository",
                where=_REPOSITORIES,
                fix="give OWNER/NAME, several separated by commas",
            )
        found.append(Repository(owner, name))
    return tuple(found)
