"""Drift that becomes the configuration: a pull request that writes what stands into the variables file.

It goes the way of any pull request: plan, policies, budget, approvals. Nothing is adopted by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray_platform.drift.adoption import Adoption, adopted_text, adoptions, branch_of
from ray_platform.drift.items import DriftItem
from ray_platform.git.mirror_store import GitMirror
from ray_platform.git.push_client import Author, push_branch
from ray_platform.github.app_client import connect as connect_app
from ray_platform.github.github_client import GitHubRepository
from ray_platform.github.mirror import mirror_of
from ray_platform.hcl.variables_file import read_values
from ray_platform.pull_requests.comment import code, plain
from ray_platform.pull_requests.polling.watched import repository_of
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import ForgeError, GitError
from ray_platform.text.redaction import redact_text


def propose(
    session: EnvironmentSession, items: Sequence[DriftItem], say: Callable[[str], None]
) -> str:
    """Open or update the pull request that adopts what was changed by hand, as far as variables can say it.

    Args:
        session: The environment.
        items: What a look for drift found.
        say: Is told what was not proposed, and why.

    Returns:
        The pull request's address; empty where there is none.
    """
    found, left = adoptions(items)
    for item in left:
        say(f"{item.address} {item.attribute} is no variable: adopt it by hand, or apply it away")
    repository = repository_of(session)
    app = session.current_settings.github
    if not found:
        return ""
    if app is None or repository is None:
        say(
            "drift is not proposed for adoption: that is a pull request, and no GitHub App is set up"
        )
        return ""
    forge = GitHubRepository(connect_app(app), repository)
    try:
        return _propose(
            session, forge, mirror_of(session.current_settings, forge), found, left, say
        )
    except (ForgeError, GitError) as error:
        say(f"drift is not proposed for adoption: {error.what}")
        return ""


def _propose(
    session: EnvironmentSession,
    forge: GitHubRepository,
    mirror: GitMirror,
    found: Sequence[Adoption],
    left: Sequence[DriftItem],
    say: Callable[[str], None],
) -> str:
    branch = session.current_settings.branch or "main"
    git = mirror.fetch()
    base = git.head(branch)
    if base is None:
        say(f"drift is not proposed for adoption: there is no branch {branch}")
        return ""
    path = f"terraform/environments/{session.name}.tfvars"
    text = before = git.text(base, path)
    written = []
    for adoption in found:
        changed = adopted_text(text, adoption)
        if changed is None or not _only(adoption, text, changed):
            say(f"{adoption.name} is not {adoption.before} in {path}: it is not proposed")
            continue
        text = changed
        written.append(adoption)
    if text == before:
        return ""
    login, email = forge.bot()
    title = f"Adopt what was changed by hand in {session.name}"
    push_branch(
        mirror,
        {path: text.encode()},
        branch=branch_of(session.name),
        message=f"{title}\n\n"
        + "\n".join(f"{one.name}: {one.before} -> {one.after}" for one in written),
        base=base,
        author=Author(login, email),
    )
    return forge.open_pull_request(
        head_branch=branch_of(session.name),
        base_branch=branch,
        title=title,
        body=redact_text(proposal_body(session.name, written, left)),
    )


def proposal_body(environment: str, written: Sequence[Adoption], left: Sequence[DriftItem]) -> str:
    """The pull request's description, as Markdown."""
    lines = [
        f"Somebody changed {code(environment)} outside Terraform. Merging this keeps it; closing it leaves "
        "the drift, which `ray-platform apply` takes away.",
        "",
        "| variable | changed by |",
        "|---|---|",
    ]
    # The values stand in the diff, which follows later changes as this text does not.
    lines += [f"| {code(one.name)} | {code(one.item.who or 'unknown')} |" for one in written]
    if left:
        lines += ["", "Not adopted here, since no variable says it:", ""]
        lines += [
            f"- {code(item.address)} {code(item.attribute)}: {plain(item.reason)}" for item in left
        ]
    return "\n".join(lines)


def _only(adoption: Adoption, before: str, after: str) -> bool:
    """Whether the two texts differ, as HCL, in the adopted value alone."""
    was: Any = read_values(before)
    expected: Any = was
    for name in adoption.path[:-1]:
        expected = expected[name]
    is_mapping = isinstance(expected, Mapping) and adoption.path[-1] in expected
    if not is_mapping:
        return False
    expected[adoption.path[-1]] = read_values(f"value = {adoption.after}")["value"]
    return bool(was == read_values(after))
