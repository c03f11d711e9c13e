"""One repository through the App, against a GitHub server over HTTP."""

import logging
from collections.abc import Iterator

import pytest
from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.client.testing import LocalGitHub

from ray_platform.github import pull_requests_client
from ray_platform.github.model import CheckReport, Watermark
from ray_platform.text.errors import ForgeError, RateLimited
from tests.support.github_site import GitHubSite, Sites, running_github

pytestmark = pytest.mark.real

MARK = "<!-- ray-platform plan -->"
BODY = f"{MARK}\nfour to create"


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@pytest.fixture
def site(sites: Sites) -> GitHubSite:
    return sites.new()


@pytest.fixture
def stopped_clock(sites: Sites) -> Iterator[LocalGitHub]:
    """The server's time passes only when it is told to."""
    server = sites.server
    server.clock.stop()
    yield server
    server.clock._stopped = None
    server.clock._ahead = 0.0


# What changed ----------------------------------------------------------------------------------


def test_nothing_new_is_one_free_call_however_many_are_open(site: GitHubSite) -> None:
    for _ in range(3):
        site.pull_request()
    seen = site.forge.changed(Watermark())
    assert len(seen.pull_requests) == 3
    site.server.calls.reset()
    again = site.forge.changed(seen.watermark)
    assert again.pull_requests == () and again.watermark == seen.watermark
    assert (site.server.calls.total, site.server.calls.billed) == (1, 0)


def test_two_changes_in_one_second_are_both_seen(
    site: GitHubSite, stopped_clock: LocalGitHub
) -> None:
    first = site.pull_request()
    seen = site.forge.changed(Watermark())
    second = site.pull_request()
    found = site.forge.changed(seen.watermark)
    assert [one.number for one in found.pull_requests] == [first, second]
    assert found.pull_requests[0].updated_at == found.pull_requests[1].updated_at


def test_only_what_changed_since_the_watermark_comes_and_the_oldest_change_first(
    site: GitHubSite, stopped_clock: LocalGitHub
) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(site.pull_request())
        stopped_clock.clock.advance(10)
    seen = site.forge.changed(Watermark())
    assert [one.number for one in seen.pull_requests] == numbers
    stopped_clock.clock.advance(10)
    site.server.review(site.name, numbers[1])
    stopped_clock.clock.advance(10)
    site.server.review(site.name, numbers[0])
    found = site.forge.changed(seen.watermark)
    # The newest of the last look comes once more: it shares the watermark's second.
    assert [one.number for one in found.pull_requests] == [numbers[2], numbers[1], numbers[0]]


def test_pages_are_followed_until_the_watermark_and_no_further(
    site: GitHubSite, stopped_clock: LocalGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_requests_client, "PER_PAGE", 2)
    numbers = []
    for _ in range(5):
        numbers.append(site.pull_request())
        stopped_clock.clock.advance(10)
    seen = site.forge.changed(Watermark())
    assert [one.number for one in seen.pull_requests] == numbers
    newest = numbers[-1]  # it shares the watermark's second, and comes once more
    for changed in (0, 1, 3):
        for number in numbers[:changed]:
            site.server.person("alice").comment(site.name, number, "hello")
            stopped_clock.clock.advance(10)
        site.server.calls.reset()
        found = site.forge.changed(seen.watermark)
        assert {one.number for one in found.pull_requests} == (
            {*numbers[:changed], newest} if changed else set()
        )
        assert site.server.calls.total <= changed // 2 + 2
        newest, seen = numbers[changed - 1], found


def test_what_was_closed_before_the_first_look_is_no_news_and_what_is_closed_after_is(
    site: GitHubSite,
) -> None:
    old, merged, closed = site.pull_request(), site.pull_request({"b.tf": "1"}), site.pull_request()
    alice = site.server.person("alice")
    alice.close(site.name, old)
    seen = site.forge.changed(Watermark())
    assert {one.number for one in seen.pull_requests} == {merged, closed}
    commit = alice.merge(site.name, merged)
    alice.close(site.name, closed)
    found = {one.number: one for one in site.forge.changed(seen.watermark).pull_requests}
    assert (found[merged].merge_commit, found[merged].is_open) == (commit, False)
    assert (found[closed].merge_commit, found[closed].is_open) == ("", False)


def test_the_first_pull_request_of_a_repository_is_news_also_when_it_was_merged_at_once(
    site: GitHubSite,
) -> None:
    seen = site.forge.changed(Watermark())
    assert seen.pull_requests == () and site.forge.changed(seen.watermark) == seen
    number = site.pull_request()
    site.server.person("alice").merge(site.name, number)
    (found,) = site.forge.changed(seen.watermark).pull_requests
    assert found.number == number and found.is_merged


def test_an_open_pull_request_has_no_merge_commit_although_github_names_a_trial_merge(
    site: GitHubSite,
) -> None:
    assert not site.forge.pull_request(site.pull_request()).is_merged


def test_a_pull_request_of_a_fork_is_known_as_one(site: GitHubSite) -> None:
    inside = site.pull_request()
    site.server.do(lambda hub: setattr(hub.repository(site.name), "private", False))
    mallory = site.server.person("mallory")
    fork = mallory.fork(site.name)
    mallory.commit(fork, "evil", {"a.tf": "2"}, "Mine")
    outside = mallory.open_pull_request(site.name, "mallory:evil", "Mine")
    assert [site.forge.pull_request(one).from_fork for one in (inside, outside)] == [False, True]
    assert site.forge.pull_request(outside).author == "mallory"


# Who said what ---------------------------------------------------------------------------------


def test_a_review_says_who_saw_which_head(site: GitHubSite) -> None:
    number = site.pull_request(branch="grow")
    first = site.forge.pull_request(number).head
    site.server.review(site.name, number, by="bob")
    second = site.server.push(site.name, "grow", {"b.tf": "2"})
    site.server.review(site.name, number, "REQUEST_CHANGES", by="carol")
    found = [(one.author, one.state, one.commit) for one in site.forge.reviews(number)]
    assert found == [("bob", "APPROVED", first), ("carol", "CHANGES_REQUESTED", second)]


def test_a_member_who_may_only_read_may_not_write_whatever_the_review_says(
    site: GitHubSite,
) -> None:
    site.server.token("dave")
    site.server.do(lambda hub: setup.add_member(hub, "acme", "dave"))
    number = site.pull_request(by="alice")
    site.server.review(site.name, number, by="dave")
    assert site.forge.reviews(number)[0].may_write
    allowed = {login: site.forge.may_write(login) for login in ("alice", "dave", "nobody")}
    assert allowed == {"alice": True, "dave": False, "nobody": False}
    assert not site.forge.may_write("../../installation")


def test_a_team_is_its_members(site: GitHubSite) -> None:
    site.server.add_team("storage", {"alice": "maintainer", "carol": "member"})
    assert site.forge.members("acme/storage") == {"alice", "carol"}
    with pytest.raises(ForgeError, match="the members of the team acme/no-such"):
        site.forge.members("acme/no-such")


# The one comment -------------------------------------------------------------------------------


def test_a_comment_is_written_once_then_edited_in_one_call(site: GitHubSite) -> None:
    number = site.pull_request()
    made = site.forge.write_comment(number, MARK, BODY, None)
    calls = site.calls(lambda: site.forge.write_comment(number, MARK, BODY + "!", made.id))
    assert calls == {"PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}": 1}
    (only,) = site.forge.comments(number)
    assert (only.id, only.body, only.by_us, only.author) == (
        made.id,
        BODY + "!",
        True,
        "ray-platform[bot]",
    )


def test_a_process_killed_before_it_remembered_its_comment_writes_no_second_one(
    site: GitHubSite,
) -> None:
    number = site.pull_request()
    made = site.forge.write_comment(number, MARK, BODY, None)
    again = site.forge.write_comment(number, MARK, BODY + "!", None)
    assert again.id == made.id
    assert [one.body for one in site.forge.comments(number)] == [BODY + "!"]


def test_a_comment_of_ours_that_somebody_deleted_is_written_anew(site: GitHubSite) -> None:
    number = site.pull_request()
    made = site.forge.write_comment(number, MARK, BODY, None)
    site.server.person("alice").call("DELETE", f"/repos/{site.name}/issues/comments/{made.id}")
    again = site.forge.write_comment(number, MARK, BODY, made.id)
    assert again.id != made.id
    assert [one.id for one in site.forge.comments(number)] == [again.id]


def test_a_persons_comment_with_our_marker_is_not_taken_for_ours(site: GitHubSite) -> None:
    number = site.pull_request()
    theirs = site.server.person("carol").comment(site.name, number, BODY)
    made = site.forge.write_comment(number, MARK, BODY, None)
    found = {one.id: one.by_us for one in site.forge.comments(number)}
    assert found == {theirs: False, made.id: True}


# Checks, deployments, issues, pull requests of ours ----------------------------------------------


def check(head: str, conclusion: str | None = None, title: str = "planning") -> CheckReport:
    return CheckReport(head, "ray-platform", title, "a table", conclusion)  # type: ignore[arg-type]


def test_a_commit_has_one_check_run_whoever_remembers_it(site: GitHubSite) -> None:
    head = site.forge.pull_request(site.pull_request()).head
    made = site.forge.write_check(check(head), None)
    assert site.forge.write_check(check(head, "failure", "denied"), None) == made
    calls = site.calls(lambda: site.forge.write_check(check(head, "success", "good"), made))
    assert calls == {"PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}": 1}
    alice = site.server.person("alice")
    (run,) = alice.call("GET", f"/repos/{site.name}/commits/{head}/check-runs")["check_runs"]
    assert (run["conclusion"], run["output"]["title"]) == ("success", "good")


def test_a_check_run_of_another_head_is_not_touched(site: GitHubSite) -> None:
    number = site.pull_request(branch="grow")
    first = site.forge.write_check(check(site.forge.pull_request(number).head, "success"), None)
    head = site.server.push(site.name, "grow", {"b.tf": "2"})
    assert site.forge.write_check(check(head), None) != first


def test_a_deployment_is_made_once_and_each_state_told_once(site: GitHubSite) -> None:
    head = site.forge.pull_request(site.pull_request()).head

    def tell(state: str) -> str:
        return site.forge.deployment(
            head,
            "dev",
            state,  # type: ignore[arg-type]
            key="dev:0a1b",
            log_url="http://127.0.0.1:3000/runs/1",
            said="4 to create, " * 20,
        )

    tell("in_progress")
    tell("success")
    address = tell("success")
    assert address == f"{site.server.url}/{site.name}/deployments/dev"
    alice = site.server.person("alice")
    (made,) = alice.call("GET", f"/repos/{site.name}/deployments")
    told = alice.call("GET", f"/repos/{site.name}/deployments/{made['id']}/statuses")
    assert [one["state"] for one in told] == ["success", "in_progress"]
    assert len(told[0]["description"]) == 140


def test_an_issue_is_opened_edited_closed_and_opened_again_never_doubled(site: GitHubSite) -> None:
    def write(title: str, *, is_open: bool) -> str:
        return site.forge.write_issue(MARK, title, BODY, ("drift",), is_open=is_open)

    assert write("Drift", is_open=False) == ""
    address = write("Drift", is_open=True)
    number = int(address.rsplit("/", 1)[1])
    alice = site.server.person("alice")
    alice.call("POST", f"/repos/{site.name}/issues/{number}/labels", {"labels": ["seen"]})
    assert write("Drift in dev", is_open=False) == address
    assert write("Drift in dev", is_open=True) == address
    (only,) = site.forge.issues("drift")
    assert (only.number, only.title, set(only.labels)) == (
        number,
        "Drift in dev",
        {"drift", "seen"},
    )
    calls = site.calls(lambda: write("Drift in dev", is_open=True))
    assert not [call for call in calls if call.startswith(("PATCH", "POST /repos"))]


def test_pull_requests_are_not_taken_for_labelled_issues(site: GitHubSite) -> None:
    number = site.pull_request()
    alice = site.server.person("alice")
    alice.call("POST", f"/repos/{site.name}/issues/{number}/labels", {"labels": ["destroy"]})
    asked = alice.open_issue(site.name, "destroy dev", labels=("destroy",))
    assert [one.number for one in site.forge.issues("destroy")] == [asked]


def test_a_branch_has_one_open_pull_request_of_ours(site: GitHubSite) -> None:
    site.server.push(site.name, "adopt/dev", {"a.tf": "2"}, onto="main")

    def ask() -> str:
        return site.forge.open_pull_request(
            head_branch="adopt/dev", base_branch="main", title="Adopt drift", body="as found"
        )

    first = ask()
    assert ask() == first
    site.server.person("alice").close(site.name, int(first.rsplit("/", 1)[1]))
    assert ask() != first


# Refusals ----------------------------------------------------------------------------------------


def test_what_does_not_exist_is_one_clear_error(site: GitHubSite) -> None:
    with pytest.raises(ForgeError, match="could not read pull request 99") as refused:
        site.forge.pull_request(99)
    assert refused.value.where == site.name and "doctor --github" in refused.value.fix


def test_a_used_up_rate_limit_says_when_to_come_again_and_sleeps_not_at_all(
    site: GitHubSite,
) -> None:
    site.forge.may_write("alice")
    now = site.server.clock.now()
    budget = next(key for key in site.server.limits._windows if key.startswith("installation"))
    site.server.limits.use_up(budget, now)
    try:
        with pytest.raises(RateLimited) as refused:
            site.forge.changed(Watermark())
    finally:
        site.server.limits._windows.clear()
    assert refused.value.wait_seconds == pytest.approx(3600, abs=30)
    assert site.slept == []


def test_a_long_secondary_limit_is_told_and_a_short_one_waited_for(site: GitHubSite) -> None:
    number = site.pull_request()
    site.forge.reviews(number)
    limits = site.server.limits
    limits.refuse_next, limits.retry_after = 1, 60
    with pytest.raises(RateLimited) as refused:
        site.forge.write_comment(number, MARK, BODY, None)
    assert (refused.value.wait_seconds, site.slept) == (60, [])
    limits.refuse_next, limits.retry_after = 1, 3
    limits.refuse_only_writes = True
    site.forge.write_comment(number, MARK, BODY, None)
    limits.refuse_only_writes = False
    assert site.slept == [3]
    assert len(site.forge.comments(number)) == 1


def test_a_body_that_github_refuses_is_told_with_githubs_reason(
    site: GitHubSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    number = site.pull_request()
    with pytest.raises(ForgeError, match="422"):
        site.forge.write_comment(number, MARK, "x" * 70_000, None)
    assert site.slept == []
