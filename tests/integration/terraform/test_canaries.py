"""Secrets never leave: one canary of each kind is planted, and looked for everywhere.

A real Terraform root goes through a real pull request: the sensor's look, the plan, the comment, the apply,
a plan and an apply that fail. Then every place is searched where something of it is written.
"""

from ray_platform.session.environment_session import open_session
import base64
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance import InstanceRef

from ray_platform.github.app_client import connect
from ray_platform.records.infra_version import MODULES
from ray_platform.text.redaction import MASK
from ray_platform.definitions import defs
from ray_platform_sandbox.aws.service import stop_emulator
from ray_platform_sandbox.github.client.testing import LocalGitHub
from ray_platform.config.settings import Settings, load_settings
from ray_platform.pull_requests.polling.watched import look_at_all
from ray_platform.session.environment_session import EnvironmentSession
from tests.support import canaries
from tests.support.canaries import CANARIES, IN_ENVIRONMENT, ORDINARY
from tests.integration.conftest import ROOT
from tests.support.ports import free_port_base
from tests.support.github_site import running_github

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("canaries")]

REPOSITORY = "acme/canary"
TERRAFORM = shutil.which("terraform") or "terraform"
#: Holds everything, as documented: the plan that will be applied. What Git holds is the repository itself.
HOLDS_ALL = "plan.tfplan"
GIT = ("checkouts", "mirrors")


@dataclass
class Story:
    """What was done, and where traces of it are. ``said`` is all that was written to stdout and stderr."""

    settings: Settings
    github: LocalGitHub
    folder: Path
    runs: dict[str, dg.ExecuteInProcessResult] = field(default_factory=dict)
    said: str = ""

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def calls(self) -> str:
        """The arguments of each terraform and git that was started."""
        return (self.folder / "calls").read_text()

    def environments(self, name: str) -> list[dict[str, str]]:
        """The variables of the children that were started, by the beginning of their file's name."""
        return [
            dict(line.split("=", 1) for line in path.read_text().split("\0") if "=" in line)
            for path in self.folder.glob(f"{name}-env-*")
        ]

    def on_github(self) -> dict[str, str]:
        """What the server keeps of comments, checks, statuses and deployments, as it answers a reader."""
        alice = self.github.person("alice")
        found: dict[str, Any] = {}
        for pull in alice.call("GET", f"/repos/{REPOSITORY}/pulls?state=all"):
            number, head = pull["number"], pull["head"]["sha"]
            found[f"comments of {number}"] = self.github.comments(REPOSITORY, number)
            checks = alice.call("GET", f"/repos/{REPOSITORY}/commits/{head}/check-runs")
            # The rest is what GitHub itself says of the branch.
            found[f"checks of {number}"] = [
                [check["name"], check["output"], check["details_url"]]
                for check in checks["check_runs"]
            ]
        found["deployments"] = alice.call("GET", f"/repos/{REPOSITORY}/deployments")
        return {name: json.dumps(value) for name, value in found.items()}

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file below the home but Git's and the saved plans, the SQLite files as bytes."""
        for path in sorted(self.home.rglob("*")):
            name = path.relative_to(self.home).as_posix()
            if path.is_file() and path.name != HOLDS_ALL and not name.startswith(GIT):
                yield name, path.read_bytes()


def wrapper(folder: Path, name: str) -> Path:
    """A program that notes its arguments and its environment, and becomes the real one."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"""#!/bin/sh
# The server's own git, which has no HOME, is GitHub's and not ours.
[ "$HOME" = /nonexistent ] || printf "%s " {name} "$@" >> {folder}/calls
{{ env -0; printf "CALL=%s" "$*"; }} > {folder}/{name}-env-$$
exec {shutil.which(name)} "$@"
"""
    )
    path.chmod(0o755)
    return path


def checkout(folder: Path) -> dict[str, str]:
    """The base branch: our own policies, chart and environment around a small Terraform root."""
    for part in ("policies", "helm/ray"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("terraform/environments", "terraform/modules/storage", "environments"):
        (folder / part).mkdir(parents=True)
    shutil.copy(ROOT / "workspace.yaml", folder)
    local = (ROOT / "environments" / "local.toml").read_text()
    local = re.sub(r"(?ms)^\[pull_requests\].*?(?=^\[)", "", local)
    (folder / "environments" / "local.toml").write_text(
        local + '\n[pull_requests]\napply = "approved"\n'
    )
    (folder / "terraform" / "main.tf").write_text(canaries.MAIN)
    (folder / "terraform" / ".terraform.lock.hcl").write_text("")
    (folder / "terraform" / "modules" / "storage" / "main.tf").write_text(canaries.MODULE)
    (folder / "terraform" / "environments" / "local.tfvars").write_text(canaries.VARIABLES)
    (folder / "policies" / "pull_requests.toml").write_text(
        'allow = ["modules/storage:terraform_data.program"]\nfunctions = ["nonsensitive"]\n'
    )
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "Base"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"]
        subprocess.run(["git", *identity, "-C", str(folder), *command], check=True)
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def run(instance: dg.DagsterInstance, name: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    """A job of the code location, as a person or the sensor starts it; of `apply` without Ray."""
    job = defs().resolve_job_def(name)
    if name == "apply":
        job = job.get_subset(asset_selection={dg.AssetKey(module) for module in MODULES})
    return job.execute_in_process(
        instance=instance,
        partition_key="local",
        tags=tags,
        raise_on_error=False,
        run_config={"loggers": {"progress": {"config": {"level": 10}}}},
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The whole walk, once."""
    folder = tmp_path_factory.mktemp("canaries")
    capture = pytest.MonkeyPatch()
    with running_github() as server, capture.context() as patch:
        files = checkout(folder / "checkout")
        server.create_repository(*REPOSITORY.split("/"))
        server.push(REPOSITORY, "main", files)
        wrapper(folder, "git")
        variables = {
            **IN_ENVIRONMENT,
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "RAY_PLATFORM_ROOT": str(folder / "checkout"),
            "RAY_PLATFORM_HOME": str(folder / "home"),
            "RAY_PLATFORM_PORT_BASE": str(free_port_base()),
            "RAY_PLATFORM_TERRAFORM": str(wrapper(folder, "terraform")),
            "RAY_PLATFORM_GITHUB_APP_ID": str(server.app.id),
            "RAY_PLATFORM_GITHUB_API_URL": server.api_url,
            "RAY_PLATFORM_GITHUB_PRIVATE_KEY": server.private_key,
            "RAY_PLATFORM_GITHUB_REPOSITORIES": REPOSITORY,
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        load_settings.cache_clear()
        connect.cache_clear()
        settings = load_settings()
        told = Story(settings, server, folder)
        try:
            base = folder / "home" / "dagster"
            base.mkdir(parents=True)
            ref = InstanceRef.from_dir(str(base), overrides={"telemetry": {"enabled": False}})
            with dg.DagsterInstance.from_ref(ref) as instance, written(told):
                tell_story(told, instance)
            yield told
        finally:
            stop_emulator(settings)
    load_settings.cache_clear()
    connect.cache_clear()


class written:
    """Everything that this process and its children write to stdout and stderr meanwhile."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def __enter__(self) -> None:
        self._file = (self._story.folder / "said").open("w+b")
        self._kept = os.dup(1), os.dup(2)
        for number in (1, 2):
            os.dup2(self._file.fileno(), number)

    def __exit__(self, *_: object) -> None:
        for number, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)
        self._file.seek(0)
        self._story.said = self._file.read().decode(errors="replace")
        self._file.close()


def tell_story(story: Story, instance: dg.DagsterInstance) -> None:
    server, settings = story.github, story.settings
    title = f"Add all, {CANARIES['a pull request' + chr(39) + 's title']}"
    branch = f"add-{CANARIES['a branch' + chr(39) + 's name']}"
    main = canaries.MAIN + canaries.OUTPUTS
    module = "terraform/modules/storage/main.tf"
    planted = {module: canaries.planted(str(story.folder / "program")), "terraform/main.tf": main}

    def look() -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {}
        for _, done in look_at_all(settings, instance, settings.run_url):
            for request in done.requests:
                number = int(request.tags["ray_platform/pull_request"].partition("#")[2])
                found.setdefault(number, []).append(request)
        return found

    first = server.open_pull_request(REPOSITORY, planted, title=title, branch=branch)
    (request,) = look()[first]
    story.runs["plan"] = run(instance, "plan", dict(request.tags))
    (request,) = look()[first]
    assert request.job == "apply"
    story.runs["apply"] = run(instance, "apply", dict(request.tags))
    look()
    second = server.open_pull_request(REPOSITORY, {module: canaries.REFUSED})
    third = server.open_pull_request(REPOSITORY, {"terraform/new.tf": canaries.FOREIGN})
    for number, requests in look().items():
        name = {second: "refused plan", third: "foreign code"}[number]
        story.runs[name] = run(instance, "plan", dict(requests[0].tags))
    look()
    # Outside any pull request: the working tree, with a program that fails.
    (story.folder / "checkout" / module).write_text(canaries.FAILS)
    story.runs["plan by hand"] = run(instance, "plan", {})
    story.runs["failed apply"] = run(instance, "apply", {})


def holders(text: str, story: Story) -> list[str]:
    """The places in which a text stands, as it is or in base64."""
    forms = [text.encode(), base64.b64encode(text.encode()).rstrip(b"=")]
    places = {
        "stdout and stderr": story.said.encode(),
        "process arguments": story.calls.encode(),
        **{name: value.encode() for name, value in story.on_github().items()},
        **dict(story.files()),
    }
    return [name for name, content in places.items() if any(form in content for form in forms)]


def test_the_walk_went_as_meant(story: Story) -> None:
    went = {name: done.success for name, done in story.runs.items()}
    assert went == {
        "plan": True,
        "apply": True,
        "refused plan": False,
        "foreign code": False,
        "plan by hand": True,
        "failed apply": False,
    }, story.said[-4000:]


def test_the_canaries_were_there_to_be_found(story: Story) -> None:
    session = open_session(story.settings, "local")
    keys = [key for key in session.artifacts.store.keys("plans/local") if key.endswith(HOLDS_ALL)]
    shown = ""
    for number, key in enumerate(keys):
        file = story.folder / f"{number}.tfplan"
        file.write_bytes(session.artifacts.store.get(key) or b"")
        done = subprocess.run(
            [TERRAFORM, "show", "-json", str(file)],
            cwd=story.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        shown += done.stdout
    names = {"a pull request's title", "a branch's name"}
    for name, canary in CANARIES.items():
        if name not in names:
            assert canary in shown or name == "in user_data", name


def test_no_canary_is_anywhere(story: Story) -> None:
    places = {name: holders(canary, story) for name, canary in CANARIES.items()}
    searched = len(list(story.files()))
    print(
        f"\n{len(CANARIES)} canaries looked for in {searched} files, on GitHub, in output and arguments"
    )
    assert {name: found for name, found in places.items() if found} == {}


def test_what_is_ordinary_stays_readable(story: Story) -> None:
    text = "".join(
        content.decode(errors="replace")
        for name, content in story.files()
        if name.endswith(("plan.txt", "plan.json"))
    )
    assert MASK in text
    assert {name for name, value in ORDINARY.items() if value not in text} == set()
    comment = story.on_github()["comments of 1"]
    assert "module.storage.terraform_data.plain" in comment
    assert MASK in comment


def test_foreign_code_is_refused_before_terraform_runs_and_the_comment_says_where(
    story: Story,
) -> None:
    comment = story.on_github()["comments of 3"]
    assert "terraform/new.tf:2" in comment
    assert "ask an address" in comment
    told = story.runs["foreign code"].all_events
    assert not any("Preparing Terraform" in (event.message or "") for event in told)
    assert "new.tf" not in json.dumps(
        [variables["CALL"] for variables in story.environments("terraform")]
    )


def test_the_plan_files_are_their_owners_alone(story: Story) -> None:
    plans = list(story.home.rglob(HOLDS_ALL))
    assert plans
    for path in plans:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_child_gets_no_secret_of_ours_and_a_pull_requests_program_next_to_nothing(
    story: Story,
) -> None:
    children = [*story.environments("terraform"), *story.environments("git")]
    assert len(children) > 10
    key = os.linesep.join(story.github.private_key.splitlines()[1:2])
    for variables in children:
        whole = json.dumps(variables)
        secrets = [n for n, value in IN_ENVIRONMENT.items() if value in whole]
        assert secrets in ([], ["CLOUD_PASSWORD"]), variables["CALL"]
        assert key not in whole, variables["CALL"]
    program = dict(
        line.split("=", 1) for line in (story.folder / "program").read_text().splitlines()
    )
    assert program["HOME"].endswith("terraform/local/empty")
    ours = {name for name in program if not name.startswith(("TF_", "AWS_", "LC_"))}
    assert ours <= {
        *("PATH", "HOME", "LANG", "TMPDIR", "TZ", "PWD", "OLDPWD", "SHLVL", "_"),
        *("GOGC", "CHECKPOINT_DISABLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy"),
    }
    assert program["AWS_ACCESS_KEY_ID"] == program["AWS_SECRET_ACCESS_KEY"]
