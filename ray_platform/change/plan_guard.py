"""Keeps Terraform from a pull request's configuration that would run foreign code; asked before it starts."""

from pathlib import Path

from ray_platform.policy.configuration_guard import require_harmless
from ray_platform.policy.configuration_rules import GuardRules, read_rules
from ray_platform.policy.configuration_tree import read_tree
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import SettingsError

ALLOW_FILE = "pull_requests.toml"


def require_no_foreign_code(session: EnvironmentSession) -> None:
    """Look at the configuration of a session that is a pull request's; nothing for any other.

    The base branch rules: what it allows, which providers it has locked, what its backend is. Ask before the
    environment's lease is taken, so that nothing waits for it.

    Raises:
        PolicyDenied: a plan would run, load or read what the base branch has not agreed to.
        SettingsError: the base branch's list of what is allowed is malformed.
    """
    if session.pull is None:
        return
    require_harmless(
        read_tree(session.settings.terraform_root),
        read_tree(session.policy_root.parent / "terraform"),
        rules_of(session.policy_root / ALLOW_FILE),
        where=f"{session.pull}, environment {session.name}",
    )


def rules_of(path: Path) -> GuardRules:
    """What a base branch's file allows; nothing where there is no such file.

    Raises:
        SettingsError: it is malformed.
    """
    try:
        return read_rules(path.read_text(encoding="utf-8"), where=str(path))
    except FileNotFoundError:
        return GuardRules()
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"the list of what pull requests may run is no text in UTF-8: {error}",
            where=str(path),
            fix="write it anew as UTF-8",
        ) from error
