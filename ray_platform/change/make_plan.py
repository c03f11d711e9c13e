"""Stage `plan`: plan once, show once, store what was made."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray_platform.change.plan_guard import require_no_foreign_code
from ray_platform.cost.estimate import Estimate
from ray_platform.cost.session_parts import plan_costs, prices_of
from ray_platform.records.records_store import PlanRecord
from ray_platform.records.version_differences import WHOLE_DIGEST
from ray_platform.session import audit_notes
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.terraform.state_bucket_store import ensure_state_bucket
from ray_platform.text.canonical import digest, digest_bytes, digest_files
from ray_platform.text.redaction import (
    plan_secrets,
    quoted_secrets,
    redact,
    redact_marked,
    redact_plan_json,
    redact_text,
)


@dataclass(frozen=True)
class MadePlan:
    """A plan (secrets masked) with its record and what it would cost."""

    record: PlanRecord
    plan: Plan
    estimate: Estimate


def make_plan(
    session: EnvironmentSession, *, destroy: bool, progress: Callable[[str], None]
) -> MadePlan:
    """Plan an environment and store the saved plan, its masked JSON and text, and its record.

    Args:
        session: The environment.
        destroy: Plan the removal of everything.
        progress: Is told what is being done, a line at a time.

    Raises:
        PolicyDenied: it is a pull request's, and planning it would run foreign code.
        PlatformError: any of Terraform's, the state's or the store's.
    """
    require_no_foreign_code(session)
    state_place = session.environment.state
    ensure_state_bucket(session.aws("s3"), state_place.bucket, session.environment.region)
    terraform = session.terraform(progress)
    terraform.init()
    # Read before the plan: were the state to move in between, the plan would count as stale, never as fresh.
    state = terraform.state()
    with tempfile.TemporaryDirectory(prefix="ray-platform-plan-") as folder:
        out = Path(folder) / "plan.tfplan"
        made = terraform.plan(out, destroy=destroy)
        saved = out.read_bytes()
    plan_digest = read_plan(made.json, where=f"the plan of {session.name}").digest
    # From here on only what is masked: nothing that tells of the plan can tell a secret of it.
    known = plan_secrets(made.json) | state.secrets
    plan_json = redact_plan_json(made.json, known)
    plan = replace(read_plan(plan_json, where=f"the plan of {session.name}"), digest=plan_digest)
    root = session.settings.terraform_root
    record = PlanRecord(
        environment=session.name,
        plan_digest=plan.digest,
        file_digest=digest_bytes(saved),
        state_lineage=state.lineage,
        state_serial=state.serial,
        revision=session.revision.to_json(),
        configuration_digest=configuration_digest(root),
        variables_digest=session.artifacts.put_content(
            "variables", _clean_variables(session.environment.variables, plan_json, known)
        ),
        provider_lock_digest=digest_bytes((root / ".terraform.lock.hcl").read_bytes()),
        price_book_version=prices_of(session).version,
        counts=plan.counts.to_json(),
        empty=plan.is_empty,
        destroy=destroy,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        pull_request=str(session.pull or ""),
        base=session.base or "",
    )
    session.records.save_plan(
        record,
        file=saved,
        plan_json=plan_json,
        text=redact_text(made.text, known | quoted_secrets(made.json)),
    )
    audit_notes.note(
        session,
        "plan",
        "made",
        record=record,
        reason=f"{'removal: ' if destroy else ''}{plan.counts}",
    )
    return MadePlan(record, plan, plan_costs(session, plan))


def _clean_variables(
    variables: Mapping[str, Any], plan_json: Mapping[str, Any], known: frozenset[str]
) -> dict[str, Any]:
    """The variables file's values, secrets masked; then with the digest of the unmasked ones, so that a
    changed secret is a change."""
    declared = plan_json.get("configuration", {}).get("root_module", {}).get("variables", {})
    marks = {name: True for name, item in declared.items() if item.get("sensitive") is True}
    clean: dict[str, Any] = redact(redact_marked(dict(variables), marks), known)
    return clean if clean == dict(variables) else {**clean, WHOLE_DIGEST: digest(variables)}


def configuration_digest(root: Path) -> str:
    """Hex SHA-256 over the HCL files of a Terraform root and its modules, without the variables files."""
    return digest_files(
        (str(path.relative_to(root)), path.read_bytes())
        for path in root.rglob("*.tf")
        if ".terraform" not in path.relative_to(root).parts
    )
