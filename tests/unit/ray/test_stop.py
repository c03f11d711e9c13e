"""The end of an environment's Ray: KubeRay's clean-up needs the service account until the cluster is gone."""

from typing import Any

import pytest

from ray_platform.ray import gone_client
from ray_platform.ray.clusters import RayOnKubernetes
from ray_platform.ray.gone_client import wait_gone
from ray_platform.text.errors import RayError
from tests.support.kuberay_recordings import recording


class Api:
    """What stood in a recording, from one question to the next; then nothing."""

    def __init__(self, *moments: float) -> None:
        self._moments = [recording("delete-redis-ok").at(at) for at in moments]
        self.deleted: list[str] = []
        self.asked = 0

    def get(self, of: tuple[str, str], name: str, namespace: str = "") -> Any:
        self.asked += 1
        self._now = self._moments.pop(0) if self._moments else None
        found = self._now.of("RayCluster") if self._now else []
        return next((c for c in found if c["metadata"]["name"] == name), None)

    def list(self, of: tuple[str, str], namespace: str, **query: str) -> Any:
        name = query["labelSelector"].rpartition("=")[2]
        pods = self._now.pods if self._now else []
        return {"items": [p for p in pods if p["metadata"]["labels"]["ray.io/cluster"] == name]}

    def delete(self, of: tuple[str, str], name: str, namespace: str = "") -> bool:
        self.deleted.append(f"{of[1]}/{name}")
        return True


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gone_client, "POLL_SECONDS", 0.0)


def test_an_object_that_is_being_deleted_still_exists_and_says_what_holds_it() -> None:
    said: list[str] = []
    api: Any = Api(6.5, 9.0)
    wait_gone(api, "ray", "ray", said.append)
    assert api.asked == 3
    assert "held by ray.io/gcs-ft-redis-cleanup-finalizer" in said[0]


def test_one_that_never_goes_is_told_with_what_holds_it() -> None:
    api: Any = Api(*[9.0] * 3)
    with pytest.raises(RayError, match="not gone after 0 s: the object, held by") as held:
        wait_gone(api, "ray", "ray", print, seconds=0.0)
    assert "kubectl" in held.value.fix


def test_the_service_account_goes_when_the_clusters_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api(6.5, 9.0)

    class Releases:
        def uninstall(self, name: str) -> None:
            api.deleted.append(f"release/{name}")

    cluster: Any = object.__new__(RayOnKubernetes)
    cluster.__dict__ |= {"api": api, "local": None, "namespace": "ray"}
    monkeypatch.setattr(RayOnKubernetes, "releases", property(lambda self: Releases()))
    RayOnKubernetes.stop(cluster)
    assert api.deleted.index("serviceaccounts/ray") > api.deleted.index("rayclusters/ray")
    assert api.asked >= 3
    assert api.deleted[-2:] == ["serviceaccounts/ray", "services/ray-active"]
