"""The stand-in's process: ``python -m ray_platform_sandbox.kuberay.controller``.

It lists and watches RayCluster objects, as KubeRay's operator does, and gives each a keeper. It knows
its home and ports by the platform's own variables.
"""

import datetime
import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from ray_platform.config.settings import Settings, load_settings
from ray_platform.kubernetes.api_client import EVENTS, RAY_CLUSTERS, KubernetesApi
from ray_platform.text.errors import KubernetesError, PlatformError
from ray_platform_sandbox.kuberay import manifests
from ray_platform_sandbox.kuberay.job_keeper import JobKeeper
from ray_platform_sandbox.kuberay.keeper import Keeper
from ray_platform_sandbox.kuberay.wanted import read_ray_cluster
from ray_platform_sandbox.kubernetes.service import (
    find_kubernetes,
    kubernetes_access,
    objects_folder,
)
from ray_platform_sandbox.ray.nodes import (
    MOST_CLUSTERS,
    Place,
    find_nodes,
    place,
    recorded,
    stop_nodes,
)
from ray_platform_sandbox.services import processes

MANAGER = "kuberay-operator"
#: How long a watch lasts before it is opened anew, and how soon a broken one is.
WATCH_SECONDS = 240.0
RETRY_SECONDS = 0.5
#: Kubernetes' own default.
EVENT_LIFETIME = datetime.timedelta(hours=1)
Key = tuple[str, str]


class Controller:
    """The keepers of a home's RayClusters, by namespace and name."""

    def __init__(self, settings: Settings, api: KubernetesApi) -> None:
        self._settings = settings
        self._api = api
        self._keepers: dict[Key, Keeper] = {}
        #: Keepers end in threads of their own, and leave their place to who waits for one.
        self._lock = threading.RLock()
        self._waiting: set[Key] = set()

    def run(self) -> None:
        """Follow the objects until ended; the API may go and come back meanwhile."""
        while True:
            try:
                listed = self._api.list(RAY_CLUSTERS)
                self._see_all(listed["items"])
                self._forget_old_events()
                version = listed["metadata"]["resourceVersion"]
                for kind, content in self._api.watch(RAY_CLUSTERS, version, seconds=WATCH_SECONDS):
                    self._see(content, is_gone=kind == "DELETED")
            except KubernetesError as error:
                logging.info("the API: %s", error.what)
                time.sleep(RETRY_SECONDS)

    def _see_all(self, items: list[dict[str, Any]]) -> None:
        there = {_key(content): content["metadata"]["uid"] for content in items}
        self._end_orphans(there)
        for content in items:
            self._see(content, is_gone=False)
        with self._lock:
            for key, keeper in self._keepers.items():
                if key not in there:
                    keeper.hear(None)

    def _forget_old_events(self) -> None:
        oldest = datetime.datetime.now(datetime.UTC) - EVENT_LIFETIME
        for event in self._api.list(EVENTS)["items"]:
            metadata = event["metadata"]
            if datetime.datetime.fromisoformat(metadata["creationTimestamp"]) < oldest:
                self._api.delete(EVENTS, metadata["name"], metadata["namespace"])

    def _end_orphans(self, there: Mapping[Key, str]) -> None:
        """End what runs for objects that went while nobody watched."""
        for number in range(MOST_CLUSTERS):
            at = place(self._settings, number)
            of, _, rest = recorded(at).get("frame", "").partition(" ")
            key = _split(of)
            if key is None or not rest or there.get(key) == rest.split(" ")[0]:
                continue
            if key not in self._keepers:
                logging.info("%s is gone: its processes are ended", of)
                stop_nodes(at)

    def _see(self, content: dict[str, Any], *, is_gone: bool) -> None:
        key = _key(content)
        with self._lock:
            keeper = self._keepers.get(key)
            if keeper is not None and keeper.is_alive():
                keeper.hear(None if is_gone else content)
            elif not is_gone:
                self._keep(key, content)
            else:
                self._waiting.discard(key)

    def _keep(self, key: Key, content: dict[str, Any]) -> None:
        at = self._place(key)
        if at is None:
            if key not in self._waiting:
                self._waiting.add(key)
                self._tell_of_no_room(content)
            return
        self._waiting.discard(key)
        logs = objects_folder(self._settings) / "logs"
        head_log = processes.log_file(self._settings.home, at.name)
        keeper = Keeper(key, at, self._api, logs, head_log, ended=lambda: self._over(key))
        self._keepers[key] = keeper
        keeper.hear(content)
        keeper.start()

    def _over(self, key: Key) -> None:
        """A keeper's object and processes are gone: its place is free."""
        with self._lock:
            self._keepers.pop(key, None)
            waiting = sorted(self._waiting)
        try:
            # Its own as well: one of the same name may have come meanwhile.
            for namespace, name in (*waiting, key):
                content = self._api.get(RAY_CLUSTERS, name, namespace)
                if content is not None:
                    self._see(content, is_gone=False)
        except KubernetesError as error:
            logging.info("the API: %s", error.what)  # the next list shows them

    def _tell_of_no_room(self, content: Mapping[str, Any]) -> None:
        message = (
            f"this machine runs {MOST_CLUSTERS} Ray clusters at most: it waits until one of them is "
            "deleted"
        )
        wanted = read_ray_cluster(content)
        logging.warning("%s: %s", wanted.key, message)
        event = manifests.event(wanted, "NoRoom", message, kind="Warning")
        self._api.create(EVENTS, event, wanted.namespace)

    def _place(self, key: Key) -> Place | None:
        """Where the cluster runs already, or else the first free place."""
        places = [place(self._settings, number) for number in range(MOST_CLUSTERS)]
        held = {k.at.name for other, k in self._keepers.items() if other != key and k.is_alive()}
        free = [at for at in places if at.name not in held]
        holders = {at: _split(recorded(at).get("frame", "").partition(" ")[0]) for at in free}
        for at, holder in holders.items():
            if holder == key:
                return at
        # Nodes that were started for no object, and run no more, hold no place.
        empty = (at for at, holder in holders.items() if holder is None and find_nodes(at) is None)
        return next(empty, None)


def _key(content: Mapping[str, Any]) -> Key:
    return content["metadata"]["namespace"], content["metadata"]["name"]


def _split(text: str) -> Key | None:
    namespace, slash, name = text.partition("/")
    return (namespace, name) if slash else None


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings()
    if find_kubernetes(settings) is None:
        logging.warning("no Kubernetes API runs yet; waiting for it")
    api = KubernetesApi(kubernetes_access(settings), MANAGER)
    JobKeeper(settings, api).start()
    try:
        Controller(settings, api).run()
    except PlatformError as error:
        logging.error("%s", error)
    return 1


if __name__ == "__main__":
    sys.exit(main())
