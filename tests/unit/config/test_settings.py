"""Environments: two files each, and one clear message for whatever is wrong in them."""

from pathlib import Path

import pytest

from ray_platform.config.settings import Settings, find_root
from ray_platform.pull_requests.decision_facts import environments_set_up
from ray_platform.session.adapters import choose_adapters
from ray_platform.text.errors import SettingsError

ROOT = Path(__file__).resolve().parents[3]

GOOD = (ROOT / "environments" / "local.toml").read_text(encoding="utf-8")
VARIABLES = (ROOT / "terraform" / "environments" / "local.tfvars").read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with one environment."""
    (tmp_path / "workspace.yaml").touch()
    (tmp_path / "environments").mkdir()
    (tmp_path / "terraform" / "environments").mkdir(parents=True)
    (tmp_path / "environments" / "local.toml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "terraform" / "environments" / "local.tfvars").write_text(
        VARIABLES, encoding="utf-8"
    )
    return tmp_path


def settings(root: Path) -> Settings:
    return Settings(root, root / ".ray_platform", {})


@pytest.mark.parametrize("name", settings(ROOT).environment_names)
def test_every_environment_of_the_checkout_is_well_formed(name: str) -> None:
    environment = settings(ROOT).environment(name)
    assert environment.variables["environment"] == name
    pools = {pool.name: pool for pool in environment.node_pools}
    assert pools.keys() >= {"system", "cpu"}
    assert max(environment.burst.phases) <= pools["cpu"].max_size


def test_kind_is_nobody_s_but_the_laptop_s_own() -> None:
    """Nothing starts there by itself, no pull request plans it, and no local stand-in is started for it."""
    kind = settings(ROOT).environment("kind")
    assert kind.kubernetes.context == "kind-ray-platform"
    assert kind.uses_sandbox
    assert choose_adapters(settings(ROOT), kind).local_kubernetes is None
    assert not any(kind.watch.model_dump().values())
    assert environments_set_up(settings(ROOT)) == ("local",)
    local = settings(ROOT).environment("local")
    assert choose_adapters(settings(ROOT), local).local_kubernetes is not None


def test_the_kubeconfig_is_the_one_that_kubectl_reads(tmp_path: Path) -> None:
    several = {"KUBECONFIG": f"{tmp_path / 'a'}:{tmp_path / 'b'}:"}
    assert Settings(ROOT, tmp_path, several).kubeconfig_files == (tmp_path / "a", tmp_path / "b")
    assert Settings(ROOT, tmp_path, {}).kubeconfig_files == (Path.home() / ".kube" / "config",)


def test_production_needs_two_people_and_nothing_there_starts_by_itself() -> None:
    required = {
        n: settings(ROOT).environment(n).approval.required for n in ("dev", "staging", "prod")
    }
    assert required == {"dev": 0, "staging": 1, "prod": 2}
    prod = settings(ROOT).environment("prod")
    assert not prod.cloud.emulator
    assert not prod.watch.git_pushes


def test_a_mistyped_environment_is_answered_with_those_that_there_are(root: Path) -> None:
    with pytest.raises(SettingsError, match="use one of: local"):
        settings(root).environment("locl")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[ray]\n", "[kubernetes]\nport = 1\n[ray]\n", "kubernetes.port"),
        (
            '[ray]\nruntime = "kubernetes"',
            '[kubernetes]\ncontext = "x"\n[ray]\nruntime = "existing"',
            'kubernetes.context is for ray.runtime = "kubernetes"',
        ),
        ("required = 0", "required = -1", "approval.required"),
        ("required = 0", "requierd = 0", "approval"),
        ("monthly_usd = 2500.0", 'monthly_usd = "much"', "budget.monthly_usd"),
        ("[budget]", "[budget", "malformed"),
        ('runtime = "kubernetes"', 'runtime = "cloud"', "ray.runtime"),
        ("idle_timeout_seconds = 6", "idle_timeout_seconds = 0", "ray.idle_timeout_seconds"),
    ],
)
def test_a_wrong_environment_file_is_told_with_its_key(
    root: Path, old: str, new: str, said: str
) -> None:
    assert GOOD.count(old) == 1
    file = root / "environments" / "local.toml"
    file.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError, match=said) as told:
        settings(root).environment("local")
    assert told.value.where == str(file)


def test_a_malformed_variables_file_is_told_with_its_line(root: Path) -> None:
    file = root / "terraform" / "environments" / "local.tfvars"
    file.write_text('environment = "local"\nregion = = "x"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="malformed at line 2"):
        _ = settings(root).environment("local").variables


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_size       = 5", "max_size       = -5", "not in order"),
        ("max_size       = 5", 'max_size       = "five"', "whole numbers"),
        ('instance_types = ["g4dn.xlarge"]', "instance_types = []", "at least one type"),
        ("    min_size       = 0\n", "", "has no min_size"),
    ],
)
def test_a_wrong_node_pool_is_told_with_its_name(root: Path, old: str, new: str, said: str) -> None:
    assert VARIABLES.count(old) == 1
    file = root / "terraform" / "environments" / "local.tfvars"
    file.write_text(VARIABLES.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError, match="'gpu'") as told:
        _ = settings(root).environment("local").node_pools
    assert said in str(told.value)


@pytest.mark.parametrize("port", ["abc", "80", "70000", ""])
def test_a_port_base_that_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match="RAY_PLATFORM_PORT_BASE"):
        Settings(tmp_path, tmp_path, {"RAY_PLATFORM_PORT_BASE": port})


def test_a_folder_outside_of_any_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RAY_PLATFORM_ROOT"):
        find_root(tmp_path)


def test_another_checkout_keeps_home_and_repository(root: Path, tmp_path: Path) -> None:
    here = settings(root)
    there = here.at(tmp_path / "elsewhere")
    assert (there.home, there.repository) == (here.home, here.repository)
    assert there.terraform_root == tmp_path / "elsewhere" / "terraform"


def test_a_merge_is_applied_in_one_way(root: Path) -> None:
    file = root / "environments" / "local.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(f'{text}\n[pull_requests]\napply = "merged"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="would both apply a merge"):
        settings(root).environment("local")


def test_environments_are_promoted_in_order() -> None:
    after = {
        name: settings(ROOT).environment(name).pull_requests.after
        for name in ("dev", "staging", "prod")
    }
    assert after == {"dev": "", "staging": "dev", "prod": "staging"}


def test_an_environment_with_place_holders_is_not_set_up() -> None:
    assert settings(ROOT).environment("local").is_set_up
    assert not settings(ROOT).environment("prod").is_set_up
