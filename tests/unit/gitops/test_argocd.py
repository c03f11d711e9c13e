"""What Argo CD says of an Application, read into words; and which repository it reads."""

from typing import Any

import pytest

from ray_platform.git.address import same_repository
from ray_platform.gitops.argocd import Sync, read_application

OURS, LATER, OLD = "a" * 40, "b" * 40, "c" * 40


def reaches(revision: str) -> bool:
    return revision in (OURS, LATER)


def sync(**status: Any) -> Sync:
    """An Application with the fields of a good one, but for those given."""
    good = {
        "sync": {"status": "Synced", "revision": OURS},
        "health": {"status": "Healthy"},
        "operationState": {"phase": "Succeeded", "syncResult": {"revision": OURS}},
    }
    return read_application({"spec": {"source": {}}, "status": good | status})


def test_it_is_done_when_synced_and_healthy_at_the_commit_or_one_that_stands_on_it() -> None:
    assert sync().is_done(reaches)
    assert sync(sync={"status": "Synced", "revision": LATER}).is_done(reaches)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"sync": {"status": "Synced", "revision": OLD}},
            "Argo CD has compared with cccccccccccc and not with this commit yet",
        ),
        (
            {
                "sync": {"status": "OutOfSync", "revision": OURS},
                "resources": [
                    {
                        "kind": "RayCluster",
                        "namespace": "ray",
                        "name": "ray",
                        "status": "OutOfSync",
                    },
                    {"kind": "Namespace", "name": "ray", "status": "Synced"},
                ],
            },
            "OutOfSync: RayCluster ray/ray",
        ),
        (
            {
                "health": {"status": "Degraded"},
                "resources": [
                    {
                        "kind": "Deployment",
                        "namespace": "ray",
                        "name": "gateway",
                        "status": "Synced",
                        "health": {"status": "Degraded", "message": "no  nodes\nleft"},
                    }
                ],
            },
            "health is Degraded: Deployment ray/gateway is Degraded (no nodes left)",
        ),
        (
            {
                "sync": {"status": "Unknown", "revision": OURS},
                "conditions": [
                    {"type": "ComparisonError", "message": "cannot build"},
                    {"type": "OrphanedResourceWarning", "message": "one"},
                ],
            },
            "ComparisonError: cannot build; Unknown: it names no object",
        ),
        (
            {
                "operationState": {
                    "phase": "Failed",
                    "message": "one or more objects failed to apply",
                    "syncResult": {
                        "revision": OURS,
                        "resources": [
                            {
                                "kind": "RayCluster",
                                "namespace": "ray",
                                "name": "ray",
                                "status": "SyncFailed",
                                "message": "forbidden",
                            }
                        ],
                    },
                },
                "health": {"status": "Missing"},
            },
            "the sync ended as Failed: one or more objects failed to apply; "
            "health is Missing: RayCluster ray/ray: forbidden",
        ),
        (
            {"operationState": {"phase": "Running", "message": "waiting for hook"}},
            "the sync is under way: waiting for hook",
        ),
        ({"sync": {}, "health": {}, "operationState": {}}, "Argo CD has not looked at it yet"),
    ],
)
def test_what_it_waits_for_is_told(status: dict[str, Any], words: str) -> None:
    found = sync(**status)
    assert not found.is_done(reaches)
    assert found.words(reaches) == words


def test_a_failed_sync_of_an_earlier_commit_says_nothing_of_this_one() -> None:
    state = {"phase": "Failed", "message": "x", "syncResult": {"revision": OLD}}
    assert not sync(operationState=state).has_failed(reaches)
    assert sync(operationState=state).is_done(reaches)
    under_way = {"phase": "Error", "operation": {"sync": {"revision": OURS}}}
    assert sync(operationState=under_way).has_failed(reaches)


@pytest.mark.parametrize(
    ("policy", "is_automatic"),
    [
        (None, False),
        ({}, False),
        ({"automated": {}}, True),
        ({"automated": {"prune": True}}, True),
        ({"automated": {"enabled": False}}, False),
    ],
)
def test_who_starts_a_sync_is_read_of_its_policy(policy: Any, is_automatic: bool) -> None:
    assert read_application({"spec": {"syncPolicy": policy}}).is_automatic == is_automatic


def test_an_empty_application_is_no_error_and_not_done() -> None:
    assert not read_application({}).is_done(lambda revision: True)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://github.com/acme/infra.git", "git@github.com:acme/infra.git", True),
        ("https://github.com/Acme/Infra", "ssh://git@github.com:22/acme/infra.git", True),
        ("https://github.com/acme/infra.git", "https://github.com/acme/other.git", False),
        ("https://github.com/acme/infra.git", "https://example.com/acme/infra.git", False),
        ("http://127.0.0.1:80/a/b.git", "http://127.0.0.1:81/a/b.git", False),
        ("file:///srv/git/infra.git", "file:///srv/git/infra", True),
    ],
)
def test_a_repository_is_the_same_by_whatever_protocol(one: str, other: str, same: bool) -> None:
    assert same_repository(one, other) == same
