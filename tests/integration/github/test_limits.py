"""Conditional calls, pages of lists, rate limits and lengths at the local GitHub server."""

import pytest
from ray_platform_sandbox.github.client.testing import LocalGitHub
from ray_platform_sandbox.github.clock import spell

from tests.support.github_callers import as_installation, as_person

pytestmark = pytest.mark.real


def test_a_conditional_call_that_finds_nothing_new_is_free(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "tagged")
    number = github.open_pull_request(repository, {"a.txt": "a"})
    bot, at = as_installation(github), f"/repos/{repository}/pulls?sort=updated&direction=desc"
    first = bot.get(at)
    left = int(first.headers["x-ratelimit-remaining"])
    for _ in range(3):
        again = bot.get(at, If_None_Match=first.headers["ETag"])
        assert (again.status_code, again.content) == (304, b"")
        assert int(again.headers["x-ratelimit-remaining"]) == left
    assert (github.calls.unchanged, github.calls.by_call()["GET /repos/{owner}/{repo}/pulls"]) == (
        3,
        4,
    )
    # The tag is one token's own.
    other = as_installation(github).get(at, If_None_Match=first.headers["ETag"])
    assert other.status_code == 200
    alice, branch = github.person("alice"), first.json()[0]["head"]["ref"]
    review = github.review(repository, number)
    for change in (
        lambda: github.review(repository, number, by="carol"),
        lambda: github.person("carol").comment(repository, number, "hm"),
        lambda: github.push(repository, branch, {"b.txt": "b"}),
        lambda: alice.dismiss(repository, number, review, "no"),
    ):
        tag = bot.get(at).headers["ETag"]
        github.clock.advance(1)
        change()
        changed = bot.get(at, If_None_Match=tag)
        assert changed.status_code == 200


def test_a_call_since_the_last_change_is_answered_by_its_time(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "timed")
    number = github.open_pull_request(repository, {"a.txt": "a"})
    bot, at = as_installation(github), f"/repos/{repository}/pulls/{number}"
    modified = bot.get(at).headers["Last-Modified"]
    assert bot.get(at, If_Modified_Since=modified).status_code == 304
    github.clock.advance(2)
    github.review(repository, number)
    assert bot.get(at, If_Modified_Since=modified).status_code == 200


def test_a_list_comes_in_pages_that_lead_to_each_other(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "paged")
    alice = github.person("alice")
    numbers = [alice.open_issue(repository, f"issue {at}") for at in range(5)]
    bot, url = as_installation(github), f"/repos/{repository}/issues?per_page=2&direction=asc"
    seen: list[int] = []
    pages = 0
    while url:
        page = bot.get(url)
        seen += [one["number"] for one in page.json()]
        pages += 1
        url = page.links.get("next", {}).get("url", "").removeprefix(github.api_url.rstrip("/"))
    assert (seen, pages) == (numbers, 3)
    last = bot.get(f"/repos/{repository}/issues?per_page=2&page=3")
    assert set(last.links) == {"prev", "first"}
    assert len(bot.get(f"/repos/{repository}/issues?per_page=1000").json()) == 5


def test_issues_are_found_by_label_state_and_time(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "found")
    alice, bot = github.person("alice"), as_installation(github)
    one = alice.open_issue(repository, "one", labels=("drift", "dev"))
    two = alice.open_issue(repository, "two", labels=("drift",))
    github.clock.advance(60)
    since = github.hub.clock.now()
    alice.comment(repository, one, "again")
    alice.close(repository, two)

    def numbers(query: str) -> list[int]:
        found = bot.get(f"/repos/{repository}/issues?{query}").json()
        return [issue["number"] for issue in found]

    assert numbers("state=all&labels=drift,dev") == [one]
    assert numbers("labels=drift") == [one]
    assert numbers("state=closed") == [two]
    assert set(numbers(f"state=all&since={spell(since)}")) == {one, two}
    assert numbers(f"state=all&since={spell(since + 1)}") == []


@pytest.mark.parametrize("status", [403, 429])
def test_the_primary_limit_ends_at_its_reset(github: LocalGitHub, status: int) -> None:
    github.limits.limit, github.limits.exceeded_status = 3, status
    github.clock.stop()
    bot = as_installation(github)
    for left in (2, 1, 0):
        answer = bot.get("/installation/repositories")
        assert int(answer.headers["x-ratelimit-remaining"]) == left
    refused = bot.get("/installation/repositories")
    assert refused.status_code == status
    assert refused.json()["message"].startswith("API rate limit exceeded")
    reset = int(refused.headers["x-ratelimit-reset"])
    rate = bot.get("/rate_limit").json()["resources"]["core"]  # asking is free
    assert (rate["remaining"], rate["reset"]) == (0, reset)
    # Another installation or person has calls of its own.
    assert as_person(github, "alice").get("/user").status_code == 200
    github.clock.advance(reset - github.hub.clock.now() - 1)
    assert bot.get("/installation/repositories").status_code == status
    github.clock.advance(1)
    # Its token ended in the same hour; what is counted is the installation's.
    assert as_installation(github).get("/installation/repositories").status_code == 200


def test_the_secondary_limit_says_when_to_come_again(github: LocalGitHub) -> None:
    bot = as_installation(github)
    github.limits.refuse_next, github.limits.retry_after = 2, 7
    for _ in range(2):
        refused = bot.get("/installation/repositories")
        assert (refused.status_code, refused.headers["retry-after"]) == (403, "7")
        assert "secondary rate limit" in refused.json()["message"]
        assert int(refused.headers["x-ratelimit-remaining"]) > 0
    assert bot.get("/installation/repositories").status_code == 200


def test_content_may_be_created_so_often_a_minute(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "content")
    number = github.person("alice").open_issue(repository, "one")
    bot, at = as_installation(github), f"/repos/{repository}/issues/{number}/comments"
    github.limits.content_a_minute, github.limits.content_an_hour = 2, 3
    github.clock.stop()

    def comment() -> int:
        answer = bot("POST", at, {"body": "again"})
        return 0 if answer.status_code == 201 else int(answer.headers["retry-after"])

    assert [comment(), comment(), comment()] == [0, 0, 60]
    github.clock.advance(60)
    assert [comment(), comment()] == [0, 3540]
    held = as_person(github, "alice").get(at).json()
    assert len(held) == 3
    # Changing what stands is not creating.
    edited = bot("PATCH", f"/repos/{repository}/issues/comments/{held[0]['id']}", {"body": "x"})
    assert edited.status_code == 200


def test_what_is_too_long_is_refused(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "long")
    number = github.open_pull_request(repository, {"a.txt": "a"})
    bot, at = as_installation(github), f"/repos/{repository}"
    comments = f"{at}/issues/{number}/comments"
    assert bot("POST", comments, {"body": "é" * 65_536}).status_code == 201
    refused = bot("POST", comments, {"body": "é" * 65_537})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["message"] == (
        "Body is too long (maximum is 65536 characters)"
    )
    sha = bot.get(f"{at}/pulls/{number}").json()["head"]["sha"]
    run = {"name": "plan", "head_sha": sha}
    whole = {"title": "t", "summary": "s" * 65_535}
    made = bot("POST", f"{at}/check-runs", {**run, "output": whole})
    assert made.status_code == 201
    longer = {"title": "t", "summary": "s" * 65_536}
    check = f"{at}/check-runs/{made.json()['id']}"
    for method, path in (("POST", f"{at}/check-runs"), ("PATCH", check)):
        assert bot(method, path, {**run, "output": longer}).status_code == 422
    assert bot.get(check).json()["output"]["summary"] == whole["summary"]


def test_a_malformed_body_is_refused(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "malformed")
    alice, at = as_person(github, "alice"), f"/repos/{repository}/issues"
    assert alice("POST", at, {"title": 1}).status_code == 422
    assert alice("POST", at, {}).json()["message"].endswith('"title" wasn\'t supplied.')
    assert alice("POST", at, "text").status_code == 400
    assert alice("POST", f"{at}/77/comments", {"body": "x"}).status_code == 404
    assert alice.get("/repos/acme/nothing").status_code == 404
    assert alice.get(f"/repos/{repository}/pulls?state=merged").status_code == 422


def test_a_change_that_is_refused_changes_nothing(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "refused")
    number = github.open_pull_request(repository, {"a.txt": "a"}, branch="change")
    alice = as_person(github, "alice")
    at, pull = f"/repos/{repository}/issues/{number}", f"/repos/{repository}/pulls/{number}"
    before = alice.get(at).json()
    for path, body in (
        (at, {"title": "other", "state": "gone"}),
        (at, {"title": "other", "assignees": ["nobody-of-that-name"]}),
        (at, {"title": "other", "body": "x" * 65_537}),
        (at, {"labels": ["new"], "state_reason": "tired"}),
        (pull, {"title": "other", "base": "nowhere"}),
    ):
        assert alice("PATCH", path, body).status_code == 422, body
    assert alice("POST", f"/repos/{repository}/issues", {"title": "t", "assignees": ["x"]}).is_error
    assert alice.get(at).json() == before
    assert alice.get(f"/repos/{repository}/issues/{number + 1}").status_code == 404
    # A branch that is gone cannot be opened again, by either path.
    alice("DELETE", f"/repos/{repository}/git/refs/heads/change")
    assert alice.get(pull).json()["state"] == "closed"
    for path in (at, pull):
        assert alice("PATCH", path, {"state": "open"}).status_code == 422
    assert alice.get(pull).json()["state"] == "closed"
