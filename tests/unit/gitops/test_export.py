"""`gitops export`: twice the same bytes, whole or not at all, and never over anything else."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from ray_platform.cli import cli
from ray_platform.config.settings import Settings, load_settings
from ray_platform.gitops.export import export
from ray_platform.session.environment_session import EnvironmentSession, open_session
from ray_platform.text.errors import PolicyDenied, Refused, SettingsError
from tests.support.charts import ROOT

REPOSITORY = "https://example.com/team/infra.git"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose exports Argo CD finds at an address."""
    root = tmp_path_factory.mktemp("session") / "checkout"
    for part in ("environments", "terraform/environments", "policies", "helm"):
        shutil.copytree(ROOT / part, root / part)
    (root / "workspace.yaml").touch()
    for path in (root / "environments").glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        if "[gitops]" not in text:
            text += "\n[gitops]\n"
        path.write_text(
            text.replace("[gitops]\n", f'[gitops]\nrepository = "{REPOSITORY}"\n'), encoding="utf-8"
        )
    return root


def session(checkout: Path, name: str = "dev") -> EnvironmentSession:
    return open_session(Settings(checkout, checkout.parent / "home", {}), name)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def exported(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "dev"
    export(session(checkout), folder, before_apply=True)
    return folder


def test_twice_gives_the_same_bytes_and_touches_nothing(
    checkout: Path, exported: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_ino for path in exported.rglob("*")}
    again = export(session(checkout), exported, before_apply=True)
    assert again.unchanged
    assert {path: path.stat().st_ino for path in exported.rglob("*")} == before
    elsewhere = export(session(checkout), tmp_path / "elsewhere", before_apply=True)
    assert content(tmp_path / "elsewhere") == content(exported)
    assert elsewhere.digest == again.digest


def test_kustomize_builds_the_export_to_the_same_objects(exported: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on this machine")
    built = subprocess.run(
        ["kubectl", "kustomize", str(exported)], capture_output=True, text=True, check=True
    )
    resources = yaml.safe_load((exported / "kustomization.yaml").read_text())["resources"]
    objects = [yaml.safe_load((exported / path).read_text()) for path in resources]

    def by_name(documents: Any) -> dict[Any, Any]:
        return {(d["kind"], d["metadata"]["name"]): d for d in documents}

    assert by_name(yaml.safe_load_all(built.stdout)) == by_name(objects)
    assert len(objects) >= 10


def test_a_changed_pool_changes_the_objects_that_derive_from_it_alone(
    checkout: Path, exported: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(checkout, tmp_path / "checkout"))
    folder = Path(shutil.copytree(exported, tmp_path / "dev"))
    variables = root / "terraform" / "environments" / "dev.tfvars"
    text = variables.read_text(encoding="utf-8")
    assert "max_size       = 6" in text
    variables.write_text(text.replace("max_size       = 6", "max_size       = 5"))
    done = export(session(root), folder, before_apply=True)
    assert set(done.written) == {
        "export.json",
        "ray/ray/raycluster-ray.yaml",
        "ray/ray/resourcequota-ray.yaml",
    }
    assert done.removed == ()
    cluster = yaml.safe_load((folder / "ray/ray/raycluster-ray.yaml").read_text())
    assert cluster["spec"]["workerGroupSpecs"][0]["maxReplicas"] == 5


@pytest.mark.parametrize("stray", ["notes.md", "ray/ray/mine.yaml", ".git/config"])
def test_a_folder_that_holds_something_else_is_refused_and_kept(
    checkout: Path, exported: Path, tmp_path: Path, stray: str
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "dev"))
    (folder / stray).parent.mkdir(exist_ok=True, parents=True)
    (folder / stray).write_text("mine")
    before = content(folder)
    with pytest.raises(Refused, match=stray):
        export(session(checkout), folder, before_apply=True)
    assert content(folder) == before


def test_another_environment_s_export_is_refused(checkout: Path, exported: Path) -> None:
    with pytest.raises(Refused, match="no export of staging"):
        export(session(checkout, "staging"), exported, before_apply=True)


def test_a_file_in_the_folder_s_place_is_refused(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "dev").write_text("x")
    with pytest.raises(SettingsError, match="no folder"):
        export(session(checkout), tmp_path / "dev", before_apply=True)


def test_cut_short_between_any_two_steps_the_next_export_makes_it_whole(
    checkout: Path, exported: Path, tmp_path: Path
) -> None:
    """What a `kill -9` leaves: a part of the new folder; or the old one already moved away."""
    folder = tmp_path / "dev"
    new, old = (tmp_path / f".dev.ray-platform-{word}" for word in ("new", "old"))
    (new / "ray").mkdir(parents=True)
    (new / "ray" / "half.yaml").write_text("kind: ")
    shutil.copytree(exported, old)
    export(session(checkout), folder, before_apply=True)
    assert content(folder) == content(exported)
    assert [path.name for path in tmp_path.iterdir()] == ["dev"]


def test_what_policy_denies_is_not_written(checkout: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(checkout, tmp_path / "checkout"))
    template = root / "helm" / "ray" / "templates" / "networkpolicy.yaml"
    template.write_text("")
    with pytest.raises(PolicyDenied, match="kube-network-policy"):
        export(session(root), tmp_path / "dev", before_apply=True)
    assert not (tmp_path / "dev").exists()


def test_before_the_first_apply_it_says_that_the_role_is_not_known(
    checkout: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="nothing was applied in local yet") as refused:
        export(session(checkout, "local"), tmp_path / "local")
    assert "--before-apply" in refused.value.fix


def test_after_an_apply_the_role_of_the_pods_is_terraform_s(checkout: Path, tmp_path: Path) -> None:
    local = session(checkout, "local")
    arn = "arn:aws:iam::000000000000:role/ray-platform-local-ray"
    local.artifacts.write(
        "environments/local/outputs.json",
        {"role_arns": {"ray": arn}, "redis": None},
    )
    export(local, tmp_path / "local")
    account = yaml.safe_load((tmp_path / "local/ray/ray/serviceaccount-ray.yaml").read_text())
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == arn


def test_a_checkout_without_a_remote_needs_the_repository_s_address(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for part in ("environments", "terraform/environments", "policies", "helm"):
        shutil.copytree(ROOT / part, root / part)
    (root / "workspace.yaml").touch()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    with pytest.raises(SettingsError, match="no remote `origin`"):
        export(session(root), tmp_path / "dev", before_apply=True)


@pytest.fixture
def command(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """The command, in a checkout of its own."""
    monkeypatch.setenv("RAY_PLATFORM_ROOT", str(checkout))
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(cli, arguments, catch_exceptions=False)
    load_settings.cache_clear()


def test_the_command_prints_one_json_object_and_prod_is_manual(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    to = str(tmp_path / "prod")
    done = command("gitops", "export", "--env", "prod", "--to", to, "--before-apply", "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["sync"] == "manual"
    assert told["files"] == len(told["written"]) == len(content(tmp_path / "prod"))
    application = yaml.safe_load((tmp_path / "prod/argocd/application.yaml").read_text())
    assert "automated" not in application["spec"]["syncPolicy"]
    assert application["spec"]["source"]["repoURL"] == REPOSITORY
    several = yaml.safe_load((tmp_path / "prod/argocd/applicationset.yaml").read_text())
    elements = several["spec"]["generators"][0]["list"]["elements"]
    assert {(e["environment"], e["sync"]) for e in elements} >= {
        ("dev", "automatic"),
        ("staging", "automatic"),
        ("prod", "manual"),
    }
    assert "local" not in {e["environment"] for e in elements}


def test_the_command_says_what_to_do_next(command: Callable[..., Result], tmp_path: Path) -> None:
    arguments = ["gitops", "export", "--env", "prod", "--to", str(tmp_path / "p"), "--before-apply"]
    first, second = command(*arguments), command(*arguments)
    assert "argocd app sync ray-platform-prod" in first.stdout
    assert "already" in second.stdout
