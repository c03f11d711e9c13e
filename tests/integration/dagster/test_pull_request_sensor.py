"""The pull request flow over real HTTP and real Git: what the sensor finds, tells, applies and refuses."""

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings
from ray_platform.git.git_client import Git
from ray_platform.github.github_client import GitHubRepository
from ray_platform.pull_requests.comment import MARKER
from ray_platform.pull_requests.decide import Next
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import ForgeError, GitError, RateLimited, StateError
from tests.support.github_site import Sites, running_github
from tests.support.pull_request_flow import Flow, git

pytestmark = pytest.mark.real

TFVARS = "terraform/environments/{}.tfvars"


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


def new_flow(sites: Sites, folder: Path, *environments: str, required: int = 2) -> Flow:
    sites.server.clock.reset()
    forge = GitHubRepository(sites.client, Repository("acme", f"flow-{secrets.token_hex(4)}"))
    return Flow(sites.server, forge, folder, environments or ("local",), required=required)


@pytest.fixture
def flow(sites: Sites, tmp_path: Path) -> Flow:
    return new_flow(sites, tmp_path)


def opened(flow: Flow, files: dict[str, str | None] | None = None, **given: Any) -> int:
    wanted = files or {TFVARS.format("local"): 'region = "us-east-1"\nsize = 2\n'}
    return flow.server.open_pull_request(flow.name, wanted, **given)


def called(flow: Flow) -> Counter[str]:
    return Counter(flow.server.calls.by_call())


def checks(flow: Flow, head: str) -> list[dict[str, Any]]:
    found = flow.server.person("alice").call("GET", f"/repos/{flow.name}/commits/{head}/check-runs")
    runs: list[dict[str, Any]] = found["check_runs"]
    return runs


def head_of(flow: Flow, number: int) -> str:
    return flow.forge.pull_request(number).head


def test_one_comment_and_one_check_go_with_a_pull_request_to_its_apply(
    sites: Sites, tmp_path: Path
) -> None:
    flow = new_flow(sites, tmp_path, "local", "dev")
    number = opened(flow, {"terraform/main.tf": "# second\n"})
    done = flow.look()
    assert {decision.next for decision in done.decisions.values()} <= {Next.WAIT}
    flow.approve(number, "bob", "carol")
    flow.look()
    assert [state.serial for state in flow.states.values()] == [2, 2]
    comments = [c for c in flow.server.comments(flow.name, number) if MARKER in c["body"]]
    assert len(comments) == 1
    assert comments[0]["body"].count("**Applied**") == 2
    found = checks(flow, head_of(flow, number))
    assert [run["conclusion"] for run in found] == ["success"]
    assert all(f"`{name}`" in found[0]["output"]["summary"] for name in flow.environments)
    person = flow.server.person("alice")
    deployments = person.call("GET", f"/repos/{flow.name}/deployments")
    assert sorted(item["environment"] for item in deployments) == ["dev", "local"]
    for item in deployments:
        at = f"/repos/{flow.name}/deployments/{item['id']}/statuses"
        assert person.call("GET", at)[0]["state"] == "success"


def test_a_second_look_writes_nothing_and_costs_one_free_call(flow: Flow) -> None:
    opened(flow)
    flow.look()
    flow.tick()
    flow.server.calls.reset()
    assert not flow.tick().told
    assert flow.server.calls.billed <= 1  # the removals' issues
    assert flow.server.calls.unchanged == 1


def test_a_push_after_the_approvals_is_planned_anew_and_not_applied(flow: Flow) -> None:
    number = opened(flow, branch="change")
    flow.look()
    flow.approve(number, "bob", "carol")
    flow.server.push(flow.name, "change", {"terraform/main.tf": "# third\n"})
    done = flow.look()
    assert done.decisions[number, "local"].next is Next.WAIT
    assert flow.states["local"].serial == 1
    body = flow.server.comments(flow.name, number)[0]["body"]
    assert "was given before the last push" in body


def test_what_a_lost_webhook_would_have_told_the_poll_finds(flow: Flow) -> None:
    flow.look()
    number = opened(flow)  # nobody listens for webhooks here
    assert (number, "local") in flow.look().decisions


def test_a_forks_pull_request_is_neither_planned_nor_applied(flow: Flow) -> None:
    server = flow.server
    server.invite(flow.name, "mallory")
    person = server.person("mallory")
    fork = person.fork(flow.name)
    person.commit(fork, "evil", {TFVARS.format("local"): "evil = 1\n"}, "Evil", onto="main")
    number = person.open_pull_request(flow.name, "mallory:evil", "Trust me")
    done = flow.look()
    assert done.decisions[number, "local"].next is Next.IGNORED
    flow.approve(number, "bob", "carol")
    flow.look()
    assert not flow.runs
    assert flow.states["local"].serial == 1


def test_a_pull_request_cannot_change_the_rules_that_judge_it(flow: Flow) -> None:
    settings = "environments/local.toml"
    mine = (flow.settings.root / settings).read_text(encoding="utf-8")
    rules = {
        settings: mine.replace("required = 2", "required = 0"),
        "policies/terraform.rego": "package terraform\n# all is allowed\n",
        TFVARS.format("local"): 'region = "us-east-1"\nsize = 3\n',
    }
    number = opened(flow, rules)
    done = flow.look()
    assert "0 of 2 approvals" in done.decisions[number, "local"].why
    assert flow.states["local"].serial == 1


def test_the_heads_of_many_pull_requests_are_fetched_at_once(flow: Flow) -> None:
    number = opened(flow)
    many = flow.mirror.fetch([number] * 60)  # git packs a request that is as long as this one
    assert many.has(head_of(flow, number))


def test_an_environment_that_cannot_be_read_holds_up_its_own_pull_requests_alone(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = new_flow(sites, tmp_path, "local", "dev")
    here = opened(flow)
    there = opened(flow, {TFVARS.format("dev"): 'region = "us-east-1"\nsize = 2\n'})
    make = flow.make

    def away(settings: Settings, name: str, commit: str, repository: Git) -> EnvironmentSession:
        if name == "dev":
            raise StateError("the state cannot be read", where="dev")
        return make(settings, name, commit, repository)

    monkeypatch.setattr(flow, "make", away)
    done = flow.look()
    assert done.unread == {there: "the state cannot be read"}
    assert {key for key, _ in done.decisions.items()} <= {(here, "local")}
    assert [c for c in flow.server.comments(flow.name, here) if MARKER in c["body"]]
    assert not flow.server.comments(flow.name, there)
    monkeypatch.undo()
    assert not flow.look().unread
    assert [c for c in flow.server.comments(flow.name, there) if MARKER in c["body"]]


def test_another_base_branch_is_no_concern_of_ours(flow: Flow) -> None:
    flow.server.push(flow.name, "other", {"README.md": "other"}, onto="main")
    opened(flow, base="other")
    assert not flow.look().decisions


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../../../../outside"])
def test_a_link_that_leads_out_of_the_tree_is_refused_in_one_message(
    flow: Flow, tmp_path: Path, target: str
) -> None:
    number = opened(flow, branch="links")
    work = tmp_path / "work"
    url = flow.server.clone_url(flow.name, flow.server.token("alice"))
    git(tmp_path, "clone", "--quiet", "--branch", "links", url, str(work))
    (work / "terraform" / "link.tf").symlink_to(target)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "A link")
    git(work, "push", "--quiet", "origin", "links")
    done = flow.look()
    assert done.decisions[number, "local"].next is Next.FAILED
    assert [type(error) for error in flow.errors] == [GitError]
    assert "link" in flow.errors[0].what
    body = flow.server.comments(flow.name, number)[0]["body"]
    assert "passwd" not in body


@pytest.mark.parametrize("how", ["suspended", "limited"])
def test_while_github_is_away_the_memory_stays_good(flow: Flow, how: str) -> None:
    number = opened(flow)
    flow.look()
    before = flow.memory
    limits = flow.server.limits
    if how == "suspended":
        flow.server.suspend()
    else:
        limits.refuse_next, limits.retry_after = 1, 3600
    try:
        with pytest.raises(ForgeError if how == "suspended" else RateLimited):
            flow.tick()
    finally:
        flow.server.suspend(suspended=False)
        limits.refuse_next, limits.retry_after = 0, 60
    assert flow.memory == before
    flow.approve(number, "bob", "carol")
    flow.look()
    assert flow.states["local"].serial == 2
    assert len(flow.server.comments(flow.name, number)) == 1


def test_a_push_costs_as_many_calls_whatever_the_number_of_environments(
    sites: Sites, tmp_path: Path
) -> None:
    counts = {}
    for many in (1, 4, 16):
        names = [f"env{i:02}" for i in range(many)]
        flow = new_flow(sites, tmp_path / str(many), *names)
        flow.look()
        number = opened(flow, {"terraform/main.tf": "# second\n"})
        flow.server.calls.reset()
        done = flow.look()
        assert len(done.decisions) in (0, many)
        counts[many] = called(flow)
        body = flow.server.comments(flow.name, number)[0]["body"]
        assert all(f"`{name}`" in body for name in names)
    for many, calls in counts.items():
        print(f"\n{many} environments: {calls.total()} calls: {dict(calls)}")
    assert counts[1] == counts[4] == counts[16]
