"""An API server that starts, is too busy, or drops a connection is asked again; what is refused is not."""

import contextlib
import http.client
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ray_platform.kubernetes import api_client
from ray_platform.kubernetes.api_access import ClusterAccess
from ray_platform.kubernetes.api_client import PODS, KubernetesApi, is_passing
from ray_platform.ray import running_jobs
from ray_platform.text.errors import KubernetesError
from tests.support.kuberay_recordings import recording

OK = (200, {"items": []})
STARTING = (503, {"code": 503, "message": "the server is currently unable to handle the request"})
BUSY = (429, {"code": 429, "message": "too many requests"})
FORBIDDEN = (403, {"code": 403, "message": "no"})


class Answer(io.BytesIO):
    def __init__(self, status: int, content: Any) -> None:
        super().__init__(json.dumps(content).encode())
        self.status = status
        self.reason = ""
        self.headers = {"Retry-After": "0"}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the server answers, one after the other; an exception ends the connection."""
    coming: list[Any] = []

    @contextlib.contextmanager
    def exchange(*asked: Any, **how: Any) -> Iterator[Answer]:
        answer = coming.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield Answer(*answer)

    monkeypatch.setattr(api_client, "exchange", exchange)
    monkeypatch.setattr(api_client, "_RETRY_SECONDS", 0.0)
    return coming


def api() -> KubernetesApi:
    return KubernetesApi(
        ClusterAccess("https://127.0.0.1:1", "", lambda refused: "", "", ""), "test"
    )


@pytest.mark.parametrize("first", [STARTING, BUSY, http.client.RemoteDisconnected("gone")])
def test_it_is_asked_again(answers: list[Any], first: Any) -> None:
    answers += [first, first, OK]
    assert api().list(PODS) == OK[1]
    assert answers == []


def test_a_refusal_is_not_repeated(answers: list[Any]) -> None:
    answers += [FORBIDDEN, OK]
    with pytest.raises(KubernetesError) as refused:
        api().list(PODS)
    assert answers == [OK]
    assert not is_passing(refused.value)


def test_a_write_whose_answer_was_lost_is_left_to_who_asked(answers: list[Any]) -> None:
    answers += [http.client.RemoteDisconnected("gone"), OK]
    with pytest.raises(KubernetesError) as lost:
        api().create(PODS, {"metadata": {"name": "a"}}, "ray")
    assert answers == [OK]
    assert is_passing(lost.value)


def test_one_that_stays_away_is_told_as_that(answers: list[Any]) -> None:
    answers += [STARTING] * 5
    with pytest.raises(KubernetesError, match="currently unable") as away:
        api().list(PODS)
    assert is_passing(away.value)


class Cluster:
    """A RayCluster of a recording, whose head must not be asked."""

    def __init__(self, name: str, at: float) -> None:
        moment = recording(name).at(at)
        self._cluster, self._pods = moment.ray_cluster, moment.pods

    def ray_cluster(self, name: str = "") -> Any:
        return self._cluster

    def pods(self, name: str) -> Any:
        return self._pods

    def address(self, content: Any) -> str:
        raise KubernetesError("no head runs", where="here", fix="none")


def test_a_head_whose_image_is_missing_has_no_jobs_and_is_not_asked() -> None:
    cluster: Any = Cluster("install-bad-image-head", 6)
    said: list[str] = []
    assert running_jobs.jobs_on(cluster, "ray") == ()
    running_jobs.require_no_jobs(cluster, "ray", said.append)
    assert said == ["No head of ray runs, so no jobs do either: its pods may be replaced"]


def test_a_head_that_runs_and_does_not_answer_is_no_head_without_jobs() -> None:
    cluster: Any = Cluster("install-ready", 8)
    with pytest.raises(KubernetesError, match="no head runs"):
        running_jobs.jobs_on(cluster, "ray")
