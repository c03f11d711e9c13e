"""The records of one environment in the artifact store: plans, approvals, what is applied, infra versions.

::

    plans/ENV/DIGEST/record.json      what a plan is: digests, state, revision, verdict, estimate
    plans/ENV/DIGEST/plan.tfplan      the saved plan that will be applied, as Terraform wrote it
    plans/ENV/DIGEST/plan.json        its JSON, secrets masked
    plans/ENV/DIGEST/plan.txt         its readable text
    approvals/ENV/DIGEST/*.json       one file an approval
    audit/ENV/NUMBER.json             decisions, each bound to the one before (`audit_log`)
    environments/ENV/*.json           planned, applied, ray: the latest of each
    manifests/VERSION.json            infra versions, by content hash
    modules/, variables/, values/     what their digests stand for, by content hash
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ray_platform.git.revision import Revision
from ray_platform.records import infra_version
from ray_platform.records.approval import Approval
from ray_platform.store.artifact_store import Artifacts
from ray_platform.text.canonical import DIGEST_CHARS, canonical_json, digest, digest_bytes
from ray_platform.text.errors import ArtifactError, NotFoundError

MIN_PREFIX = 6


@dataclass(frozen=True)
class PlanRecord:
    """One saved plan. Digests are hex SHA-256; ``file_digest`` is over the saved file's bytes.

    ``made_at`` is an ISO 8601 time in UTC. ``pull_request`` is ``OWNER/NAME#7`` for a plan of a pull request,
    ``base`` then the commit of its base branch whose rules hold.
    """

    environment: str
    plan_digest: str
    file_digest: str
    state_lineage: str
    state_serial: int
    revision: Mapping[str, Any]
    configuration_digest: str
    variables_digest: str
    provider_lock_digest: str
    price_book_version: str
    counts: Mapping[str, int]
    empty: bool
    destroy: bool
    made_at: str
    pull_request: str = ""
    base: str = ""

    @property
    def commit(self) -> Revision:
        return Revision.from_json(self.revision)


class Records:
    """The records of one environment."""

    def __init__(self, artifacts: Artifacts, environment: str) -> None:
        self.artifacts = artifacts
        self.environment = environment

    # Plans ---------------------------------------------------------------------------------------

    def save_plan(self, record: PlanRecord, *, file: bytes, plan_json: Any, text: str) -> None:
        """Store a plan; the record comes last, so that a record means a whole plan."""
        store = self.artifacts.store
        folder = self._plan(record.plan_digest)
        store.put(f"{folder}/plan.tfplan", file)
        store.put(f"{folder}/plan.txt", text.encode())
        self.artifacts.write(f"{folder}/plan.json", plan_json)
        self.artifacts.write(f"{folder}/record.json", asdict(record))
        self.artifacts.write(
            f"environments/{self.environment}/planned.json", {"plan_digest": record.plan_digest}
        )

    def plan(self, prefix: str) -> PlanRecord:
        """A plan by its digest or a unique beginning of it (at least 6 characters).

        Raises:
            NotFoundError: none, or several.
        """
        if len(prefix) == DIGEST_CHARS and (
            record := self.artifacts.read(f"{self._plan(prefix)}/record.json")
        ):
            return PlanRecord(**record)  # a listing grows with the history
        found = {
            key.split("/")[2] for key in self.artifacts.store.keys(f"plans/{self.environment}")
        }
        matching = sorted(name for name in found if name.startswith(prefix))
        if len(prefix) < MIN_PREFIX or len(matching) != 1:
            raise NotFoundError(
                f"{len(matching)} plans of {self.environment} begin with {prefix!r}",
                where=self.artifacts.store.url(f"plans/{self.environment}"),
                fix=f"ray-platform plan --env {self.environment} prints the digest",
            )
        record = self.artifacts.read(f"{self._plan(matching[0])}/record.json")
        if record is None:
            raise NotFoundError(
                "the plan was not stored whole",
                where=self.artifacts.store.url(self._plan(matching[0])),
                fix=f"ray-platform plan --env {self.environment} makes it again",
            )
        return PlanRecord(**record)

    def pull_request_of(self, plan_digest: str) -> str:
        """The pull request (``OWNER/NAME#7``) that a plan was made for; empty for none."""
        record = self.artifacts.read(f"{self._plan(plan_digest)}/record.json") or {}
        return str(record.get("pull_request", ""))

    def latest_plan(self) -> PlanRecord | None:
        """The plan that was made last, or None."""
        planned = self.artifacts.read(f"environments/{self.environment}/planned.json")
        return self.plan(planned["plan_digest"]) if planned else None

    def plan_json(self, record: PlanRecord) -> Any:
        """The JSON of a plan, secrets masked."""
        return self.artifacts.read(f"{self._plan(record.plan_digest)}/plan.json")

    def plan_text(self, record: PlanRecord) -> str:
        content = self.artifacts.store.get(f"{self._plan(record.plan_digest)}/plan.txt")
        return (content or b"").decode()

    def plan_file(self, record: PlanRecord) -> bytes:
        """The saved plan file.

        Raises:
            ArtifactError: it is missing or is not the file that was saved.
        """
        key = f"{self._plan(record.plan_digest)}/plan.tfplan"
        content = self.artifacts.store.get(key)
        if content is None or digest_bytes(content) != record.file_digest:
            raise ArtifactError(
                "the saved plan file is missing or was changed after it was made",
                where=self.artifacts.store.url(key),
                fix=f"ray-platform plan --env {self.environment} makes it again",
            )
        return content

    def _plan(self, plan_digest: str) -> str:
        return f"plans/{self.environment}/{plan_digest}"

    # Approvals -----------------------------------------------------------------------------------

    def approve(self, approval: Approval) -> None:
        """Add an approval; the same one again changes nothing."""
        self.artifacts.store.add(self._approval(approval), canonical_json(approval.to_json()))

    def has_approved(self, approval: Approval) -> bool:
        """Whether the same person has approved the same plan on the same state before."""
        return self.artifacts.store.get(self._approval(approval)) is not None

    def approvals(self, plan_digest: str) -> tuple[Approval, ...]:
        """Every approval of a plan, also those given on an earlier state."""
        keys = self.artifacts.store.keys(f"approvals/{self.environment}/{plan_digest}")
        return tuple(Approval.from_json(self.artifacts.read(key) or {}) for key in keys)

    def _approval(self, approval: Approval) -> str:
        bound = {**approval.to_json(), "at": "", "source": ""}
        return f"approvals/{self.environment}/{approval.plan_digest}/{digest(bound)}.json"

    # What stands now -----------------------------------------------------------------------------

    def applied(self) -> infra_version.Applied | None:
        record = self.artifacts.read(f"environments/{self.environment}/applied.json")
        return infra_version.Applied.from_json(record) if record else None

    def save_applied(self, applied: infra_version.Applied) -> None:
        self.artifacts.write(f"environments/{self.environment}/applied.json", applied.to_json())

    def forget_applied(self) -> None:
        """After a destroy: nothing stands in the environment any more."""
        for name in ("applied", "ray", "release", "outputs", "since"):
            self.artifacts.write(f"environments/{self.environment}/{name}.json", {})

    def stands_since(self, now: float, lineage: str) -> None:
        """Remember when what stands was first applied, in epoch seconds.

        Later calls change nothing while the state's lineage is the same: another lineage is another
        infrastructure, as after a restart of the emulator.
        """
        key = f"environments/{self.environment}/since.json"
        known = self.artifacts.read(key) or {}
        if known.get("state_lineage") != lineage:
            self.artifacts.write(key, {"since": now, "state_lineage": lineage})

    def ray(self) -> infra_version.Ray | None:
        record = self.artifacts.read(f"environments/{self.environment}/ray.json")
        return infra_version.Ray.from_json(record) if record else None

    def save_ray(self, ray: infra_version.Ray) -> None:
        self.artifacts.write(f"environments/{self.environment}/ray.json", ray.to_json())

    # Infra versions ------------------------------------------------------------------------------

    def record_infra_version(self) -> str | None:
        """Store the manifest of what stands now and return its version; None before the first apply."""
        applied = self.applied()
        if applied is None:
            return None
        manifest = infra_version.manifest(self.environment, applied, self.ray())
        return self.artifacts.put_content("manifests", manifest)

    def manifest(self, version: str) -> dict[str, Any]:
        """The manifest of an infra version, checked against its hash."""
        manifest: dict[str, Any] = self.artifacts.get_content("manifests", version)
        return manifest

    def find_version(self, prefix: str) -> str:
        """A whole infra version from a unique beginning of it.

        Raises:
            NotFoundError: none, or several.
        """
        names = [
            key.removeprefix("manifests/").removesuffix(".json")
            for key in self.artifacts.store.keys("manifests")
        ]
        matching = [name for name in names if name.startswith(prefix)]
        if len(prefix) < MIN_PREFIX or len(matching) != 1:
            raise NotFoundError(
                f"{len(matching)} infra versions begin with {prefix!r}",
                where=self.artifacts.store.url("manifests"),
                fix=f"give at least {MIN_PREFIX} characters of one that `ray-platform status` shows",
            )
        return matching[0]
