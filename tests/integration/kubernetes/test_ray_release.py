"""The release of the Ray cluster: real Helm on the local API, with an operator that finds all ready."""

import base64
import gzip
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from ray_platform_sandbox.kubernetes.service import (
    ensure_kubernetes,
    find_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.config.settings import Settings
from ray_platform.kubernetes.api_client import (
    NAMESPACES,
    RAY_CLUSTERS,
    SECRETS,
    KubernetesApi,
)
from ray_platform.kubernetes.helm_chart_process import RenderedChart, render_chart
from ray_platform.kubernetes.helm_release_client import HelmReleases
from ray_platform.ray import ray_release, readiness, running_jobs
from ray_platform.ray.chart import render
from ray_platform.ray.cluster_access import RELEASE
from ray_platform.ray.clusters import ray_clusters
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import BusyError, NotFoundError, RayError
from tests.integration.conftest import make_settings
from tests.support.ray_head import Head
from tests.support.ray_operator import MISSING, Cluster, Operator
from tests.support.sessions import on_cluster

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = make_settings(tmp_path_factory.mktemp("release"))
    ensure_kubernetes(settings)
    yield settings
    stop_kubernetes(settings)


@pytest.fixture(scope="module")
def operator(settings: Settings) -> Iterator[Operator]:
    operator, idle = Operator(settings), Head()
    operator.dashboard = lambda name: idle.port
    operator.start()
    yield operator
    idle.end()
    operator.over.set()
    # Its watch ends with the API.
    stop_kubernetes(settings)
    operator.join()


@pytest.fixture(scope="module")
def rendered(settings: Settings) -> tuple[Mapping[str, Any], RenderedChart]:
    return render(open_session(settings, "local"))


@pytest.fixture
def session(
    settings: Settings,
    operator: Operator,
    rendered: tuple[Mapping[str, Any], RenderedChart],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[EnvironmentSession]:
    session = open_session(settings, "local")
    cluster = Cluster.of(settings, session.environment)
    cluster.rendered = rendered
    session = on_cluster(session, cluster)
    # No registry is slow here.
    monkeypatch.setattr(readiness, "HOPELESS_SECONDS", 0.2)
    yield session
    cluster.api.delete(NAMESPACES, "ray")


def install(
    session: EnvironmentSession, said: list[str] | None = None, **changes: Any
) -> ray_release.Installed:
    cluster = ray_clusters(session)
    assert isinstance(cluster, Cluster)
    default, rendered = cluster.rendered
    values = json.loads(json.dumps(default))
    for path, value in changes.items():
        *folders, leaf = path.split("__")
        at = values
        for folder in folders:
            at = at.setdefault(folder, {})
        at[leaf] = value
    if changes:
        rendered = render_chart(
            session.settings.ray_chart, values, release=RELEASE, namespace="ray"
        )
    tell = (said if said is not None else []).append
    return ray_release.install(session, values, rendered, tell)


def group(session: EnvironmentSession) -> dict[str, Any]:
    content = ray_clusters(session).ray_cluster()
    assert content is not None
    found: dict[str, Any] = content["spec"]["workerGroupSpecs"][0]
    return found


def scale(session: EnvironmentSession, replicas: int) -> None:
    """As Ray's autoscaler does."""
    operations = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": replicas}]
    ray_clusters(session).api.patch(
        RAY_CLUSTERS, RELEASE, "ray", operations, how="json", manager="python-requests"
    )


def revisions(session: EnvironmentSession) -> list[tuple[int, str]]:
    return [(r.revision, r.status) for r in ray_clusters(session).releases.history(RELEASE)]


def test_the_same_input_makes_no_revision_and_another_keeps_the_autoscalers_replicas(
    session: EnvironmentSession,
) -> None:
    assert install(session).done == "installed"
    assert install(session).done == "unchanged"
    scale(session, 7)
    assert install(session).done == "unchanged"
    said: list[str] = []
    done = install(session, said, workerGroups__cpu__maxReplicas=9)
    assert (done.done, done.release.revision) == ("upgraded", 2)
    # Neither its own new value nor the autoscaler's is a change by another.
    assert not [line for line in said if "changed by" in line]
    assert (group(session)["maxReplicas"], group(session)["replicas"]) == (9, 7)
    # And the autoscaler goes on from there.
    scale(session, 8)
    assert install(session, workerGroups__cpu__maxReplicas=8).done == "upgraded"
    assert (group(session)["maxReplicas"], group(session)["replicas"]) == (8, 8)
    assert revisions(session) == [(1, "superseded"), (2, "superseded"), (3, "deployed")]


def test_an_upgrade_that_does_not_get_ready_is_rolled_back_and_says_why(
    session: EnvironmentSession,
) -> None:
    first = install(session)
    said: list[str] = []
    with pytest.raises(RayError, match="rolled back to revision 1, which is ready again") as error:
        install(session, said, image__repository="rayproject/ray", image__tag="9.9.9")
    assert f"ImagePullBackOff: no {MISSING}" in error.value.what
    assert "image.tag" in error.value.fix
    assert any("going back to revision 1" in line for line in said)
    assert revisions(session) == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert ray_clusters(session).releases.history(RELEASE)[-1].input == first.release.input
    assert install(session).done == "unchanged"


def test_a_first_install_that_cannot_get_ready_says_why_and_is_mended_by_the_next(
    session: EnvironmentSession,
) -> None:
    with pytest.raises(RayError, match=r"cannot get ready: .*ImagePullBackOff"):
        install(session, image__tag="9.9.9")
    assert install(session).done == "upgraded"


def test_a_ray_cluster_deleted_behind_our_back_is_made_again_when_asked(
    session: EnvironmentSession,
) -> None:
    install(session)
    ray_clusters(session).api.delete(RAY_CLUSTERS, RELEASE, "ray")
    with pytest.raises(RayError, match="somebody deleted it"):
        readiness.wait(ray_clusters(session), lambda line: None)
    said: list[str] = []
    assert install(session, said).done == "upgraded"
    assert any("is made again" in line for line in said)
    assert ray_clusters(session).ray_cluster() is not None


def test_an_earlier_revision_is_gone_back_to_by_name(session: EnvironmentSession) -> None:
    install(session)
    install(session, workerGroups__cpu__maxReplicas=9)
    release = ray_release.roll_back(session, None, lambda line: None)
    assert release.revision == 3
    assert group(session)["maxReplicas"] == 10
    with pytest.raises(NotFoundError, match="no earlier revision 77"):
        ray_release.roll_back(session, 77, lambda line: None)


def make_pending(session: EnvironmentSession, seconds_ago: int) -> None:
    """As a process leaves the latest revision that was killed in the middle of an upgrade."""
    import datetime

    latest = ray_clusters(session).releases.history(RELEASE)[-1]
    name = f"sh.helm.release.v1.{RELEASE}.v{latest.revision}"
    secret = ray_clusters(session).api.get(SECRETS, name, "ray") or {}
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    release = json.loads(gzip.decompress(packed))
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    release["info"] |= {"status": "pending-upgrade", "last_deployed": then.isoformat()}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode())))
    patch = {
        "data": {"release": packed.decode()},
        "metadata": {"labels": {"status": "pending-upgrade"}},
    }
    ray_clusters(session).api.patch(SECRETS, name, "ray", patch)


def test_a_rollback_keeps_what_the_autoscaler_wants(session: EnvironmentSession) -> None:
    install(session)
    install(session, workerGroups__cpu__maxReplicas=9)
    operations = [
        {"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 5},
        {
            "op": "replace",
            "path": "/spec/workerGroupSpecs/0/scaleStrategy",
            "value": {"workersToDelete": ["ray-cpu-worker-x"]},
        },
    ]
    ray_clusters(session).api.patch(
        RAY_CLUSTERS, RELEASE, "ray", operations, how="json", manager="python-requests"
    )
    ray_release.roll_back(session, None, print)
    found = group(session)
    assert (found["replicas"], found["scaleStrategy"]["workersToDelete"]) == (
        5,
        ["ray-cpu-worker-x"],
    )


def test_after_a_first_install_with_a_bad_image_the_good_one_is_deployed(
    session: EnvironmentSession,
) -> None:
    with pytest.raises(RayError, match="ImagePullBackOff"):
        install(session, image__repository="rayproject/ray", image__tag="9.9.9")
    said: list[str] = []
    assert install(session, said).done == "upgraded"
    assert any("No head of ray runs" in line for line in said)


def test_a_cluster_that_is_being_deleted_is_waited_for_before_it_is_made_again(
    session: EnvironmentSession,
) -> None:
    install(session)
    api = ray_clusters(session).api
    held = {"metadata": {"finalizers": ["example.com/held"]}}
    api.patch(RAY_CLUSTERS, RELEASE, "ray", held)
    first = api.get(RAY_CLUSTERS, RELEASE, "ray")
    assert first is not None
    api.delete(RAY_CLUSTERS, RELEASE, "ray")
    said: list[str] = []

    def let_go_when_waited_for() -> None:
        while not any("Waiting until the RayCluster ray is gone" in line for line in list(said)):
            over.wait(0.05)
        api.patch(RAY_CLUSTERS, RELEASE, "ray", {"metadata": {"finalizers": None}})

    over = threading.Event()
    releaser = threading.Thread(target=let_go_when_waited_for, daemon=True)
    releaser.start()
    install(session, said)
    releaser.join()
    again = api.get(RAY_CLUSTERS, RELEASE, "ray")
    assert again is not None
    assert again["metadata"]["uid"] != first["metadata"]["uid"]
    assert "held by example.com/held" in " ".join(said)


def test_a_release_stuck_in_pending_is_gone_on_with_and_one_in_work_is_waited_for(
    session: EnvironmentSession,
) -> None:
    install(session)
    install(session, workerGroups__cpu__maxReplicas=9)
    make_pending(session, seconds_ago=60)
    assert install(session, workerGroups__cpu__maxReplicas=9).done == "upgraded"
    assert revisions(session) == [(1, "superseded"), (2, "deployed")]
    make_pending(session, seconds_ago=-60)  # its clock is ahead: it stays young
    with pytest.raises(BusyError, match="pending-upgrade"):
        install(session)


def test_an_api_killed_in_the_middle_of_an_upgrade_ends_in_one_release(
    session: EnvironmentSession,
) -> None:
    install(session)
    api, settings = ray_clusters(session).api, session.settings
    version = api.list(SECRETS)["metadata"]["resourceVersion"]

    def kill_at_the_pending_record() -> None:
        for kind, content in api.watch(SECRETS, version, seconds=30):
            if kind == "ADDED" and content["metadata"]["name"].endswith("v2"):
                running = find_kubernetes(settings)
                assert running is not None
                os.kill(running.pid, signal.SIGKILL)
                return

    killer = threading.Thread(target=kill_at_the_pending_record)
    killer.start()
    said: list[str] = []
    done = install(session, said, workerGroups__cpu__maxReplicas=9)
    killer.join()
    assert done.release.status == "deployed"
    assert group(session)["maxReplicas"] == 9
    found = revisions(session)
    assert [status for _, status in found].count("deployed") == 1
    assert not [status for _, status in found if status.startswith("pending")]
    assert any("going on as soon as it answers" in line for line in said)
    assert install(session, workerGroups__cpu__maxReplicas=9).done == "unchanged"


class Expired:
    """A token that has ended; who is refused with it gets one that holds."""

    def __init__(self, good: str) -> None:
        self._good = good
        self.given = "of-yesterday"

    def __call__(self, was_refused: bool) -> str:
        if was_refused:
            self.given = self._good
        return self.given


def test_a_token_that_has_ended_is_renewed_for_the_api_and_for_helm_s_own_process(
    session: EnvironmentSession,
    settings: Settings,
    rendered: tuple[Mapping[str, Any], RenderedChart],
) -> None:
    install(session)
    access, values = kubernetes_access(settings), rendered[0]
    chart = session.settings.ray_chart
    acts: tuple[Callable[[HelmReleases], object], ...] = (
        lambda releases: releases.install(chart, RELEASE, values, made_from="again"),
        lambda releases: releases.rollback(RELEASE, 1),
        lambda releases: releases.uninstall(RELEASE),
    )
    for act in acts:
        token = Expired(access.token(False))
        act(HelmReleases(KubernetesApi(replace(access, token=token), "test"), "ray"))
        assert token.given != "of-yesterday"
    assert revisions(session) == []


def test_two_deployments_at_once_make_one_release(session: EnvironmentSession) -> None:
    ray_clusters(session).prepare()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: install(session).done, range(2)))
    assert sorted(done) == ["installed", "unchanged"]
    assert revisions(session) == [(1, "deployed")]


def test_pods_are_not_replaced_under_a_running_job_but_bounds_may_change(
    session: EnvironmentSession, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_jobs, "PATIENCE_SECONDS", 0.2)
    head = Head()
    head.jobs["busy"] = "RUNNING"
    monkeypatch.setattr(operator, "dashboard", lambda name: head.port)
    install(session)
    with pytest.raises(RayError, match="jobs still run on them: busy"):
        install(session, image__tag="2.60.0-py312")
    assert install(session, workerGroups__cpu__maxReplicas=9).release.revision == 2
    head.end()
