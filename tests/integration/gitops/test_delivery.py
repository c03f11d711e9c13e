"""`gitops.mode = "gitops"`: one commit for a change, applied by a stand-in for Argo CD, waited for."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from ray_platform_sandbox.kubernetes.service import (
    CONTEXT,
    ensure_kubernetes,
    find_kubernetes,
    kubernetes_access,
    stop_kubernetes,
)

from ray_platform.change.deploy_ray import deploy
from ray_platform.cli import cli
from ray_platform.config.settings import Settings
from ray_platform.config.upgrade_wish import UpgradeWish
from ray_platform.github.app_client import connect
from ray_platform.github.github_client import GitHubRepository
from ray_platform.gitops import argocd_sync, deployed
from ray_platform.kubernetes.api_client import NAMESPACES, RAY_CLUSTERS, KubernetesApi
from ray_platform.kubernetes.helm_chart_process import RenderedChart, render_chart
from ray_platform.ray import running_jobs
from ray_platform.ray.cluster_access import RELEASE
from ray_platform.ray.clusters import make_clusters, ray_clusters
from ray_platform.session.environment_session import terraform_maker
from ray_platform.text.errors import (
    GitError,
    KubernetesError,
    NotFoundError,
    RayError,
    Refused,
    SyncError,
)
from ray_platform.training import burst
from tests.integration.conftest import make_settings
from tests.support.argocd import APPLICATIONS, DEFINITION, NAMESPACE, ArgoCd
from tests.support.github_site import Sites, running_github
from tests.support.gitops_world import (
    APPLICATION,
    FOLDER,
    ROOT,
    World,
    git,
    make_checkout,
    make_remote,
    make_session,
    rendered_with,
)
from tests.support.ray_head import Head
from tests.support.ray_operator import Operator
from tests.support.sessions import changed

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kubernetes")]

#: Names the charts with another image among those by their bound.
OTHER_IMAGE = -1
Charts = Mapping[int, tuple[Mapping[str, Any], RenderedChart]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A local Kubernetes API that knows Argo CD's Applications."""
    settings = make_settings(tmp_path_factory.mktemp("delivery"))
    ensure_kubernetes(settings)
    api = KubernetesApi(kubernetes_access(settings), "tests")
    api.create(("apiextensions.k8s.io/v1", "customresourcedefinitions"), DEFINITION)
    api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    yield settings
    stop_kubernetes(settings)


@pytest.fixture(scope="module")
def operator(settings: Settings) -> Iterator[Operator]:
    operator = Operator(settings)
    operator.start()
    yield operator
    operator.over.set()
    stop_kubernetes(settings)  # its watch ends with the API
    operator.join()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("session") / "checkout")


@pytest.fixture(scope="module")
def charts(checkout: Path, settings: Settings) -> Charts:
    session = make_session(checkout, settings.home, settings.port_base, "https://example.com/x.git")
    bounds = {most: rendered_with(session, most) for most in (0, 9)}
    values, _ = bounds[9]
    other = {**values, "image": {**values["image"], "tag": "2.60.0-py312"}}
    chart = session.settings.ray_chart
    rendered = render_chart(chart, other, release=RELEASE, namespace="ray")
    return {**bounds, OTHER_IMAGE: (other, rendered)}


@pytest.fixture
def world(
    settings: Settings,
    operator: Operator,
    checkout: Path,
    charts: Charts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    monkeypatch.setattr(argocd_sync, "POLL_SECONDS", 0.05)
    remote = make_remote(tmp_path / "git")
    session = make_session(checkout, settings.home, settings.port_base, f"file://{remote}")
    argocd = ArgoCd(settings, remote, APPLICATION)
    argocd.start()
    world = World(remote, session, argocd, charts)
    yield world
    argocd.over.set()
    argocd.join()
    world.clear()


@pytest.fixture
def head(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    """A head that answers, of each RayCluster that the operator sees from now on."""
    head = Head()
    monkeypatch.setattr(operator, "dashboard", lambda name: head.port)
    yield head
    head.end()


@pytest.fixture
def delivered(world: World) -> World:
    """The export is committed and applied."""
    world.heard = lambda line: world.apply_application() if "committed" in line else None
    world.deliver()
    world.heard = lambda line: None
    return world


def pool_bound(world: World) -> int:
    content = ray_clusters(world.session).ray_cluster()
    assert content is not None
    return int(content["spec"]["workerGroupSpecs"][0]["maxReplicas"])


def test_the_first_commit_says_how_argo_cd_learns_of_it_and_the_same_input_makes_no_other(
    world: World,
) -> None:
    with pytest.raises(SyncError, match=f"no Application {APPLICATION}") as error:
        world.deliver()
    assert f"kubectl apply -f {FOLDER}/argocd/charts" in error.value.fix
    first = world.head()
    said = git(world.remote, "log", "-1", "--format=%B", "main")
    _, rendered = world.charts[0]
    source = git(world.session.settings.root, "rev-parse", "HEAD")
    for part in ("Environment: local", f"Source commit: {source}", rendered.digest):
        assert part in said
    world.apply_application()
    done = world.deliver()
    assert (done.commit, done.revision, done.is_new) == (first, first, False)
    assert world.deliver().commit == first
    assert len(world.subjects()) == 2
    assert world.argocd.applied == [first]
    assert pool_bound(world) == 10


def test_a_changed_pool_is_one_commit_of_the_folder_alone(delivered: World) -> None:
    before = delivered.head()
    done = delivered.deliver(9)
    assert done.is_new and pool_bound(delivered) == 9
    assert git(delivered.remote, "rev-list", f"{before}..main") == done.commit
    changed = git(delivered.remote, "diff", "--name-only", before, "main").splitlines()
    assert set(changed) == {
        f"{FOLDER}/export.json",
        f"{FOLDER}/ray/ray/raycluster-ray.yaml",
    }


def test_a_branch_that_moved_meanwhile_is_built_upon(delivered: World) -> None:
    moved: list[str] = []

    def somebody_pushes() -> None:
        if not moved:
            moved.append(delivered.push("notes.md", "mine"))

    delivered.hold(somebody_pushes)
    done = delivered.deliver(9)
    assert git(delivered.remote, "rev-parse", f"{done.commit}^") == moved[0]
    assert delivered.show("notes.md") == "mine"
    # And a later commit elsewhere is as good as ours: it stands on it.
    later = delivered.push("notes.md", "more")
    again = delivered.deliver(9)
    assert (again.commit, again.revision, again.is_new) == (done.commit, later, False)


_CHILD = """
import sys
from pathlib import Path
from ray_platform.gitops import deliver
from tests.support.gitops_world import make_session, rendered_with
checkout, home, port, remote = sys.argv[1:]
session = make_session(Path(checkout), Path(home), int(port), remote)
deliver.deliver(session, *rendered_with(session, 9), print)
"""


def test_killed_right_after_the_push_a_repeat_goes_on_from_that_commit(
    delivered: World, tmp_path: Path
) -> None:
    """A git on the path that kills its caller when it has pushed; other moments: test_git_delivery.py."""
    before = delivered.head()
    real = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f'#!/bin/sh\ncase " $* " in *" push "*) {real} "$@"; kill -9 $PPID; exit;; esac\n'
        f'exec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    session = delivered.session
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            _CHILD,
            *map(str, (session.settings.root, session.home, session.settings.port_base)),
            f"file://{delivered.remote}",
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    pushed = delivered.head()
    assert pushed != before
    done = delivered.deliver(9)
    assert (done.commit, done.is_new) == (pushed, False)
    assert delivered.head() == pushed
    assert pool_bound(delivered) == 9


def test_a_sync_that_fails_is_told_with_its_message_and_mended_by_the_next(
    delivered: World,
) -> None:
    delivered.argocd.refusal = "rayclusters.ray.io is forbidden: exceeded quota"
    with pytest.raises(SyncError, match=r"could not apply commit .*exceeded quota") as error:
        delivered.deliver(9)
    assert "OutOfSync: RayCluster ray/ray" in error.value.what
    assert f"argocd app sync {APPLICATION}" in error.value.fix
    delivered.argocd.refusal = ""
    delivered.argocd.sync()
    done = delivered.deliver(9)
    assert done.commit == delivered.head() and not done.is_new


def test_where_a_person_syncs_it_says_so_once_and_waits(delivered: World) -> None:
    delivered.set(sync="manual", timeout_seconds=0.5)
    delivered.apply_application(syncPolicy={})
    with pytest.raises(SyncError, match="has not applied, within 0 s") as error:
        delivered.deliver(9)
    assert f"sync it: `argocd app sync {APPLICATION}`" in error.value.fix
    commit = delivered.head()
    delivered.set(timeout_seconds=60)
    delivered.said.clear()

    def hear(line: str) -> None:
        if "Waiting for Argo CD: OutOfSync" in line:
            delivered.argocd.sync()

    delivered.heard = hear
    done = delivered.deliver(9)
    assert done.commit == commit == delivered.head()
    assert sum("Somebody must sync now" in line for line in delivered.said) == 1
    assert pool_bound(delivered) == 9


def test_nothing_is_committed_that_argo_cd_would_apply_without_the_person(delivered: World) -> None:
    delivered.set(sync="manual")
    before = delivered.head()
    with pytest.raises(Refused, match="its Application syncs by itself") as error:
        delivered.deliver(9)
    assert "--sync-policy none" in error.value.fix
    assert delivered.head() == before


def test_a_branch_that_was_rewritten_is_told_and_a_repeat_commits_on_what_is_there(
    delivered: World,
) -> None:
    before = delivered.head()
    delivered.apply_application(syncPolicy={})

    def hear(line: str) -> None:
        if "Somebody must sync" in line:
            git(delivered.remote, "update-ref", "refs/heads/main", f"{before}^")

    delivered.heard = hear
    with pytest.raises(GitError, match=r"the branch was rewritten: commit .* is gone"):
        delivered.deliver(9)
    delivered.heard = lambda line: delivered.argocd.sync() if "OutOfSync" in line else None
    done = delivered.deliver(9)
    assert done.is_new
    assert len(delivered.subjects()) == 2


def test_an_export_that_somebody_changed_after_us_is_not_taken_for_ours(delivered: World) -> None:
    delivered.apply_application(syncPolicy={})

    def hear(line: str) -> None:
        if "Somebody must sync" in line:
            path = f"{FOLDER}/ray/ray/raycluster-ray.yaml"
            text = delivered.show(path).replace("maxReplicas: 9", "maxReplicas: 7")
            delivered.push(path, text)
        if "OutOfSync" in line:
            delivered.argocd.sync()

    delivered.heard = hear
    with pytest.raises(SyncError, match="which changed the export after our commit"):
        delivered.deliver(9)
    with pytest.raises(Refused, match=r"no export of local: ray/ray/raycluster-ray.yaml"):
        delivered.deliver(9)


def test_a_folder_that_holds_something_else_is_refused_and_kept(world: World) -> None:
    world.push(f"{FOLDER}/notes.md", "mine")
    with pytest.raises(Refused, match=r"notes.md"):
        world.deliver()
    assert len(world.subjects()) == 2


def test_a_refused_push_and_a_missing_branch_are_one_clear_error_each(world: World) -> None:
    hook = world.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'error: GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitError, match="GH006: Protected branch") as error:
        world.deliver()
    assert "the branch's protection" in error.value.fix
    assert len(world.subjects()) == 1
    world.set(revision="deploy")
    with pytest.raises(GitError, match="there is no branch deploy"):
        world.deliver()
    world.set(revision="main", repository=f"file://{world.remote}-gone")
    with pytest.raises(GitError, match="git ls-remote failed"):
        world.deliver()


def test_what_argo_cd_cannot_build_and_what_it_reads_elsewhere_is_told(
    delivered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argocd_sync, "ERROR_SECONDS", 0.2)
    delivered.argocd.broken = "failed to generate manifest: rpc error"
    with pytest.raises(SyncError, match="ComparisonError: failed to generate manifest"):
        delivered.deliver(9)
    delivered.argocd.broken = ""
    delivered.apply_application(
        source={
            "repoURL": f"file://{delivered.remote}",
            "path": "gitops/prod",
            "targetRevision": "main",
        }
    )
    with pytest.raises(SyncError, match="the Application reads gitops/prod on main"):
        delivered.deliver(9)


def test_the_autoscalers_replicas_are_no_difference(delivered: World) -> None:
    operations = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 7}]
    ray_clusters(delivered.session).api.patch(
        RAY_CLUSTERS, "ray", "ray", operations, how="json", manager="python-requests"
    )
    delivered.deliver(9)
    content = yaml.safe_load(delivered.show(f"{FOLDER}/ray/ray/raycluster-ray.yaml"))
    assert "replicas" not in content["spec"]["workerGroupSpecs"][0]
    assert pool_bound(delivered) == 9


def test_a_raycluster_that_somebody_changed_is_not_taken_for_the_exported_one(
    delivered: World,
) -> None:
    delivered.argocd.over.set()
    delivered.argocd.join()
    operations = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 3}]
    ray_clusters(delivered.session).api.patch(RAY_CLUSTERS, "ray", "ray", operations, how="json")
    with pytest.raises(SyncError, match=r"not what was exported: .*\[cpu\]\.maxReplicas"):
        delivered.deliver()


def test_no_burst_runs_on_an_export_that_was_reverted_in_git(
    head: Head, delivered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = delivered.session
    deploy(session, progress=delivered.tell)
    session = changed(
        session,
        parts={
            make_clusters: ray_clusters(session),
            terraform_maker: lambda progress, watch: SimpleNamespace(init=lambda: None),
        },
    )
    monkeypatch.setattr(burst, "require_applied", lambda session, terraform: None)
    with pytest.raises(NotFoundError, match="nothing is applied"):  # what comes after all else
        burst.resolve_infra_version(session)
    path = f"{FOLDER}/ray/ray/raycluster-ray.yaml"
    reverted = delivered.push(path, delivered.show(path).replace("s: 10", "s: 4"))
    deadline = time.monotonic() + 30
    while reverted not in delivered.argocd.applied:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(SyncError, match=r"not what was exported: .*\[cpu\]\.maxReplicas") as error:
        burst.resolve_infra_version(session)
    assert "ray-platform up" in error.value.fix


def test_argo_cd_in_another_cluster_is_asked_by_a_kubeconfigs_context(
    delivered: World, settings: Settings
) -> None:
    running = find_kubernetes(settings)
    assert running is not None
    delivered.session.settings.kubeconfig_files = (running.kubeconfig,)
    delivered.set(context=CONTEXT)
    assert delivered.deliver().revision == delivered.head()
    delivered.set(context="elsewhere")
    with pytest.raises(KubernetesError, match="elsewhere"):
        delivered.deliver()


def test_the_stage_records_the_commit_where_a_release_is_recorded_otherwise(
    head: Head, delivered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = delivered.session
    ready = deploy(session, progress=delivered.tell)
    assert ready.release is None and ready.by_git is not None
    assert ready.by_git.commit == delivered.head()
    noted = session.artifacts.read(f"environments/{session.name}/release.json")
    assert noted is not None
    assert (noted["mode"], noted["commit"]) == ("gitops", delivered.head())
    recorded = session.records.ray()
    assert recorded is not None
    assert noted["manifest_digest"] == recorded.manifest_digest == ready.ray.manifest_digest
    monkeypatch.setattr(
        import_module("ray_platform.cli.ray_commands"), "_session", lambda env: session
    )
    run = CliRunner().invoke
    told = json.loads(run(cli, ["ray", "status", "--json"]).stdout)
    assert (told["mode"], told["release"], told["ready"]) == ("gitops", None, True)
    by_git = told["gitops"]
    assert (by_git["commit"], by_git["revision"]) == (delivered.head(), delivered.head())
    assert (by_git["sync"], by_git["health"]) == ("Synced", "Healthy")
    assert "Synced to" in run(cli, ["ray", "status"]).stdout
    listed = json.loads(run(cli, ["ray", "history", "--json"]).stdout)["commits"]
    assert [one["commit"] for one in listed] == [delivered.head()]
    for command in (["rollback"], ["upgrade", "--dry-run"]):
        refused = run(cli, ["ray", *command])
        assert isinstance(refused.exception, Refused)
        assert "git revert" in refused.exception.fix


def test_jobs_are_not_ended_by_a_commit_that_is_applied_at_once(
    head: Head, delivered: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_jobs, "PATIENCE_SECONDS", 0.2)
    head.jobs["busy"] = "RUNNING"
    before = delivered.head()
    with pytest.raises(RayError, match="jobs still run on them: busy"):
        delivered.deliver(OTHER_IMAGE)
    assert delivered.head() == before
    # New bounds replace no pods.
    assert delivered.deliver(9).is_new
    # Where a person syncs, he is told.
    delivered.set(sync="manual")
    delivered.apply_application(syncPolicy={})
    delivered.heard = lambda line: delivered.argocd.sync() if "OutOfSync" in line else None
    assert delivered.deliver(OTHER_IMAGE).is_new
    assert any("will end these jobs, wait for them first: busy" in line for line in delivered.said)


def test_an_environment_is_not_removed_while_argo_cd_would_make_it_again(delivered: World) -> None:
    with pytest.raises(Refused, match="Argo CD would make again what is removed") as error:
        deployed.require_nobody_makes_it_again(delivered.session)
    assert f"argocd app delete {APPLICATION} --cascade" in error.value.fix
    ray_clusters(delivered.session).api.delete(APPLICATIONS, APPLICATION, NAMESPACE)
    deployed.require_nobody_makes_it_again(delivered.session)


def test_a_second_cluster_that_carries_the_work_is_refused(delivered: World) -> None:
    delivered.change(ray_upgrade=UpgradeWish("blue-green"))
    with pytest.raises(Refused, match="no blue/green upgrade by Git"):
        delivered.deliver(9)


def test_the_github_app_commits_where_it_watches_the_repository_and_its_token_shows_nowhere(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "arguments"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    with running_github() as server:
        github = Sites(server).new()
        app = replace(github.client.app, repositories=(github.repository,))
        world.session.current_settings.github = app
        world.set(repository=github.forge.git_url())
        with pytest.raises(SyncError, match="no Application") as missing:
            world.deliver()
        mirror = github.mirror(tmp_path / "look")
        mirror.fetch()
        commit = mirror.git.head("main") or ""
        who = git(mirror.folder, "log", "-1", "--format=%an", commit)
        assert who == server.app.slug + "[bot]"
        assert mirror.git.text(commit, f"{FOLDER}/kustomization.yaml")
        forge = GitHubRepository(connect(app), github.repository)
        tokens = [forge.git_token(write=write) for write in (False, True)]
    written = [file for file in world.session.home.rglob("*") if file.is_file()]
    texts = [str(missing.value), *world.said, seen.read_text()]
    assert "push" in seen.read_text() and all(tokens)
    for token in tokens:
        assert not any(token in text for text in texts)
        assert not any(token.encode() in file.read_bytes() for file in written)
