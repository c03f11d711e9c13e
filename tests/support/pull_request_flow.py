"""Pull requests of a real repository on the local GitHub, watched by the real tick; plans are recorded ones.

The client, the HTTP, Git, its mirror and its checkouts are real. Terraform and Dagster's run storage are
replaced: a run that the tick asks for is done at once, in this process.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dagster as dg
from ray_platform_sandbox.github.client.testing import LocalGitHub

from ray_platform.change.apply import apply_plan
from ray_platform.config.partitions import (
    ASKED_FOR_TAG,
    BASE_TAG,
    COMMIT_TAG,
    PLAN_TAG,
    PULL_TAG,
    WHY_TAG,
)
from ray_platform.config.settings import Settings
from ray_platform.git.git_client import Git
from ray_platform.git.mirror_store import GitMirror
from ray_platform.github.forge import Forge
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.gate import Connection
from ray_platform.pull_requests.polling.cursor import Memory
from ray_platform.pull_requests.polling.discovery import RepositoryWatch
from ray_platform.pull_requests.polling.poll import Tick, tick
from ray_platform.pull_requests.reporting import failure_noted
from ray_platform.pull_requests.requests_now import PullRequestNow
from ray_platform.pull_requests.run_request import Request
from ray_platform.pull_requests.run_store import PullRequestRun
from ray_platform.session.environment_session import EnvironmentSession, make_policies, open_session
from ray_platform.text.canonical import digest
from ray_platform.text.errors import PlatformError
from tests.support.fuse import Fuse
from tests.support.pull_request_world import (
    RecordedPolicies,
    RecordedSession,
    Standing,
    content_of,
    record_plan,
)

_ROOT = Path(__file__).resolve().parents[2]
_SETTINGS = """description = "for tests"
[cloud]
emulator = true
[state]
bucket = "state"
key = "state"
[artifacts]
uri = "file"
[ray]
runtime = "existing"
[approval]
required = {required}
people = ["alice", "bob", "carol"]
[pull_requests]
apply = "{apply}"
[budget]
monthly_usd = 10.0
[watch]
"""


def new_checkout(
    folder: Path, environments: Iterable[str], *, required: int = 2, apply: str = "approved"
) -> str:
    """A Git repository of a small configuration with some environments; its commit."""
    files = {
        "workspace.yaml": "",
        "policies/terraform.rego": "package terraform\n# deny nothing\n",
        "policies/data.json": (_ROOT / "policies" / "data.json").read_text(encoding="utf-8"),
        "terraform/.terraform.lock.hcl": "lock",
        "terraform/main.tf": "# first\n",
        "helm/ray/Chart.yaml": "name: ray",
    }
    for name in environments:
        files[f"environments/{name}.toml"] = _SETTINGS.format(required=required, apply=apply)
        files[f"terraform/environments/{name}.tfvars"] = 'region = "us-east-1"\n'
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "The first")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=alice", "-c", "user.email=alice@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class _Checkouts:
    """The files of a commit, as `RecordedTerraform` asks for them."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def files(self, commit: str) -> dict[str, str]:
        root = self.home / "checkouts" / commit
        return {
            path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
            for path in (root / "terraform").rglob("*")
            if path.is_file()
        }


class Flow:
    """One watched repository and what was done for it."""

    def __init__(
        self,
        server: LocalGitHub,
        forge: Forge,
        folder: Path,
        environments: Iterable[str],
        *,
        required: int = 2,
        apply: str = "approved",
    ) -> None:
        self.server, self.forge, self.environments = server, forge, tuple(environments)
        self.name = str(forge.repository)
        checkout, self.home = folder / "checkout", folder / "home"
        commit = new_checkout(checkout, self.environments, required=required, apply=apply)
        owner, _, name = self.name.partition("/")
        server.create_repository(owner, name, from_git=checkout, commit=commit)
        self.settings = Settings(checkout, self.home, {})
        self.mirror = GitMirror(
            self.home,
            forge.repository,
            url=forge.git_url(),
            token=lambda write: forge.git_token(write=write),
        )
        self.git, self.fuse = _Checkouts(self.home), Fuse()
        self.states = {name: Standing(f"lineage-{name}", 1, "") for name in self.environments}
        for name in self.environments:
            files = {
                path.relative_to(checkout).as_posix(): path.read_text(encoding="utf-8")
                for path in (checkout / "terraform").rglob("*")
                if path.is_file()
            }
            self.states[name] = Standing(f"lineage-{name}", 1, content_of(files, name))
        self.runs: list[PullRequestRun] = []
        self.memory = "null"
        self.started: set[str] = set()
        self.errors: list[PlatformError] = []

    # As a `World`, for `RecordedSession` ------------------------------------------------------------

    def session(self, name: str, commit: str, base: str, **more: Any) -> RecordedSession:
        like = open_session(self.settings, name, commit, base=base, git=self.mirror.git)
        policies = {make_policies: RecordedPolicies(like.policy_root)}
        return RecordedSession(self, like, policies, **more)

    def about_to_apply(self, name: str, plan_digest: str) -> None:
        pass

    def make(
        self, settings: Settings, name: str, commit: str, repository: Git
    ) -> EnvironmentSession:
        return self.session(name, commit, commit)

    def fetch(self, numbers: Iterable[int]) -> Git:
        return self.mirror.fetch(sorted(numbers))

    # What happens ----------------------------------------------------------------------------------

    def tick(self) -> Tick:
        """One look, by a process that knows only what the one before wrote down; in another second."""
        self.server.clock.advance(2)
        watch = RepositoryWatch(
            settings=self.settings,
            forge=self.forge,
            instance=cast(dg.DagsterInstance, None),
            fetch=self.fetch,
            base_branch="main",
            environments=self.environments,
            run_url=lambda run_id: f"http://127.0.0.1:3000/runs/{run_id}",
            make=self.make,
            clock=lambda: float(self.server.clock.now()),
            runs=lambda *_: iter(self.runs),
        )
        done = tick(watch, Memory.from_json(json.loads(self.memory)))
        self.memory = json.dumps(done.memory.to_json())
        return done

    def look(self, rounds: int = 6) -> Tick:
        """Look, and do what is asked for, until nothing is; the last look."""
        for _ in range(rounds):
            done = self.tick()
            new = [item for item in done.requests if item.key not in self.started]
            for request in new:
                self.started.add(request.key)
                self.do(request.job, request.environment, request.tags, digest(request.key)[:8])
            if not new:
                return done
        raise AssertionError(f"there is always more to do: {done.requests}")

    def do(self, job: str, name: str, tags: Mapping[str, str], run_id: str) -> bool:
        pull = PullRef.parse(tags[PULL_TAG])
        run = PullRequestRun(
            pull=pull,
            environment=name,
            run_id=run_id,
            kind=job,
            is_active=False,
            failed=False,
            created=len(self.runs),
            commit=tags[COMMIT_TAG],
            plan_digest=tags.get(PLAN_TAG, ""),
            asked_for=tags.get(ASKED_FOR_TAG, ""),
        )
        good = False
        try:
            session = self.session(name, tags[COMMIT_TAG], tags[BASE_TAG], pull=pull, run_id=run_id)
            with failure_noted(session):
                if job == "plan":
                    good = record_plan(session, tags.get(WHY_TAG, ""))
                else:
                    apply_plan(
                        session,
                        tags[PLAN_TAG],
                        progress=lambda _: None,
                        request=PullRequestNow(lambda *_: self.connection()),
                    )
                    good = True
        except PlatformError as error:
            self.errors.append(error)
        self.runs.append(replace(run, failed=not good))
        return good

    def apply_by_hand(self, request: Request) -> bool:
        return self.do(request.job, request.environment, request.tags, f"hand-{len(self.runs)}")

    def connection(self) -> Connection:
        return Connection(self.forge, self.fetch, "main", self.make)

    def approve(self, number: int, *people: str) -> None:
        """Reviews of people who have seen the comment: a second later."""
        self.server.clock.advance(2)
        for person in people:
            self.server.review(self.name, number, by=person)
        self.server.clock.advance(2)
