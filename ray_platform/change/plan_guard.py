"""Keeps Terraform from a pull request's configuration that would run foreign code; asked before it starts."""

import tomllib
from pathlib import Path

from ray_platform.policy.configuration_guard import require_harmless
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import SettingsError

ALLOW_FILE = "pull_requests.toml"


def require_no_foreign_code(session: EnvironmentSession) -> None:
    """Look at the configuration of a session that is a pull request's; nothing for any other.

    The base branch rules: what it allows, which providers it has locked, what its backend is.

    Raises:
        PolicyDenied: a plan would run, load or read what the base branch has not agreed to.
        SettingsError: the base branch's list of what is allowed is malformed.
    """
    if session.pull is None:
        return
    base = session.policy_root.parent / "terraform"
    lock = base / ".terraform.lock.hcl"
    require_harmless(
        _files(session.settings.terraform_root),
        _files(base),
        lock=lock.read_text(encoding="utf-8") if lock.is_file() else "",
        allowed=_allowed(session.policy_root / ALLOW_FILE),
        where=f"{session.pull}, environment {session.name}",
    )


def _files(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text(encoding="utf-8", errors="replace")
    return found


def _allowed(path: Path) -> list[str]:
    try:
        allow = tomllib.loads(path.read_text(encoding="utf-8")).get("allow", [])
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the list of what pull requests may run is malformed: {error}",
            where=str(path),
            fix='mend the line; it holds one list, as in: allow = ["data.external.release"]',
        ) from error
    if not isinstance(allow, list) or not all(isinstance(name, str) for name in allow):
        raise SettingsError(
            "allow is no list of names",
            where=str(path),
            fix='write for example: allow = ["data.external.release"]',
        )
    return allow
