"""What every forge keeps to: the double of the tests, and the real client on the local GitHub server."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ray_platform.github.forge import Forge
from ray_platform.github.model import CheckReport, Conclusion, PullRequest, Watermark
from ray_platform.text.errors import ForgeError
from tests.contract.forge.worlds import ForgeWorld, GitHubWorld, MemoryWorld
from tests.support.github_site import Sites, running_github

MARK = "<!-- ray-platform plan -->"
BODY = f"{MARK}\nfour to create"
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@pytest.fixture(params=["double", pytest.param("GitHub", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> ForgeWorld:
    if request.param == "double":
        return MemoryWorld()
    return GitHubWorld(request.getfixturevalue("sites").new())


def test_each_method_of_the_protocol_has_a_test_here() -> None:
    methods = {name for name, one in vars(Forge).items() if inspect.isfunction(one)}
    methods -= {"__init__", "__subclasshook__", "_no_init_or_replace_init", "_proto_hook"}
    text = Path(__file__).read_text(encoding="utf-8")
    assert methods and not {name for name in methods if f"forge.{name}(" not in text}


# What changed ------------------------------------------------------------------------------------


def test_a_first_look_finds_the_open_ones_in_the_order_of_their_changes(world: ForgeWorld) -> None:
    closed, merged = world.opened("closed"), world.opened("merged")
    world.later()
    one = world.opened("one")
    world.later()
    other = world.opened("other")
    world.later()
    world.close(closed)
    world.merge(merged)
    world.review(one, "bob", "APPROVED")
    found = world.forge.changed(Watermark())
    assert [pull.number for pull in found.pull_requests] == [other, one]


def test_a_forge_without_pull_requests_has_a_watermark_from_which_all_is_news(
    world: ForgeWorld,
) -> None:
    seen = world.forge.changed(Watermark())
    assert seen.pull_requests == () and seen.watermark.updated_at
    number = world.opened("grow")
    commit = world.merge(number)
    (found,) = world.forge.changed(seen.watermark).pull_requests
    assert (found.number, found.merge_commit) == (number, commit)


def test_a_pull_request_first_seen_after_its_merge_says_when_and_as_what_it_was_merged(
    world: ForgeWorld,
) -> None:
    world.opened("other")
    seen = world.forge.changed(Watermark()).watermark
    world.later()
    number = world.opened("grow")
    world.later()
    commit = world.merge(number)
    found = {pull.number: pull for pull in world.forge.changed(seen).pull_requests}[number]
    assert (found.is_merged, found.is_open, found.merge_commit) == (True, False, commit)
    assert _TIME.fullmatch(found.merged_at)
    assert seen.updated_at < found.created_at < found.merged_at <= found.updated_at
    assert world.forge.pull_request(number) == found


def test_a_merge_keeps_its_time_when_the_pull_request_changes_afterwards(world: ForgeWorld) -> None:
    number = world.opened("grow")
    world.merge(number)
    merged = world.forge.pull_request(number)
    world.later()
    world.comment(number, "carol", "well done")
    after = world.forge.pull_request(number)
    assert after.merged_at == merged.merged_at < after.updated_at


def test_what_was_closed_without_a_merge_has_neither_its_time_nor_its_commit(
    world: ForgeWorld,
) -> None:
    number = world.opened("grow")
    world.close(number)
    found = world.forge.pull_request(number)
    assert (found.is_open, found.is_merged) == (False, False)
    assert (found.merged_at, found.merge_commit) == ("", "")


def test_every_field_of_a_merged_pull_request_is_filled(world: ForgeWorld) -> None:
    number = world.opened("grow", by="bob")
    world.merge(number)
    found = world.forge.pull_request(number)
    empty = {one.name for one in dataclasses.fields(PullRequest) if getattr(found, one.name) == ""}
    assert empty == set()
    assert (found.author, found.title, found.head_branch, found.base_branch, found.from_fork) == (
        *("bob", "A change", "grow", "main"),
        False,
    )


def test_after_a_look_only_what_changed_comes_and_nothing_when_nothing_did(
    world: ForgeWorld,
) -> None:
    first = world.opened("one")
    world.later()
    second = world.opened("two")
    seen = world.forge.changed(Watermark())
    assert [pull.number for pull in seen.pull_requests] == [first, second]
    again = world.forge.changed(seen.watermark)
    assert again.pull_requests == () and again.watermark == seen.watermark
    world.later()
    head = world.push(first, "one")
    found = world.forge.changed(seen.watermark)
    assert first in {pull.number for pull in found.pull_requests}
    assert world.forge.pull_request(first).head == head
    assert found.watermark.updated_at > seen.watermark.updated_at
    world.later()
    world.review(first, "bob", "APPROVED")
    assert [pull.number for pull in world.forge.changed(found.watermark).pull_requests] == [first]


def test_a_watermark_without_an_etag_finds_all_that_changed_since_also_what_was_merged(
    world: ForgeWorld,
) -> None:
    old = world.opened("old")
    world.merge(old)
    world.later()
    number = world.opened("grow")
    world.merge(number)
    since = world.forge.pull_request(number).merged_at
    found = world.forge.changed(Watermark(since)).pull_requests
    assert [pull.number for pull in found] == [number]


def test_a_draft_is_one(world: ForgeWorld) -> None:
    draft, ready = world.opened("one", draft=True), world.opened("two")
    assert [world.forge.pull_request(number).draft for number in (draft, ready)] == [True, False]


# Who said what -----------------------------------------------------------------------------------


def test_reviews_say_who_saw_which_head_and_when_the_oldest_first(world: ForgeWorld) -> None:
    number = world.opened("grow")
    first = world.forge.pull_request(number).head
    assert world.forge.reviews(number) == ()
    world.review(number, "bob", "APPROVED")
    world.later()
    second = world.push(number, "grow")
    world.review(number, "carol", "CHANGES_REQUESTED")
    found = world.forge.reviews(number)
    assert [(one.author, one.state, one.commit, one.may_write) for one in found] == [
        ("bob", "APPROVED", first, True),
        ("carol", "CHANGES_REQUESTED", second, True),
    ]
    assert found[0].submitted_at < found[1].submitted_at
    assert all(_TIME.fullmatch(one.submitted_at) and one.url for one in found)


def test_a_dismissed_review_is_one(world: ForgeWorld) -> None:
    number = world.opened("grow")
    world.review(number, "bob", "APPROVED")
    world.dismiss(number, "bob")
    assert [one.state for one in world.forge.reviews(number)] == ["DISMISSED"]


def test_a_strangers_review_is_known_as_such(world: ForgeWorld) -> None:
    number = world.opened("grow")
    world.review(number, "mallory", "APPROVED")
    assert [(one.author, one.may_write) for one in world.forge.reviews(number)] == [
        ("mallory", False)
    ]


def test_who_may_push_is_asked_of_the_forge(world: ForgeWorld) -> None:
    allowed = {name: world.forge.may_write(name) for name in ("alice", "bob", "dave", "mallory")}
    assert allowed == {"alice": True, "bob": True, "dave": False, "mallory": False}


def test_a_team_is_its_members_and_an_unknown_one_is_refused(world: ForgeWorld) -> None:
    assert world.forge.members(world.team("storage", "alice", "carol")) == {"alice", "carol"}
    with pytest.raises(ForgeError, match="the members of the team acme/no-such"):
        world.forge.members("acme/no-such")


# The one comment ---------------------------------------------------------------------------------


def test_a_comment_is_written_once_then_edited_known_or_not(world: ForgeWorld) -> None:
    number = world.opened("grow")
    made = world.forge.write_comment(number, MARK, BODY, None)
    world.later()
    known = world.forge.write_comment(number, MARK, BODY + "!", made.id)
    found = world.forge.write_comment(number, MARK, BODY + "?", None)
    assert known.id == found.id == made.id and known.updated_at > made.created_at
    (only,) = world.forge.comments(number)
    assert (only.body, only.by_us, only.author) == (BODY + "?", True, "ray-platform[bot]")
    assert only == found


def test_a_comment_moves_its_pull_request_on(world: ForgeWorld) -> None:
    number = world.opened("grow")
    seen = world.forge.changed(Watermark()).watermark
    world.later()
    world.forge.write_comment(number, MARK, BODY, None)
    assert [pull.number for pull in world.forge.changed(seen).pull_requests] == [number]


def test_a_comment_of_ours_that_was_deleted_is_written_again(world: ForgeWorld) -> None:
    number = world.opened("grow")
    made = world.forge.write_comment(number, MARK, BODY, None)
    world.forget_comment(number, made.id)
    again = world.forge.write_comment(number, MARK, BODY, made.id)
    assert [one.id for one in world.forge.comments(number)] == [again.id]


def test_a_persons_comment_with_our_marker_is_not_taken_for_ours(world: ForgeWorld) -> None:
    number = world.opened("grow")
    theirs = world.comment(number, "carol", BODY)
    made = world.forge.write_comment(number, MARK, BODY + "!", None)
    found = {one.id: (one.by_us, one.author, one.body) for one in world.forge.comments(number)}
    assert found == {
        theirs: (False, "carol", BODY),
        made.id: (True, "ray-platform[bot]", BODY + "!"),
    }


def test_a_body_that_is_too_long_is_refused(world: ForgeWorld) -> None:
    number = world.opened("grow")
    with pytest.raises(ForgeError, match="write the comment"):
        world.forge.write_comment(number, MARK, "x" * 70_000, None)


# Checks and deployments --------------------------------------------------------------------------


def report(head: str, conclusion: Conclusion | None, title: str, name: str = "plan") -> CheckReport:
    return CheckReport(head, name, title, "a table", conclusion)


def test_a_commit_has_one_check_run_of_a_name_whoever_remembers_it(world: ForgeWorld) -> None:
    head = world.forge.pull_request(world.opened("grow")).head
    made = world.forge.write_check(report(head, None, "planning"), None)
    assert world.check_runs(head) == {"plan": (None, "planning")}
    assert world.forge.write_check(report(head, "failure", "denied"), None) == made
    assert world.forge.write_check(report(head, "success", "good"), made) == made
    assert world.check_runs(head) == {"plan": ("success", "good")}
    world.forge.write_check(report(head, None, "planning again"), made)
    assert world.check_runs(head)["plan"] == (None, "planning again")


def test_check_runs_of_another_head_and_of_another_name_are_others(world: ForgeWorld) -> None:
    number = world.opened("grow")
    first = world.forge.pull_request(number).head
    second = world.push(number, "grow")
    made = {
        world.forge.write_check(report(first, "success", "good"), None),
        world.forge.write_check(report(second, "failure", "bad"), None),
        world.forge.write_check(report(second, "neutral", "cost", name="cost"), None),
    }
    assert len(made) == 3
    assert world.check_runs(first) == {"plan": ("success", "good")}
    assert world.check_runs(second) == {"plan": ("failure", "bad"), "cost": ("neutral", "cost")}


def test_the_same_key_is_the_same_deployment_and_another_one_another(world: ForgeWorld) -> None:
    head = world.forge.pull_request(world.opened("grow")).head
    log = "http://127.0.0.1:3000/runs/1"
    for state, key in (
        ("in_progress", "dev:1"),
        ("success", "dev:1"),
        ("success", "dev:1"),
        ("failure", "dev:2"),
    ):
        address = world.forge.deployment(
            head,
            "dev",
            state,  # type: ignore[arg-type]
            key=key,
            log_url=log,
            said="4 to create",
        )
        assert urlsplit(address).path == f"/{world.forge.repository}/deployments/dev"
    assert world.deployed() == [("dev", head, "failure"), ("dev", head, "success")]


# Issues and pull requests of ours ----------------------------------------------------------------


def test_open_issues_of_a_label_are_found_without_pull_requests(world: ForgeWorld) -> None:
    number = world.opened("grow")
    world.label(number, "destroy")
    asked, closed = world.issue("destroy dev", "destroy"), world.issue("too late", "destroy")
    world.issue("something else", "question")
    world.close_issue(closed)
    (found,) = world.forge.issues("destroy")
    assert (found.number, found.title, found.author, found.labels, found.is_open) == (
        *(asked, "destroy dev", "alice", ("destroy",)),
        True,
    )
    assert _TIME.fullmatch(found.updated_at) and found.url


def test_an_issue_has_comments_too(world: ForgeWorld) -> None:
    asked = world.issue("destroy dev", "destroy")
    made = world.forge.write_comment(asked, MARK, BODY, None)
    assert [one.id for one in world.forge.comments(asked)] == [made.id]


def test_our_issue_is_opened_edited_closed_and_opened_again_never_doubled(
    world: ForgeWorld,
) -> None:
    def write(title: str, *, is_open: bool) -> str:
        return world.forge.write_issue(MARK, title, BODY, ("drift",), is_open=is_open)

    world.issue(MARK, "drift", by="carol")
    assert write("Drift", is_open=False) == ""
    address = write("Drift", is_open=True)
    number = int(address.rsplit("/", 1)[1])
    world.label(number, "seen")
    assert write("Drift in dev", is_open=False) == address
    assert [one.author for one in world.forge.issues("drift")] == ["carol"]
    assert write("Drift in dev", is_open=True) == address
    (ours,) = [one for one in world.forge.issues("drift") if one.author != "carol"]
    assert (ours.number, ours.title, ours.body, set(ours.labels)) == (
        *(number, "Drift in dev", BODY),
        {"drift", "seen"},
    )


def test_a_branch_has_one_open_pull_request_of_ours(world: ForgeWorld) -> None:
    world.branch("adopt/dev")

    def ask(branch: str = "adopt/dev") -> str:
        return world.forge.open_pull_request(
            head_branch=branch, base_branch="main", title="Adopt drift", body="as found"
        )

    first = ask()
    assert ask() == first
    number = int(first.rsplit("/", 1)[1])
    assert world.forge.pull_request(number).head_branch == "adopt/dev"
    world.close(number)
    assert ask() != first
    with pytest.raises(ForgeError, match="open the pull request of nowhere"):
        ask("nowhere")


# What is not there, and Git ----------------------------------------------------------------------


def test_what_does_not_exist_is_refused_and_never_empty(world: ForgeWorld) -> None:
    for ask in (
        lambda: world.forge.pull_request(99),
        lambda: world.forge.reviews(99),
        lambda: world.forge.comments(99),
        lambda: world.forge.write_comment(99, MARK, BODY, None),
    ):
        with pytest.raises(ForgeError) as refused:
            ask()
        assert refused.value.where == str(world.forge.repository)


def test_git_has_an_address_without_credentials_and_a_token_for_each_purpose(
    world: ForgeWorld,
) -> None:
    address = urlsplit(world.forge.git_url())
    assert address.path == f"/{world.forge.repository}.git"
    assert address.scheme in ("http", "https") and "@" not in address.netloc
    reads, writes = world.forge.git_token(), world.forge.git_token(write=True)
    assert reads and writes and reads != writes
    assert reads not in world.forge.git_url()
