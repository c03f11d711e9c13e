"""Merged pull requests over real HTTP and real Git, where an environment applies what is merged."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ray_platform.config.repository import Repository
from ray_platform.github.github_client import GitHubRepository
from ray_platform.pull_requests.decide import Next
from ray_platform.pull_requests.polling.cursor import Memory
from tests.support.github_site import Sites, running_github
from tests.support.pull_request_flow import Flow

pytestmark = pytest.mark.real

FILES: dict[str, str | None] = {
    "terraform/environments/prod.tfvars": 'region = "us-east-1"\nsize = 2\n'
}


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@pytest.fixture
def flow(sites: Sites, tmp_path: Path) -> Flow:
    """`prod` as it is shipped: applied once merged, with approvals."""
    forge = GitHubRepository(sites.client, Repository("acme", f"flow-{secrets.token_hex(4)}"))
    return Flow(sites.server, forge, tmp_path, ["prod"], required=2, apply="merged")


def opened_and_merged(flow: Flow) -> int:
    number = flow.server.open_pull_request(flow.name, FILES)
    flow.server.person("alice").merge(flow.name, number)
    return number


def is_applied(flow: Flow) -> bool:
    return "size = 2" in flow.states["prod"].content


def test_a_pull_request_that_was_merged_before_the_poller_saw_it_is_planned_and_applied(
    flow: Flow,
) -> None:
    flow.look()
    number = opened_and_merged(flow)
    done = flow.look()
    assert done.decisions[number, "prod"].next is Next.WAIT and not is_applied(flow)
    flow.approve(number, "bob", "carol")
    flow.look()
    assert is_applied(flow) and not flow.errors


@pytest.mark.parametrize("left", ["null", '{"version": 99, "repositories": []}'])
def test_a_merged_pull_request_that_waits_outlives_the_pollers_memory(
    flow: Flow, left: str
) -> None:
    flow.look()
    number = opened_and_merged(flow)
    flow.look()
    flow.memory = left
    done = flow.look()
    assert done.decisions[number, "prod"].next is Next.WAIT
    flow.approve(number, "bob", "carol")
    flow.look()
    assert is_applied(flow) and not flow.errors
    (comment,) = flow.server.comments(flow.name, number)
    assert "infra version" in comment["body"]


def test_what_was_merged_before_the_first_look_ever_is_history(flow: Flow) -> None:
    number = opened_and_merged(flow)
    flow.server.clock.advance(2)
    flow.server.open_pull_request(flow.name, {"notes/a.md": "1"})
    for _ in range(2):
        assert not flow.look().requests
    assert number not in Memory.from_json(json.loads(flow.memory)).pulls
