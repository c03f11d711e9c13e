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
def session(sites: Sites) -> GitHubSite:
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


def test_nothing_new_is_one_free_call_however_many_are_open(session: GitHubSite) -> None:
    for _ in range(3):
        session.pull_request()
    seen = session.forge.changed(Watermark())
    assert len(seen.pull_requests) == 3
    session.server.calls.reset()
    again = session.forge.changed(seen.watermark)
    assert again.pull_requests == () and again.watermark == seen.watermark
    assert (session.server.calls.total, session.server.calls.billed) == (1, 0)


def test_two_changes_in_one_second_are_both_seen(
    session: GitHubSite, stopped_clock: LocalGitHub
) -> None:
    first = session.pull_request()
    seen = session.forge.changed(Watermark())
    second = session.pull_request()
    found = session.forge.changed(seen.watermark)
    assert [one.number for one in found.pull_requests] == [first, second]
    assert found.pull_requests[0].updated_at == found.pull_requests[1].updated_at


def test_only_what_changed_since_the_watermark_comes_and_the_oldest_change_first(
    session: GitHubSite, stopped_clock: LocalGitHub
) -> None:
    numbers = []
    for _ in range(3):
        numbers.append(session.pull_request())
        stopped_clock.clock.advance(10)
    seen = session.forge.changed(Watermark())
    assert [one.number for one in seen.pull_requests] == numbers
    stopped_clock.clock.advance(10)
    session.server.review(session.name, numbers[1])
    stopped_clock.clock.advance(10)
    session.server.review(session.name, numbers[0])
    found = session.forge.changed(seen.watermark)
    # The newest of the last look comes once more: it shares the watermark's second.
    assert [one.number for one in found.pull_requests] == [numbers[2], numbers[1], numbers[0]]


def test_pages_are_followed_until_the_watermark_and_no_further(
    session: GitHubSite, stopped_clock: LocalGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_requests_client, "PER_PAGE", 2)
    numbers = []
    for _ in range(5):
        numbers.append(session.pull_request())
        stopped_clock.clock.advance(10)
    seen = session.forge.changed(Watermark())
    assert [one.number for one in seen.pull_requests] == numbers
    newest = numbers[-1]  # it shares the watermark's second, and comes once more
    for changed in (0, 1, 3):
        for number in numbers[:changed]:
            session.server.person("alice").comment(session.name, number, "hello")
            stopped_clock.clock.advance(10)
        session.server.calls.reset()
        found = session.forge.changed(seen.watermark)
        assert {one.number for one in found.pull_requests} == (
            {*numbers[:changed], newest} if changed else set()
        )
        assert session.server.calls.total <= changed // 2 + 2
        newest, seen = numbers[changed - 1], found


def test_what_was_closed_before_the_first_look_is_no_news_and_what_is_closed_after_is(
    session: GitHubSite,
) -> None:
    old, merged, closed = (
        session.pull_request(),
        session.pull_request({"b.tf": "1"}),
        session.pull_request(),
    )
    alice = session.server.person("alice")
    alice.close(session.name, old)
    seen = session.forge.changed(Watermark())
    assert {one.number for one in seen.pull_requests} == {merged, closed}
    commit = alice.merge(session.name, merged)
    alice.close(session.name, closed)
    found = {one.number: one for one in session.forge.changed(seen.watermark).pull_requests}
    assert (found[merged].merge_commit, found[merged].is_open) == (commit, False)
    assert (found[closed].merge_commit, found[closed].is_open) == ("", False)


def test_the_first_pull_request_of_a_repository_is_news_also_when_it_was_merged_at_once(
    session: GitHubSite,
) -> None:
    seen = session.forge.changed(Watermark())
    assert seen.pull_requests == () and session.forge.changed(seen.watermark) == seen
    number = session.pull_request()
    session.server.person("alice").merge(session.name, number)
    (found,) = session.forge.changed(seen.watermark).pull_requests
    assert found.number == number and found.is_merged


def test_an_open_pull_request_has_no_merge_commit_although_github_names_a_trial_merge(
    session: GitHubSite,
) -> None:
    assert not session.forge.pull_request(session.pull_request()).is_merged


def test_a_pull_request_of_a_fork_is_known_as_one(session: GitHubSite) -> None:
    inside = session.pull_request()
    session.server.do(lambda hub: setattr(hub.repository(session.name), "private", False))
    mallory = session.server.person("mallory")
    fork = mallory.fork(session.name)
    mallory.commit(fork, "evil", {"a.tf": "2"}, "Mine")
    outside = mallory.open_pull_request(session.name, "mallory:evil", "Mine")
    assert [session.forge.pull_request(one).from_fork for one in (inside, outside)] == [False, True]
    assert session.forge.pull_request(outside).author == "mallory"


# Who said what ---------------------------------------------------------------------------------


def test_a_review_says_who_saw_which_head(session: GitHubSite) -> None:
    number = session.pull_request(branch="grow")
    first = session.forge.pull_request(number).head
    session.server.review(session.name, number, by="bob")
    second = session.server.push(session.name, "grow", {"b.tf": "2"})
    session.server.review(session.name, number, "REQUEST_CHANGES", by="carol")
    found = [(one.author, one.state, one.commit) for one in session.forge.reviews(number)]
    assert found == [("bob", "APPROVED", first), ("carol", "CHANGES_REQUESTED", second)]


def test_a_member_who_may_only_read_may_not_write_whatever_the_review_says(
    session: GitHubSite,
) -> None:
    session.server.token("dave")
    session.server.do(lambda hub: setup.add_member(hub, "acme", "dave"))
    number = session.pull_request(by="alice")
    session.server.review(session.name, number, by="dave")
    assert session.forge.reviews(number)[0].may_write
    allowed = {login: session.forge.may_write(login) for login in ("alice", "dave", "nobody")}
    assert allowed == {"alice": True, "dave": False, "nobody": False}
    assert not session.forge.may_write("../../installation")


def test_a_team_is_its_members(session: GitHubSite) -> None:
    session.server.add_team("storage", {"alice": "maintainer", "carol": "member"})
    assert session.forge.members("acme/storage") == {"alice", "carol"}
    with pytest.raises(ForgeError, match="the members of the team acme/no-such"):
        session.forge.members("acme/no-such")


# The one comment -------------------------------------------------------------------------------


def test_a_comment_is_written_once_then_edited_in_one_call(session: GitHubSite) -> None:
    number = session.pull_request()
    made = session.forge.write_comment(number, MARK, BODY, None)
    calls = session.calls(lambda: session.forge.write_comment(number, MARK, BODY + "!", made.id))
    assert calls == {"PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}": 1}
    (only,) = session.forge.comments(number)
    assert (only.id, only.body, only.by_us, only.author) == (
        made.id,
        BODY + "!",
        True,
        "ray-platform[bot]",
    )


def test_a_process_killed_before_it_remembered_its_comment_writes_no_second_one(
    session: GitHubSite,
) -> None:
    number = session.pull_request()
    made = session.forge.write_comment(number, MARK, BODY, None)
    again = session.forge.write_comment(number, MARK, BODY + "!", None)
    assert again.id == made.id
    assert [one.body for one in session.forge.comments(number)] == [BODY + "!"]


def test_a_comment_of_ours_that_somebody_deleted_is_written_anew(session: GitHubSite) -> None:
    number = session.pull_request()
    made = session.forge.write_comment(number, MARK, BODY, None)
    session.server.person("alice").call(
        "DELETE", f"/repos/{session.name}/issues/comments/{made.id}"
    )
    again = session.forge.write_comment(number, MARK, BODY, made.id)
    assert again.id != made.id
    assert [one.id for one in session.forge.comments(number)] == [again.id]


def test_a_persons_comment_with_our_marker_is_not_taken_for_ours(session: GitHubSite) -> None:
    number = session.pull_request()
    theirs = session.server.person("carol").comment(session.name, number, BODY)
    made = session.forge.write_comment(number, MARK, BODY, None)
    found = {one.id: one.by_us for one in session.forge.comments(number)}
    assert found == {theirs: False, made.id: True}


# Checks, deployments, issues, pull requests of ours ----------------------------------------------


def check(head: str, conclusion: str | None = None, title: str = "planning") -> CheckReport:
    return CheckReport(head, "ray-platform", title, "a table", conclusion)  # type: ignore[arg-type]


def test_a_commit_has_one_check_run_whoever_remembers_it(session: GitHubSite) -> None:
    head = session.forge.pull_request(session.pull_request()).head
    made = session.forge.write_check(check(head), None)
    assert session.forge.write_check(check(head, "failure", "denied"), None) == made
    calls = session.calls(lambda: session.forge.write_check(check(head, "success", "good"), made))
    assert calls == {"PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}": 1}
    alice = session.server.person("alice")
    (run,) = alice.call("GET", f"/repos/{session.name}/commits/{head}/check-runs")["check_runs"]
    assert (run["conclusion"], run["output"]["title"]) == ("success", "good")


def test_a_check_run_of_another_head_is_not_touched(session: GitHubSite) -> None:
    number = session.pull_request(branch="grow")
    first = session.forge.write_check(
        check(session.forge.pull_request(number).head, "success"), None
    )
    head = session.server.push(session.name, "grow", {"b.tf": "2"})
    assert session.forge.write_check(check(head), None) != first


def test_a_deployment_is_made_once_and_each_state_told_once(session: GitHubSite) -> None:
    head = session.forge.pull_request(session.pull_request()).head

    def tell(state: str) -> str:
        return session.forge.deployment(
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
    assert address == f"{session.server.url}/{session.name}/deployments/dev"
    alice = session.server.person("alice")
    (made,) = alice.call("GET", f"/repos/{session.name}/deployments")
    told = alice.call("GET", f"/repos/{session.name}/deployments/{made['id']}/statuses")
    assert [one["state"] for one in told] == ["success", "in_progress"]
    assert len(told[0]["description"]) == 140


def test_an_issue_is_opened_edited_closed_and_opened_again_never_doubled(
    session: GitHubSite,
) -> None:
    def write(title: str, *, is_open: bool) -> str:
        return session.forge.write_issue(MARK, title, BODY, ("drift",), is_open=is_open)

    assert write("Drift", is_open=False) == ""
    address = write("Drift", is_open=True)
    number = int(address.rsplit("/", 1)[1])
    alice = session.server.person("alice")
    alice.call("POST", f"/repos/{session.name}/issues/{number}/labels", {"labels": ["seen"]})
    assert write("Drift in dev", is_open=False) == address
    assert write("Drift in dev", is_open=True) == address
    (only,) = session.forge.issues("drift")
    assert (only.number, only.title, set(only.labels)) == (
        number,
        "Drift in dev",
        {"drift", "seen"},
    )
    calls = session.calls(lambda: write("Drift in dev", is_open=True))
    assert not [call for call in calls if call.startswith(("PATCH", "POST /repos"))]


def test_pull_requests_are_not_taken_for_labelled_issues(session: GitHubSite) -> None:
    number = session.pull_request()
    alice = session.server.person("alice")
    alice.call("POST", f"/repos/{session.name}/issues/{number}/labels", {"labels": ["destroy"]})
    asked = alice.open_issue(session.name, "destroy dev", labels=("destroy",))
    assert [one.number for one in session.forge.issues("destroy")] == [asked]


def test_a_branch_has_one_open_pull_request_of_ours(session: GitHubSite) -> None:
    session.server.push(session.name, "adopt/dev", {"a.tf": "2"}, onto="main")

    def ask() -> str:
        return session.forge.open_pull_request(
            head_branch="adopt/dev", base_branch="main", title="Adopt drift", body="as found"
        )

    first = ask()
    assert ask() == first
    session.server.person("alice").close(session.name, int(first.rsplit("/", 1)[1]))
    assert ask() != first


# Refusals ----------------------------------------------------------------------------------------


def test_what_does_not_exist_is_one_clear_error(session: GitHubSite) -> None:
    with pytest.raises(ForgeError, match="could not read pull request 99") as refused:
        session.forge.pull_request(99)
    assert refused.value.where == session.name and "doctor --github" in refused.value.fix


def test_a_used_up_rate_limit_says_when_to_come_again_and_sleeps_not_at_all(
    session: GitHubSite,
) -> None:
    session.forge.may_write("alice")
    now = session.server.clock.now()
    budget = next(key for key in session.server.limits._windows if key.startswith("installation"))
    session.server.limits.use_up(budget, now)
    try:
        with pytest.raises(RateLimited) as refused:
            session.forge.changed(Watermark())
    finally:
        session.server.limits._windows.clear()
    assert refused.value.wait_seconds == pytest.approx(3600, abs=30)
    assert session.slept == []


def test_a_long_secondary_limit_is_told_and_a_short_one_waited_for(session: GitHubSite) -> None:
    number = session.pull_request()
    session.forge.reviews(number)
    limits = session.server.limits
    limits.refuse_next, limits.retry_after = 1, 60
    with pytest.raises(RateLimited) as refused:
        session.forge.write_comment(number, MARK, BODY, None)
    assert (refused.value.wait_seconds, session.slept) == (60, [])
    limits.refuse_next, limits.retry_after = 1, 3
    limits.refuse_only_writes = True
    session.forge.write_comment(number, MARK, BODY, None)
    limits.refuse_only_writes = False
    assert session.slept == [3]
    assert len(session.forge.comments(number)) == 1


def test_a_body_that_github_refuses_is_told_with_githubs_reason(
    session: GitHubSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    number = session.pull_request()
    with pytest.raises(ForgeError, match="422"):
        session.forge.write_comment(number, MARK, "x" * 70_000, None)
    assert session.slept == []
