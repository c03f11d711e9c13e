"""What commands, checks and sensors read back of materializations and check results: one class an asset.

The facts of the Ray cluster and of burst runs are in `ray_platform.run_history.asset_facts`, because
lineage reads them too. Every field name is a metadata key. US dollars are floats with cents, as the UI
plots them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from ray_platform.cost.estimate import money_text
from ray_platform.cost.estimate_lines import Totals
from ray_platform.cost.report.cost_report import CostReport
from ray_platform.drift.items import DriftItem
from ray_platform.drift.rules import Severity
from ray_platform.policy.verdict import Verdict, Violation
from ray_platform.store.typed_facts import Facts
from ray_platform.terraform.plan import Counts

#: The name of the check whose result is `PolicyFacts`.
POLICY_CHECK = "policy"


@dataclass(frozen=True)
class PlanFacts(Facts):
    """The saved plan. ``saved_in`` is the address of its folder in the artifact store.

    ``applyable`` and ``complete`` are Terraform's own words. ``unpriced`` are the resources without a price,
    each with ``address`` and ``why``. ``whatif`` is the replay of the latest burst run on the planned worker
    groups, and ``whatif_table`` the same as Markdown. Both are None where the plan leaves the worker groups
    as they are.
    """

    SUBJECT: ClassVar[str] = "terraform_plan"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "plan_digest": "plan digest",
        "commit": "commit",
        "dirty": "dirty",
        "state_serial": "state serial",
        "to_create": "to create",
        "to_update": "to update",
        "to_replace": "to replace",
        "to_delete": "to delete",
        "monthly_usd_at_minimum": "monthly USD at minimum",
        "monthly_usd_at_maximum": "monthly USD at maximum",
        "monthly_usd_more_at_minimum": "monthly USD more at minimum",
        "monthly_usd_more_at_maximum": "monthly USD more at maximum",
        "saved_in": "saved in",
        "whatif": "what if JSON",
        "whatif_table": "what if",
    }

    plan_digest: str
    commit: str
    dirty: bool
    state_serial: int
    to_create: int
    to_update: int
    to_replace: int
    to_delete: int
    to_move: int
    to_import: int
    to_forget: int
    to_read: int
    applyable: bool
    complete: bool
    unpriced: tuple[Mapping[str, str], ...]
    monthly_usd_at_minimum: float
    monthly_usd_at_maximum: float
    monthly_usd_more_at_minimum: float
    monthly_usd_more_at_maximum: float
    saved_in: str
    whatif: Mapping[str, Any] | None
    whatif_table: str | None

    @property
    def counts(self) -> Counts:
        return Counts(
            self.to_create,
            self.to_update,
            self.to_replace,
            self.to_delete,
            self.to_move,
            self.to_import,
            self.to_forget,
            self.to_read,
        )

    @classmethod
    def from_first(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Schema 1 counted what is created, updated, replaced and deleted, and refused any other plan."""
        read = super().from_first(values)
        changes = [read.get(f"to_{name}", 0) for name in ("create", "update", "replace", "delete")]
        return {
            "to_move": 0,
            "to_import": 0,
            "to_forget": 0,
            "to_read": 0,
            "applyable": any(changes),
            "complete": True,
            "unpriced": (),
            **read,
        }

    def monthly_usd(self) -> dict[str, float]:
        """What a month costs after the plan: ``at_minimum``, ``more_at_minimum`` ... in US dollars."""
        return {
            "at_minimum": self.monthly_usd_at_minimum,
            "at_maximum": self.monthly_usd_at_maximum,
            "more_at_minimum": self.monthly_usd_more_at_minimum,
            "more_at_maximum": self.monthly_usd_more_at_maximum,
        }

    def month_at(self, size: Literal["minimum", "maximum"]) -> str:
        """A month's cost at a size, and in brackets how much more it is than now."""
        usd = self.monthly_usd()
        word = " size" if size == "minimum" else ""
        total = money_text(Decimal(str(usd[f"at_{size}"])), len(self.unpriced))
        return f"{total} at {size}{word} ({usd[f'more_at_{size}']:+,.2f})"

    @staticmethod
    def of_totals(totals: Totals) -> dict[str, float]:
        """The monthly fields of an estimate."""
        return {
            "monthly_usd_at_minimum": float(totals.after_min),
            "monthly_usd_at_maximum": float(totals.after_max),
            "monthly_usd_more_at_minimum": float(totals.difference_min),
            "monthly_usd_more_at_maximum": float(totals.difference_max),
        }


@dataclass(frozen=True)
class PolicyFacts(Facts):
    """The result of the check `policy`: a plan's violations, none when it is allowed.

    ``advice`` stops nothing. ``excepted`` has a sentence for each violation that an exception lets through.
    """

    SUBJECT: ClassVar[str] = "the check policy"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "plan_digest": "plan digest",
        "policy_bundle": "policy bundle",
        "violations": "violations",
    }

    plan_digest: str
    policy_bundle: str
    violations: tuple[Violation, ...]
    advice: tuple[Violation, ...]
    excepted: tuple[str, ...]

    @classmethod
    def of(cls, plan_digest: str, verdict: Verdict) -> Self:
        excepted = tuple(str(item) for item in verdict.excepted)
        return cls(plan_digest, verdict.bundle_digest, verdict.violations, verdict.advice, excepted)

    @classmethod
    def from_first(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Schema 1 had neither advice nor exceptions."""
        return {"advice": (), "excepted": (), **super().from_first(values)}

    @property
    def summary(self) -> str:
        """Why the plan is denied, in one line; the first three violations of many."""
        if not self.violations:
            return "no rule denies the plan"
        said = [f"[{item.id}] {item.resource}: {item.message}" for item in self.violations[:3]]
        more = len(self.violations) - len(said)
        return "; ".join(said) + (f"; and {more} more" if more else "")


@dataclass(frozen=True)
class ModuleFacts(Facts):
    """One module after an apply. ``resources`` is their number; ``approved_by`` may be empty."""

    SUBJECT: ClassVar[str] = "an applied module"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "resources": "resources",
        "infra_version": "infra version",
        "plan_digest": "plan digest",
        "commit": "commit",
        "state_serial": "state serial",
        "approved_by": "approved by",
    }

    resources: int
    infra_version: str
    plan_digest: str
    commit: str
    state_serial: int
    approved_by: tuple[str, ...]

    @classmethod
    def from_first(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return _approvers_split(super().from_first(values))


@dataclass(frozen=True)
class RemovalFacts(Facts):
    """A removed environment, on each module's asset.

    ``state_backup`` and ``records_backup`` are addresses in the artifact store. ``ends_by_itself``
    names what still exists and why.
    """

    SUBJECT: ClassVar[str] = "a removal"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "resources_removed": "resources removed",
        "state_backup": "state backup",
        "records_backup": "records backup",
        "ends_by_itself": "ends by itself",
        "plan_digest": "plan digest",
        "approved_by": "approved by",
    }

    resources_removed: int
    state_backup: str
    records_backup: str
    ends_by_itself: tuple[str, ...]
    plan_digest: str
    approved_by: tuple[str, ...]

    @classmethod
    def from_first(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return _approvers_split(super().from_first(values))


@dataclass(frozen=True)
class CostFacts(Facts):
    """A day's cost.

    ``report`` is `report_json`, ``report_table`` the same as Markdown, ``page`` its address as HTML.
    ``forecast_usd`` and ``ledger_against_bill_percent`` are None while they are unknown.
    """

    SUBJECT: ClassVar[str] = "daily_cost_report"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "total_usd": "total USD",
        "burst_runs_usd": "burst runs USD",
        "idle_usd": "idle USD",
        "overhead_usd": "overhead USD",
        "fixed_usd": "fixed USD",
        "month_to_date_usd": "month to date USD",
        "budget_used_percent": "budget used percent",
        "alerts_fired": "alerts fired",
        "forecast_usd": "forecast USD",
        "ledger_against_bill_percent": "ledger against bill percent",
        "report": "report JSON",
        "report_table": "report",
        "page": "page",
    }

    total_usd: float
    burst_runs_usd: float
    idle_usd: float
    overhead_usd: float
    fixed_usd: float
    month_to_date_usd: float
    budget_used_percent: float
    alerts_fired: tuple[int, ...]
    forecast_usd: float | None
    ledger_against_bill_percent: float | None
    report: Mapping[str, Any]
    report_table: str
    page: str

    @classmethod
    def of(
        cls,
        report: CostReport,
        *,
        alerts_fired: tuple[int, ...],
        content: Mapping[str, Any],
        table: str,
        page: str,
    ) -> Self:
        to_usd = 100 * float(report.currency.rate)
        kinds = report.cents_by_kind()
        bill = report.reconciliation
        return cls(
            total_usd=round(report.total_cents / to_usd, 2),
            burst_runs_usd=round(kinds["run"] / to_usd, 2),
            idle_usd=round(kinds["idle"] / to_usd, 2),
            overhead_usd=round(kinds["overhead"] / to_usd, 2),
            fixed_usd=round(kinds["fixed"] / to_usd, 2),
            month_to_date_usd=round(report.month_to_date_cents / to_usd, 2),
            budget_used_percent=float(report.budget_used_percent),
            alerts_fired=alerts_fired,
            forecast_usd=round(report.forecast.cents / to_usd, 2) if report.forecast else None,
            ledger_against_bill_percent=(
                float(bill.percent) if bill is not None and bill.percent is not None else None
            ),
            report=content,
            report_table=table,
            page=page,
        )

    def usd(self) -> dict[str, float]:
        """The amounts in US dollars by name, the day's total first. The forecast only where it is known."""
        names = ("total", "burst_runs", "idle", "overhead", "fixed", "month_to_date", "forecast")
        found = {name: getattr(self, f"{name}_usd") for name in names}
        return {name: usd for name, usd in found.items() if usd is not None}


@dataclass(frozen=True)
class DriftFacts(Facts):
    """One look for drift. ``causes`` counts items by cause, ``expected`` those of severity none.

    ``open_incidents`` are the keys of the incidents after the look, ``proposed`` the address of the
    pull request that would adopt the drift. ``seen_at`` is ISO 8601 in UTC.
    """

    SUBJECT: ClassVar[str] = "drift_report"
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {
        "severity": "severity",
        "major": "major",
        "minor": "minor",
        "causes": "causes",
        "open_incidents": "open incidents",
        "items": "items",
        "seen_at": "seen at",
        "proposed": "proposed",
    }

    severity: Severity
    major: int
    minor: int
    expected: int
    causes: Mapping[str, int]
    open_incidents: tuple[str, ...]
    items: tuple[DriftItem, ...]
    seen_at: str
    proposed: str | None

    @classmethod
    def of(
        cls,
        items: Sequence[DriftItem],
        report: Mapping[str, Any],
        *,
        open_incidents: tuple[str, ...],
        seen_at: str,
        proposed: str | None,
    ) -> Self:
        """The facts of a look, from its items and their `to_json`."""
        counts = report["counts"]
        return cls(
            severity=report["severity"],
            major=counts["major"],
            minor=counts["minor"],
            expected=counts["none"],
            causes=report["causes"],
            open_incidents=open_incidents,
            items=tuple(items),
            seen_at=seen_at,
            proposed=proposed,
        )

    @classmethod
    def from_first(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        read = super().from_first(values)
        items = read.get("items")
        if isinstance(items, list):
            read["expected"] = sum(1 for item in items if item.get("severity") == "none")
        return read

    @property
    def summary(self) -> str:
        if not self.items:
            return "none"
        return f"{self.major} major, {self.minor} minor, {self.expected} expected"

    @property
    def verdict(self) -> str:
        """Why there is major drift, in one line; the first three places of many."""
        worst = [item for item in self.items if item.severity == "major"]
        if not worst:
            return f"no major drift ({self.minor} minor, {self.expected} expected)"
        places = [f"{i.address} {i.attribute}".strip() + f": {i.reason}" for i in worst[:3]]
        more = len(worst) - len(places)
        return f"{len(worst)} major: " + "; ".join(places) + (f"; and {more} more" if more else "")


def _approvers_split(read: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 joined the approvers' names to one text."""
    joined = read.get("approved_by")
    if isinstance(joined, str):
        read["approved_by"] = joined.split(", ") if joined else []
    return read
