"""Helm releases on a cluster: installed, upgraded, rolled back, and found as they were left.

Every action runs in a child process that is started by one fixed name. The library hangs in a child
that was forked after it was imported; and Helm applies server-side under the name of its program,
so that a release made by `python` and upgraded by `python3` would conflict with itself.
"""

import base64
import datetime
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_platform.kubernetes.api_client import SECRETS, KubernetesApi
from ray_platform.text.errors import BusyError, KubernetesError

#: The name of the child process, and so Helm's field manager.
MANAGER = "ray-platform-helm"
#: Longest that Helm itself may take; it waits for nothing, the platform does.
ACTION_SECONDS = 120
#: A release that another process is changing is left alone for this long; then it is stuck. An
#: action here takes a second.
STUCK_SECONDS = 30.0
POLL_SECONDS = 0.5
#: Label of a release: what it was made from, so that the same is not made again.
INPUT_LABEL = "ray-platform/input"
HISTORY = 20

DEPLOYED, FAILED, SUPERSEDED = "deployed", "failed", "superseded"
_SCRIPT = Path(__file__).with_name("helm_action_process.py")
_UNFINISHED = "pending-"
#: What Helm says when somebody else owns a field, or has begun a change at the same moment.
_IN_BETWEEN = ("conflict", "still in use", "another operation", "already exists")


@dataclass(frozen=True)
class Release:
    """One revision of a release. ``input`` names what it was made from, ``updated`` is ISO 8601."""

    name: str
    namespace: str
    revision: int
    status: str
    updated: str
    chart: str
    input: str

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


class HelmReleases:
    """The releases of one namespace.

    Args:
        api: The cluster's API.
        namespace: It exists.
        stuck_seconds: After how long an unfinished change is taken for one whose process is dead.
    """

    def __init__(
        self, api: KubernetesApi, namespace: str, *, stuck_seconds: float = STUCK_SECONDS
    ) -> None:
        self._api = api
        self.namespace = namespace
        self._stuck_seconds = stuck_seconds

    def history(self, name: str) -> tuple[Release, ...]:
        """The revisions of a release, the oldest first; none: it was never installed.

        They are read where Helm keeps them, in secrets: that costs a hundredth of a child process.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        records = self._records(name)
        return tuple(sorted((_release(r) for r in records), key=lambda r: r.revision))

    def manifest(self, name: str, revision: int) -> str:
        """The rendered manifest of a revision, YAML; empty: there is no such revision.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        found = [r for r in self._records(name) if int(r["version"]) == revision]
        return str(found[0].get("manifest", "")) if found else ""

    def _records(self, name: str) -> list[dict[str, Any]]:
        selector = f"owner=helm,name={name}"
        items = self._api.list(SECRETS, self.namespace, labelSelector=selector)["items"]
        return [
            {**_unpacked(item["data"]["release"]), "labels": item["metadata"].get("labels") or {}}
            for item in items
        ]

    def settled_history(self, name: str) -> tuple[Release, ...]:
        """The history without what a killed process left half-done: that is forgotten.

        The objects of a forgotten revision stay; the next upgrade brings them in line.

        Raises:
            BusyError: another process is changing the release now.
            KubernetesError: the API refuses or does not answer.
        """
        deadline = time.monotonic() + 2 * self._stuck_seconds
        while True:
            history = self.history(name)
            unfinished = [r for r in history if r.status.startswith(_UNFINISHED)]
            if not unfinished:
                break
            latest = unfinished[-1]
            if _age(latest.updated) > self._stuck_seconds:
                self._forget(latest)
            elif time.monotonic() > deadline:
                raise BusyError(
                    f"another process is changing the Helm release {name}: it is {latest.status}",
                    where=f"namespace {self.namespace}, revision {latest.revision}",
                    fix="wait for it and try again",
                )
            else:
                time.sleep(POLL_SECONDS)
        if history and not any(r.status in (DEPLOYED, SUPERSEDED) for r in history):
            # Helm upgrades no release that was never deployed.
            for release in history:
                self._forget(release)
            return ()
        return history

    def install(
        self, chart: Path, name: str, values: Mapping[str, Any], *, made_from: str
    ) -> Release:
        """Install or upgrade a release; waits for nothing.

        Args:
            chart: The chart's folder.
            name: The release.
            values: The whole values.
            made_from: Digest that names chart and values: the release's label.

        Raises:
            KubernetesError: Helm or the API refuses (code 409: another manager owns a field, or
                another process has begun a change), or the API does not answer.
            BusyError: as `settled_history`.
        """
        exists = bool(self.settled_history(name))
        options: dict[str, Any] = {"labels": {INPUT_LABEL: label(made_from)}}
        if exists:
            options |= {"reset_values": True, "max_history": HISTORY}
        action = "upgrade" if exists else "install"
        answer = self._run(action, name, chart=str(chart), values=values, options=options)
        revision = int(self._answer(answer, name)["revision"])
        return next(r for r in self.history(name) if r.revision == revision)

    def rollback(self, name: str, revision: int) -> Release:
        """Make an earlier revision the current one, as a new revision; waits for nothing.

        Raises:
            KubernetesError: there is no such revision, or as `install`.
            BusyError: as `settled_history`.
        """
        self.settled_history(name)
        self._answer(self._run("rollback", name, options={"version": revision}), name)
        return self.history(name)[-1]

    def uninstall(self, name: str) -> None:
        """Remove a release and its objects, if there is one.

        Raises:
            KubernetesError: the API refuses or does not answer.
        """
        # Helm's own process renews no token: it gets one that has just been taken.
        if self.history(name):
            self._answer(self._run("uninstall", name), name)

    def _forget(self, release: Release) -> None:
        record = f"sh.helm.release.v1.{release.name}.v{release.revision}"
        self._api.delete(SECRETS, record, self.namespace)

    def _run(self, action: str, name: str, **request: Any) -> dict[str, Any]:
        content = {
            "action": action,
            "release": name,
            "namespace": self.namespace,
            "kubeconfig": self._api.access.kubeconfig(),
            **request,
        }
        where = f"Helm release {name} in namespace {self.namespace}"
        try:
            done = subprocess.run(
                # Python finds its libraries beside argv[0], so it stands where the real one does.
                [str(Path(sys.executable).with_name(MANAGER)), "-P", str(_SCRIPT)],
                executable=sys.executable,
                input=json.dumps(content),
                capture_output=True,
                text=True,
                timeout=ACTION_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubernetesError(
                f"Helm's {action} took longer than {ACTION_SECONDS} s",
                where=where,
                fix="see that the Kubernetes API answers, and try again: it goes on from there",
            ) from error
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise KubernetesError(
                f"Helm's {action} failed (exit code {done.returncode}): {last}",
                where=where,
                fix="try again; if it stays, install the dependencies again: `make clean up`",
            )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _answer(self, answer: Mapping[str, Any], name: str) -> Any:
        if "error" not in answer:
            return answer["answer"]
        message = " ".join(str(answer["message"]).split())
        is_conflict = any(word in message for word in _IN_BETWEEN)
        is_away = answer["error"] == "HelmKubeError" or "connection refused" in message
        raise KubernetesError(
            f"Helm could not change the release {name}: {message}",
            where=f"namespace {self.namespace} of {self._api.access.endpoint}",
            fix="see that the Kubernetes API answers, and try again: it goes on from there"
            if is_away
            else "mend what the message names, and try again",
            code=409 if is_conflict else 0 if is_away else 422,
        )


def label(made_from: str) -> str:
    """A digest as the label's value, which holds 63 characters."""
    return made_from[:40]


def _release(record: Mapping[str, Any]) -> Release:
    info, chart = record.get("info") or {}, (record.get("chart") or {}).get("metadata") or {}
    return Release(
        name=str(record["name"]),
        namespace=str(record["namespace"]),
        revision=int(record["version"]),
        status=str(info.get("status", "")),
        updated=str(info.get("last_deployed", "")),
        chart=f"{chart.get('name', '')}-{chart.get('version', '')}",
        input=str(record["labels"].get(INPUT_LABEL, "")),
    )


def _unpacked(data: str) -> dict[str, Any]:
    """Helm's own record in a secret: JSON, by gzip, in base64, which the secret encodes once more."""
    packed = base64.b64decode(base64.b64decode(data))
    record: dict[str, Any] = json.loads(gzip.decompress(packed))
    return record


def _age(updated: str) -> float:
    """Seconds since a time; endless for none."""
    try:
        then = datetime.datetime.fromisoformat(updated)
    except ValueError:
        return float("inf")
    return (datetime.datetime.now(datetime.UTC) - then).total_seconds()
