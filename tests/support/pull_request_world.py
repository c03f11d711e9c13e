"""A small world for pull requests: a forge, Git, Terraform and a store that are values, around the real code.

What decides is the real thing: `tick`, `decide`, `require_decided`, `take_the_environment`, `apply_plan`,
the records and the audit log. A world can be copied and compared, so that every order of events is tried
without starting over. Each thing that happens takes a second of the forge's clock.
"""

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import dagster as dg

from ray_platform.change import gates
from ray_platform.change.apply import apply_plan
from ray_platform.change.make_plan import MadePlan, configuration_digest
from ray_platform.config.partitions import (
    ASKED_FOR_TAG,
    BASE_TAG,
    COMMIT_TAG,
    PLAN_TAG,
    PULL_TAG,
    WHY_TAG,
)
from ray_platform.config.settings import Settings
from ray_platform.cost.estimate import estimate
from ray_platform.cost.session_parts import prices_of
from ray_platform.git.git_client import Git
from ray_platform.git.revision import Revision
from ray_platform.github.model import (
    PullRef,
)
from ray_platform.policy.policy_engine import PolicyEngine
from ray_platform.policy.verdict import Verdict, Violation
from ray_platform.pull_requests.gate import Connection
from ray_platform.pull_requests.polling.cursor import Memory
from ray_platform.pull_requests.polling.discovery import RepositoryWatch
from ray_platform.pull_requests.polling.poll import Tick, tick
from ray_platform.pull_requests.pull_request_store import PullRequestRecords
from ray_platform.pull_requests.queue import Queue
from ray_platform.pull_requests.reporting import failure_noted, keep_report, note_verified
from ray_platform.pull_requests.requests_now import PullRequestNow
from ray_platform.pull_requests.run_store import PullRequestRun
from ray_platform.records.records_store import PlanRecord
from ray_platform.session.environment_session import (
    EnvironmentSession,
    make_artifacts,
    make_policies,
    open_session,
    terraform_maker,
)
from ray_platform.store.artifact_store import Artifacts
from ray_platform.terraform.plan import Plan, read_plan
from ray_platform.terraform.state import TerraformState
from ray_platform.text.canonical import digest, digest_bytes
from ray_platform.text.errors import PlatformError
from ray_platform.text.redaction import NOTHING
from tests.support.fuse import Fuse
from tests.support.memory_forge import DAY, REPOSITORY, MemoryForge
from tests.support.memory_store import MemoryStore

RESOURCE = "module.storage.terraform_data.this"
_FORGE_TIME = re.compile(DAY + r"\d\d:\d\d:\d\dZ")
_MACHINE_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
_THEN = "2020-01-01T00:00:00+00:00"
Content = Mapping[str, str]


@dataclass(frozen=True)
class CommitTree:
    """A commit: the commits before it, and its files."""

    parents: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


class MemoryGit:
    """What the platform asks of `Git`, about commits that are values."""

    def __init__(self, commits: dict[str, CommitTree], branches: dict[str, str]) -> None:
        self.commits, self.branches = commits, branches

    def commit(self, parents: tuple[str, ...], files: Content) -> str:
        tree = CommitTree(parents, tuple(sorted(files.items())))
        name = digest([parents, tree.files])[:40]
        self.commits[name] = tree
        return name

    def files(self, commit: str) -> dict[str, str]:
        return dict(self.commits[commit].files)

    def history(self, commit: str) -> set[str]:
        seen, left = set(), [commit]
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                left += self.commits[name].parents
        return seen

    def merge(self, base: str, head: str, *, squash: bool = False) -> str:
        """The merge of a branch whose files nobody else changed; a conflict is a fault of the test."""
        origin = self.files(self.merge_base(base, head))
        ours, theirs = self.files(base), self.files(head)
        merged = dict(ours)
        for path in {*ours, *theirs}:
            if theirs.get(path) != origin.get(path):
                assert ours.get(path) in (origin.get(path), theirs.get(path)), f"conflict in {path}"
                merged[path] = theirs[path]
        return self.commit((base,) if squash else (base, head), merged)

    # As `Git` ------------------------------------------------------------------------------------

    def head(self, branch: str = "") -> str | None:
        return self.branches.get(branch)

    def has(self, commit: str) -> bool:
        return commit in self.commits

    def subject(self, commit: str) -> str:
        return "a change"

    def is_ancestor(self, older: str, newer: str) -> bool:
        return older in self.history(newer)

    def merge_base(self, one: str, other: str) -> str:
        common = self.history(one) & self.history(other)
        return next(c for c in common if all(c not in self.history(d) for d in common - {c}))

    def count_lacking(self, commit: str, base: str) -> int:
        return len(self.history(base) - self.history(commit))

    def changed_paths(self, before: str, after: str) -> tuple[str, ...]:
        one, other = self.files(before), self.files(after)
        return tuple(p for p in sorted({*one, *other}) if one.get(p) != other.get(p))

    def checkout(self, commit: str, folder: Path) -> Path:
        for path, text in self.commits[commit].files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        return folder


@dataclass(frozen=True)
class Standing:
    """What Terraform keeps of one environment: the state's lineage and serial, and what stands."""

    lineage: str
    serial: int
    content: str


class RecordedPolicies(PolicyEngine):
    """Rules that deny what their text names, with the real digest of that text."""

    def check_plan(self, plan: Plan, environment: str, destroy: bool = False) -> Verdict:
        self._require_numbers(environment)
        text = self.bundle["rules"]["terraform.rego"]
        denied = [word for word in re.findall(r"deny (\S+)", text) if word in str(plan.changes)]
        return Verdict(
            tuple(Violation("rule", RESOURCE, f"has {word}", "take it out") for word in denied),
            self.bundle_digest,
        )


class NoBursts:
    """A Dagster storage without runs: no burst run is live."""

    def get_run_records(self, *_: object, **__: object) -> list[Any]:
        return []

    def get_run_by_id(self, run_id: str) -> None:
        return None


class RecordedTerraform:
    """Terraform whose plans are computed from a commit's files, on a world's state."""

    def __init__(self, world: Any, session: EnvironmentSession) -> None:
        self.world, self.session = world, session

    def init(self) -> None:
        pass

    def state(self) -> TerraformState:
        now = self.world.states[self.session.name]
        resources = {RESOURCE: {"content": now.content}} if now.content else {}
        outputs = {"cluster_name": "ray"}
        return TerraformState(now.lineage, now.serial, resources, outputs, {}, frozenset(), NOTHING)

    def plan(self) -> tuple[dict[str, Any], bytes]:
        """The JSON of a plan and its saved file."""
        now, commit = self.world.states[self.session.name], self.session.commit or ""
        wanted = content_of(self.world.git.files(commit), self.session.name)
        change = {
            "actions": ["no-op" if wanted == now.content else "update"],
            "before": {"content": now.content},
            "after": {"content": wanted},
        }
        made = {
            "format_version": "1.2",
            "variables": {"commit": {"value": commit}},
            "resource_changes": [
                {"address": RESOURCE, "type": "terraform_data", "name": "this", "change": change}
            ],
        }
        saved = [self.session.name, now.lineage, now.serial, wanted, read_plan(made).digest]
        return made, json.dumps(saved).encode()

    def apply(self, file: Path) -> None:
        name, lineage, serial, wanted, plan_digest = json.loads(file.read_bytes())
        now = self.world.states[name]
        assert (now.lineage, now.serial) == (lineage, serial), "only Terraform itself stopped it"
        self.world.fuse.burn()
        self.world.about_to_apply(name, plan_digest)
        self.world.states[name] = Standing(lineage, serial + 1, wanted)
        self.world.fuse.burn()


class RecordedSession(EnvironmentSession):
    """An environment of a world, at a commit of its Git."""

    def __init__(
        self,
        world: Any,
        like: EnvironmentSession,
        parts: Mapping[Callable[..., Any], Any],
        **caller: Any,
    ) -> None:
        super().__init__(
            like.name,
            like.environment,
            like.source,
            like.rules,
            replace(like.caller, instance=cast(dg.DagsterInstance, NoBursts()), **caller),
            like.adapters,
            {terraform_maker: lambda progress, watch: RecordedTerraform(world, self), **parts},
        )
        self._world = world

    def at_commit(self, commit: str, git: Git) -> EnvironmentSession:
        return self._world.session(self.name, commit, self.base or commit)


def content_of(files: Content, environment: str) -> str:
    """What Terraform makes of a commit's files in an environment."""
    others = re.compile(rf"terraform/environments/(?!{environment}\.)")
    return "; ".join(
        f"{text.strip()}"
        for path, text in sorted(files.items())
        if path.startswith("terraform/") and path.endswith((".tf", ".tfvars"))
        if not others.match(path)
    )


def record_plan(session: EnvironmentSession, why: str = "") -> bool:
    """Do what the `plan` job does, with a `RecordedTerraform`; whether no check says no."""
    terraform = cast(RecordedTerraform, session.terraform())
    state = terraform.state()
    made, saved = terraform.plan()
    plan = read_plan(made)
    root = session.settings.terraform_root
    record = PlanRecord(
        environment=session.name,
        plan_digest=plan.digest,
        file_digest=digest_bytes(saved),
        state_lineage=state.lineage,
        state_serial=state.serial,
        revision=Revision(commit=session.commit or "").to_json(),
        configuration_digest=configuration_digest(root),
        variables_digest=session.artifacts.put_content(
            "variables", dict(session.environment.variables)
        ),
        provider_lock_digest=digest_bytes((root / ".terraform.lock.hcl").read_bytes()),
        price_book_version=prices_of(session).version,
        counts={"update": plan.counts.update},
        empty=plan.is_empty,
        destroy=False,
        made_at=_THEN,
        pull_request=str(session.pull),
        base=session.base or "",
    )
    session.records.save_plan(record, file=saved, plan_json=made, text="a plan")
    keep_report(session, MadePlan(record, plan, estimate(plan, prices_of(session))), why=why)
    return not gates.verdict(session, record).denied


@dataclass(frozen=True)
class Shown:
    """That a plan stood in our comment, as the test itself saw it."""

    at: str
    number: int
    environment: str
    bound: tuple[Any, ...]


@dataclass(frozen=True)
class Admitted:
    """One apply that was let through, by the commit and the pull request that it was of."""

    environment: str
    plan_digest: str
    serial: int
    commit: str
    number: int
    merge_commit: str


#: Looks at a plan of a pull request right before it is applied.
Judge = Callable[["World", PlanRecord, int], None]


class World:
    """Everything that there is, at one moment."""

    def __init__(self, folder: Path, environments: tuple[str, ...], files: Content) -> None:
        self.folder, self.environments = folder, environments
        self.sessions: dict[tuple[str, str, str], tuple[EnvironmentSession, RecordedPolicies]] = {}
        self.fuse = Fuse()
        self.items: dict[str, bytes] = {}
        self.git = MemoryGit({}, {})
        first = self.git.commit((), files)
        self.git.branches["main"] = first
        self.forge = MemoryForge(fuse=self.fuse)
        self.states = {
            name: Standing(f"lineage-{name}", 1, content_of(files, name)) for name in environments
        }
        self.memory = "null"
        self.started: frozenset[str] = frozenset()
        self.waiting: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = ()
        self.runs: tuple[PullRequestRun, ...] = ()
        self.shown: tuple[Shown, ...] = ()
        self.admitted: tuple[Admitted, ...] = ()
        self.by_command: tuple[tuple[str, tuple[Any, ...]], ...] = ()
        self.left: dict[str, int] = {}
        self.ticks = 0
        self.said = ""
        self.judge: Judge = lambda world, record, number: None
        self._bind()

    def copy(self) -> "World":
        made = copy.copy(self)
        made.items, made.states, made.left = dict(self.items), dict(self.states), dict(self.left)
        made.git = MemoryGit(self.git.commits, dict(self.git.branches))
        made.forge = self.forge.copy()
        made.fuse = Fuse()
        made.forge.fuse = made.fuse
        made._bind()
        return made

    def _bind(self) -> None:
        self.store = MemoryStore(self.items, self.fuse)
        self.artifacts = Artifacts(self.store)
        self.forge.shown = self._note_shown

    # How the real code reaches this world ----------------------------------------------------------

    def session(self, name: str, commit: str, base: str, **more: Any) -> RecordedSession:
        known = self.sessions.get((name, commit, base))
        if known is None:
            settings = Settings(self.folder, self.folder / "home", {})
            session = open_session(settings, name, commit, base=base, git=cast(Git, self.git))
            known = (session, RecordedPolicies(session.policy_root))
            self.sessions[name, commit, base] = known
        like, policies = known
        # A copy of a world has a Git of its own.
        source = replace(like.source, git=cast(Git, self.git))
        own = EnvironmentSession(
            like.name, like.environment, source, like.rules, like.caller, like.adapters
        )
        return RecordedSession(
            self, own, {make_artifacts: self.artifacts, make_policies: policies}, **more
        )

    def make(self, settings: Settings, name: str, commit: str, git: Git) -> EnvironmentSession:
        return self.session(name, commit, commit)

    def fetch(self, numbers: Iterable[int]) -> Git:
        list(numbers)
        return cast(Git, self.git)

    def connection(self) -> Connection:
        return Connection(self.forge, self.fetch, "main", self.make)

    # What the platform does --------------------------------------------------------------------------

    def tick(self) -> Tick:
        """One look of the sensor; what it asks for is started once for each key."""
        watch = RepositoryWatch(
            settings=Settings(self.folder, self.folder / "home", {}),
            forge=self.forge,
            instance=cast(dg.DagsterInstance, None),
            fetch=self.fetch,
            base_branch="main",
            environments=self.environments,
            run_url=lambda run_id: f"http://ui/runs/{run_id}",
            make=self.make,
            clock=lambda: 1000.0 * self.ticks,
            runs=lambda *_: iter(self.runs),
        )
        self.ticks += 1
        done = tick(watch, Memory.from_json(json.loads(self.memory)))
        self.fuse.burn()
        self.memory = json.dumps(done.memory.to_json())
        self.fuse.burn()
        for request in done.requests:
            if request.key not in self.started:
                self.started |= {request.key}
                self._start(request.job, request.environment, request.key, request.tags)
        return done

    def _start(self, job: str, environment: str, key: str, tags: Mapping[str, str]) -> str:
        run_id = digest(key)[:8]
        self.waiting += ((run_id, environment, tuple(sorted(tags.items()))),)
        self.runs += (
            PullRequestRun(
                pull=PullRef.parse(tags[PULL_TAG]),
                environment=environment,
                run_id=run_id,
                kind=job,
                is_active=True,
                failed=False,
                created=len(self.runs),
                commit=tags[COMMIT_TAG],
                plan_digest=tags.get(PLAN_TAG, ""),
                asked_for=tags.get(ASKED_FOR_TAG, ""),
            ),
        )
        return run_id

    def execute(self, run_id: str) -> bool:
        """Do a run that waits; whether it ended well.

        A plan whose process is killed is begun anew, as Dagster's run retries do; an apply is not.
        """
        _, name, listed = next(item for item in self.waiting if item[0] == run_id)
        kind = next(item.kind for item in self.runs if item.run_id == run_id)
        self.waiting = tuple(item for item in self.waiting if item[0] != run_id)
        tags = dict(listed)
        good = False
        try:
            good = self.do(kind, name, tags, run_id)
        finally:
            self.runs = tuple(
                replace(item, is_active=False, failed=not good) if item.run_id == run_id else item
                for item in self.runs
            )
            if self.fuse.left == 0 and kind == "plan":
                self._start("plan", name, f"again {run_id}", tags)
        return good

    def do(self, kind: str, name: str, tags: Mapping[str, str], run_id: str) -> bool:
        session = self.session(
            name,
            tags[COMMIT_TAG],
            tags[BASE_TAG],
            pull=PullRef.parse(tags[PULL_TAG]),
            run_id=run_id,
            asked_by="the sensor",
        )
        try:
            with failure_noted(session):
                if kind == "plan":
                    return self._plan(session, tags.get(WHY_TAG, ""))
                done = apply_plan(
                    session,
                    tags[PLAN_TAG],
                    progress=lambda _: None,
                    request=PullRequestNow(lambda *_: self.connection()),
                )
                note_verified(session, done.infra_version, ("it works",))
                return True
        except PlatformError as error:
            self.said = str(error)
            return False
        finally:
            self._forget_machine_times()

    def _plan(self, session: EnvironmentSession, why: str) -> bool:
        return record_plan(session, why)

    def approve_by_command(self, name: str, number: int, by: str) -> None:
        """As ``ray-platform approve`` does for the plan that was made last for a pull request."""
        report = self.standing(name, number)
        base = self.git.head("main") or ""
        assert report is not None
        session = self.session(name, base, base)
        record = session.records.plan(report.plan_digest)
        gates.give_approval(session, record, by=by, source="cli")
        PullRequestRecords(session.artifacts, name).change_queue(Queue.approved_by_command)
        bound = (
            record.plan_digest,
            record.state_lineage,
            record.state_serial,
            session.policies.bundle_digest,
        )
        self.by_command += ((by, bound),)
        self._forget_machine_times()

    def apply_by_command(self, record: PlanRecord) -> bool:
        """As ``ray-platform apply --plan`` does; whether the gates let it through."""
        base = self.git.head("main") or record.base
        tags = {
            COMMIT_TAG: record.commit.commit,
            BASE_TAG: base,
            PULL_TAG: record.pull_request,
            PLAN_TAG: record.plan_digest,
        }
        before = len(self.admitted)
        run_id = digest(["by command", record.plan_digest, len(self.runs)])[:8]
        good = self.do("apply", record.environment, tags, run_id)
        assert good == (len(self.admitted) > before), f"let through and failed: {self.said}"
        self.runs += (
            PullRequestRun(
                pull=PullRef.parse(record.pull_request),
                environment=record.environment,
                run_id=run_id,
                kind="apply",
                is_active=False,
                failed=not good,
                created=len(self.runs),
                commit=record.commit.commit,
                plan_digest=record.plan_digest,
                asked_for="",
            ),
        )
        return good

    # What is read of it --------------------------------------------------------------------------------

    def standing(self, name: str, number: int) -> Any:
        return PullRequestRecords(self.artifacts, name).standing(PullRef(REPOSITORY, number)).report

    def plans(self) -> Iterator[PlanRecord]:
        for key in self.store.keys("plans"):
            if key.endswith("/record.json"):
                yield PlanRecord(**json.loads(self.items[key]))

    def about_to_apply(self, name: str, plan_digest: str) -> None:
        """Told right before anything changes; the test looks here whether it may."""
        record = self.session(name, *2 * (self.git.branches["main"],)).records.plan(plan_digest)
        number = PullRef.parse(record.pull_request).number
        self.judge(self, record, number)
        merged = self.forge.pulls[number].merge_commit
        commit, serial = record.commit.commit, record.state_serial
        self.admitted += (Admitted(name, plan_digest, serial, commit, number, merged),)

    def _note_shown(self, number: int, body: str, at: str) -> None:
        for name in self.environments:
            report = self.standing(name, number)
            if report is not None and report.plan_digest[:12] in body:
                bound = (
                    report.plan_digest,
                    report.state_lineage,
                    report.state_serial,
                    report.policy_digest,
                )
                if not any(
                    (item.number, item.environment, item.bound) == (number, name, bound)
                    for item in self.shown
                ):
                    self.shown += (Shown(at, number, name, bound),)

    def _forget_machine_times(self) -> None:
        for key, content in self.items.items():
            if key.startswith(("pull_requests/", "queue/")):
                text = content.decode()
                if _MACHINE_TIME.search(text):
                    self.items[key] = _MACHINE_TIME.sub(_THEN, text).encode()

    def key(self) -> str:
        """The same for two worlds from which the same can follow."""
        memory = json.loads(self.memory) or {}
        for name in ("looked_at", "issues_at", "merged_since"):
            memory.pop(name, None)
        for watched in memory.get("pulls", {}).values():
            watched["settled"], watched["told_at"] = bool(watched["settled"]), 0
        kept = {
            key: json.loads(content)
            for key, content in self.items.items()
            if (
                key.startswith(("pull_requests/", "queue/", "approvals/"))
                and not key.endswith("/merged_since.json")
            )
            or key.endswith("/record.json")
        }
        text = json.dumps(
            [
                kept,
                memory,
                {str(n): vars(p) for n, p in self.forge.pulls.items()},
                {str(n): [vars(r) for r in rs] for n, rs in self.forge.given.items()},
                {str(n): [c.id for c in cs] for n, cs in self.forge.written.items()},
                self.git.branches,
                {name: vars(state) for name, state in self.states.items()},
                sorted(self.started),
                sorted(item[0] for item in self.waiting),
                sorted((r.run_id, r.is_active, r.failed) for r in self.runs),
                [vars(item) for item in self.admitted],
                self.left,
            ],
            sort_keys=True,
            default=str,
        )
        ranks = {time: f"T{i}" for i, time in enumerate(sorted(set(_FORGE_TIME.findall(text))))}
        text = _FORGE_TIME.sub(lambda found: ranks[found[0]], text)
        return digest_bytes(_MACHINE_TIME.sub("", text).encode())
