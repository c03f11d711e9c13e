"""The local GitHub server as githubkit, its people and git see it."""

import re
from typing import Any

import pytest
from githubkit import AppAuthStrategy, AppInstallationAuthStrategy, GitHub
from githubkit.exception import RequestFailed
from ray_platform_sandbox.github.client.testing import LocalGitHub
from ray_platform_sandbox.github.rest import routes

from tests.support import openapi
from tests.support.github_callers import Caller, as_app, as_installation, as_person

pytestmark = pytest.mark.real


def plain(template: str) -> str:
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", template)


ROUTES = {f"{route.method} {plain(route.template)}" for route in routes()}


def test_every_call_that_is_served_is_one_of_githubs() -> None:
    described = {f"{method} {template}" for method, template in openapi._operations()}
    assert described >= ROUTES


def test_the_check_of_answers_finds_a_wrong_one() -> None:
    headers = {"Content-Type": "application/json"}
    for status, body in ((200, b"[{}]"), (200, b'{"a": 1}'), (418, b"{}"), (204, b"")):
        with pytest.raises(AssertionError):
            openapi.check_answer(
                "GET", "/repos/{owner}/{repo}/pulls", "/repos/a/b/pulls", status, headers, body
            )
    with pytest.raises(openapi.Undescribed):
        openapi.check_answer("GET", "/nothing", "/nothing", 200, headers, b"{}")


def test_a_change_goes_from_the_app_to_the_merge_with_githubkit(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "walk")
    app = GitHub(AppAuthStrategy(github.app.id, github.private_key), base_url=github.api_url)
    found = app.rest.apps.get_repo_installation("acme", "walk").parsed_data
    strategy = AppInstallationAuthStrategy(github.app.id, github.private_key, found.id)
    kit: GitHub[Any] = GitHub(strategy, base_url=github.api_url)
    number = github.open_pull_request(repository, {"main.tf": "a = 1\n"}, body="**why**")
    pull = kit.rest.pulls.get("acme", "walk", number).parsed_data
    assert (pull.mergeable, pull.changed_files, pull.commits) == (True, 1, 1)
    check = kit.rest.checks.create(
        "acme", "walk", name="plan", head_sha=pull.head.sha, status="in_progress"
    ).parsed_data
    kit.rest.checks.update("acme", "walk", check.id, status="completed", conclusion="success")
    github.review(repository, number, by="bob")
    (review,) = kit.rest.pulls.list_reviews("acme", "walk", number).parsed_data
    assert (review.state, review.commit_id) == ("APPROVED", pull.head.sha)
    merged = kit.rest.pulls.merge(
        "acme", "walk", number, sha=pull.head.sha, merge_method="squash"
    ).parsed_data
    assert kit.rest.pulls.get("acme", "walk", number).parsed_data.merged
    branch = kit.rest.repos.get_branch("acme", "walk", "main").parsed_data
    assert branch.commit.sha == merged.sha
    with pytest.raises(RequestFailed, match="405"):
        kit.rest.pulls.merge("acme", "walk", number)


def test_every_call_answers_as_github_describes_it(github: LocalGitHub) -> None:
    """One of each call; the fixture compares the answers with the description."""
    repository = github.create_repository("acme", "whole")
    github.invite(repository, "mallory")
    repo, made = f"/repos/{repository}", Walker(github)
    app, bot = as_app(github), as_installation(github)
    alice, bob = as_person(github, "alice"), as_person(github, "bob")
    mallory = as_person(github, "mallory")
    made(alice, "POST", "/orgs/acme/repos", {"name": "empty", "private": True}, 201)
    grant = "/orgs/acme/teams/platform/repos/acme/empty"
    made(alice, "PUT", grant, {"permission": "push"}, 204)
    head = commit(made, bob, repo, "change")
    number = made(bob, "POST", f"{repo}/pulls", pull_body("change"), 201)["number"]
    at = f"{repo}/pulls/{number}"
    made(mallory, "POST", f"{repo}/forks", {}, 202)
    commit(made, mallory, "/repos/mallory/whole", "theirs")
    theirs = made(mallory, "POST", f"{repo}/pulls", pull_body("mallory:theirs"), 201)
    assert theirs["head"]["repo"]["full_name"] == "mallory/whole"

    for path in ("", "/branches", "/branches/main", "/commits", f"/commits/{head}"):
        made(bot, "GET", f"{repo}{path}")
    made(bot, "GET", f"{repo}/compare/main...change")
    made(bot, "GET", f"{repo}/compare/main...mallory:theirs")
    made(bot, "GET", f"{repo}/collaborators/bob/permission")
    made(bot, "GET", f"{repo}/git/commits/{head}")
    for path in ("", "/files", "/commits"):
        made(bot, "GET", f"{at}{path}")
    made(bot, "GET", f"{repo}/commits/{head}/pulls")
    made(bot, "GET", f"{repo}/pulls?state=all&sort=updated&direction=desc")
    made(bob, "PATCH", at, {"title": "Better", "body": "said"})

    pending = made(alice, "POST", f"{at}/reviews", {"body": "well"})["id"]
    made(alice, "POST", f"{at}/reviews/{pending}/events", {"event": "APPROVE"})
    made(bot, "GET", f"{at}/reviews")
    made(bot, "GET", f"{at}/reviews/{pending}")
    made(alice, "PUT", f"{at}/reviews/{pending}/dismissals", {"message": "no more"})

    run = {"name": "plan", "head_sha": head, "output": {"title": "t", "summary": "s"}}
    run_id = made(bot, "POST", f"{repo}/check-runs", run, 201)["id"]
    made(bot, "PATCH", f"{repo}/check-runs/{run_id}", {"conclusion": "failure"})
    made(bot, "GET", f"{repo}/check-runs/{run_id}")
    assert made(bot, "GET", f"{repo}/commits/change/check-runs")["total_count"] == 1
    deployment = {"ref": head, "environment": "dev", "payload": {"plan": "0a1b"}}
    deployment_id = made(bot, "POST", f"{repo}/deployments", deployment, 201)["id"]
    statuses = f"{repo}/deployments/{deployment_id}/statuses"
    made(bot, "POST", statuses, {"state": "success", "log_url": github.url}, 201)
    for path in ("", f"/{deployment_id}", f"/{deployment_id}/statuses"):
        made(bot, "GET", f"{repo}/deployments{path}")

    label = {"name": "destroy", "color": "ff0000", "description": "asks for it"}
    made(bot, "POST", f"{repo}/labels", label, 201)
    made(bot, "GET", f"{repo}/labels")
    made(bot, "GET", f"{repo}/labels/destroy")
    asked = {"title": "destroy dev", "labels": ["destroy"], "assignees": ["bob"]}
    issue = f"{repo}/issues/{made(alice, 'POST', f'{repo}/issues', asked, 201)['number']}"
    made(bot, "GET", issue)
    made(bot, "POST", f"{issue}/labels", {"labels": ["later"]})
    made(bot, "GET", f"{issue}/labels")
    made(bot, "DELETE", f"{issue}/labels/later")
    made(bot, "PATCH", issue, {"state": "closed", "state_reason": "not_planned"})
    assert len(made(bot, "GET", f"{repo}/issues?state=all&labels=destroy")) == 1
    comment = made(bot, "POST", f"{issue}/comments", {"body": "done"}, 201)["id"]
    made(bot, "GET", f"{issue}/comments")
    made(bot, "GET", f"{repo}/issues/comments/{comment}")
    made(bot, "PATCH", f"{repo}/issues/comments/{comment}", {"body": "really done"})
    made(bot, "DELETE", f"{repo}/issues/comments/{comment}", None, 204)

    made(bot, "GET", f"{at}/merge", None, 404)
    made(alice, "PUT", f"{at}/merge", {"merge_method": "rebase"})
    made(bot, "GET", f"{at}/merge", None, 204)
    for method, path, body in (
        ("GET", "/git/ref/heads/change", None),
        ("PATCH", "/git/refs/heads/change", {"sha": head}),
        ("DELETE", "/git/refs/heads/change", None),
    ):
        made(bot, method, f"{repo}{path}", body, 204 if method == "DELETE" else 200)

    for path in ("/user", "/users/bob", "/rate_limit", "/orgs/acme/members"):
        made(alice, "GET", path)
    team = "/orgs/acme/teams/platform"
    for path in (f"{team}/members", f"{team}/memberships/bob"):
        made(bot, "GET", path)
    for path in (
        "/app",
        "/app/installations",
        f"/app/installations/{github.installation.id}",
        f"{repo}/installation",
        "/orgs/acme/installation",
        "/app/hook/config",
        "/app/hook/deliveries",
    ):
        made(app, "GET", path)
    made(bot, "GET", "/installation/repositories")
    elsewhere = {
        "POST /app-manifests/{code}/conversions",  # in test_github_auth.py
        "PATCH /app/hook/config",  # these in test_github_webhooks.py
        "GET /app/hook/deliveries/{delivery_id}",
        "POST /app/hook/deliveries/{delivery_id}/attempts",
    }
    assert set(github.calls.by_call()) == ROUTES - elsewhere


class Walker:
    """Calls that must be answered with a status, and their JSON."""

    def __init__(self, github: LocalGitHub) -> None:
        self.github = github

    def __call__(
        self, caller: Caller, method: str, path: str, body: Any = None, status: int = 200
    ) -> Any:
        answer = caller(method, path, body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


def pull_body(head: str) -> dict[str, str]:
    return {"title": "A change", "head": head, "base": "main", "body": "why"}


def commit(made: Walker, by: Caller, repo: str, branch: str) -> str:
    """A new branch with one commit, made of Git's own objects."""
    tip = made(by, "GET", f"{repo}/git/ref/heads/main")["object"]["sha"]
    blob = made(by, "POST", f"{repo}/git/blobs", {"content": f"{branch}\n"}, 201)["sha"]
    entry = {"path": f"{branch}.txt", "mode": "100644", "type": "blob", "sha": blob}
    tree = {"base_tree": tip, "tree": [entry]}
    tree_sha = made(by, "POST", f"{repo}/git/trees", tree, 201)["sha"]
    given = {"message": branch, "tree": tree_sha, "parents": [tip]}
    sha = str(made(by, "POST", f"{repo}/git/commits", given, 201)["sha"])
    made(by, "POST", f"{repo}/git/refs", {"ref": f"refs/heads/{branch}", "sha": sha}, 201)
    return sha
