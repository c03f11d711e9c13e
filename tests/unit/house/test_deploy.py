"""What deploys the platform is right as far as it can be seen without Docker, a cluster and the chart."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_platform.config.partitions import CODE_LOCATION
from ray_platform.config.settings import Settings
from ray_platform.definitions import defs
from ray_platform.doctor.cluster_checks import install_command
from ray_platform.ray import spec
from tests.support.dagster_chart import FOLDER, ROOT, instance_config, unknown_keys, values
from tests.unit.house.test_docs import commands, named

ENVIRONMENTS = sorted(path.stem.removeprefix("values-") for path in FOLDER.glob("values-*.yaml"))


def outputs() -> dict[str, Any]:
    """Terraform's outputs of an environment with a database."""
    plain = {
        "environment": "staging",
        "region": "us-east-1",
        "artifact_bucket": "the-artifacts",
        "registry_url": "registry.example.com/ray-platform",
        "role_arns": {"dagster": "arn:aws:iam::123456789012:role/dagster"},
        "database": {"host": "db.example.com", "port": 5432, "user": "dagster", "name": "dagster"},
    }
    return {name: {"value": value} for name, value in plain.items()}


def values_from(answer: Mapping[str, Any]) -> dict[str, Any]:
    path = FOLDER / "values_from_outputs.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: dict[str, Any] = module.values_from(answer, "platform-0a1b2c3")
    return made


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# Dockerfile ------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, with continued lines joined."""
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word.upper(), re.sub(r"\s+", " ", rest.strip()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines())
        if word
    ]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage; before the first FROM stand only arguments."""
    found: list[list[tuple[str, str]]] = [[]]
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def test_every_stage_starts_from_one_pinned_image_or_from_another_stage() -> None:
    before, *rest = stages()
    (default,) = [value for word, value in before if word == "ARG"]
    name, _, image = default.partition("=")
    assert re.fullmatch(
        r"docker\.io/library/python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", image
    )
    names: list[str] = []
    for stage in rest:
        base, _, made = stage[0][1].partition(" AS ")
        assert base == f"${{{name}}}" or base in names
        names.append(made)
    assert len(names) == 5 and names[-1] == "platform"


def test_the_image_runs_without_rights_and_without_what_built_it() -> None:
    final = stages()[-1]
    users = [rest for word, rest in final if word == "USER"]
    assert users == ["10001:10001"]
    assert final.index(("USER", users[0])) > max(
        at for at, (word, _) in enumerate(final) if word in ("RUN", "COPY")
    )
    runs = " ".join(rest for word, rest in final if word == "RUN")
    (installed,) = re.findall(r"apt-get install --yes --no-install-recommends ([\w\- ]+)", runs)
    assert set(installed.split()) == {"ca-certificates", "git"}
    assert "pip uninstall --yes --quiet setuptools wheel pip" in runs
    assert not re.search(r"uv\b|curl|gnupg|unzip", runs)
    copied = [rest for word, rest in final if word == "COPY"]
    assert all(rest.startswith("--from=") for rest in copied)
    assert not any("--chown" in rest for rest in copied)


def test_nothing_is_fetched_unchecked_and_no_secret_is_asked_for() -> None:
    for word, rest in instructions():
        assert word != "ADD"
        assert ":latest" not in rest
        if word in ("ARG", "ENV"):
            assert not re.search(r"(?i)token|secret(?!s)|password|credential|_key_id", rest), rest
        if word == "RUN" and "curl" in rest and "releases" in rest:
            assert "gpg --status-fd 1 --verify" in rest
            assert rest.count("sha256sum --check --strict") == 2
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG TERRAFORM_SHA256=[0-9a-f]{64}$", text, re.M)
    assert "uv sync --frozen" in text and "-lockfile=readonly" in text


def test_the_image_has_the_versions_of_the_checkout() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"ARG UV_VERSION={re.search(r'^UV_VERSION := (.+)$', makefile, re.M)[1]}\n" in text  # type: ignore[index]
    terraform = re.search(r"^ARG TERRAFORM_VERSION=(.+)$", text, re.M)[1]  # type: ignore[index]
    steps = [
        step
        for workflow in workflows().values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
    ]
    set_up = [s["with"]["terraform_version"] for s in steps if "terraform" in s.get("uses", "")]
    assert set_up == [terraform] * 2


def test_only_what_is_committed_goes_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        "*",
        "!.git",
        "!pyproject.toml",
        "!uv.lock",
    ]


# Dagster's chart -------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_chart_knows_every_key_of_the_values(environment: str) -> None:
    assert unknown_keys(values(environment, values_from(outputs()))) == []
    wrong = values(
        environment, {"runLauncher": {"confg": {}}, "dagsterDaemon": {"image": {"tga": 1}}}
    )
    assert unknown_keys(wrong) == ["dagsterDaemon.image.tga", "runLauncher.confg"]


def test_what_terraform_knows_is_typed_nowhere_else() -> None:
    declared = set(
        re.findall(r'^output "(\w+)"', (ROOT / "terraform" / "outputs.tf").read_text(), re.M)
    )
    assert set(outputs()) <= declared
    made = values("staging", values_from(outputs()))
    images = [made[part]["image"] for part in ("dagsterWebserver", "dagsterDaemon")]
    images += [item["image"] for item in made["dagster-user-deployments"]["deployments"]]
    assert len(images) == 3
    assert {(i["repository"], i["tag"]) for i in images} == {
        ("registry.example.com/ray-platform", "platform-0a1b2c3")
    }
    (code,) = made["dagster-user-deployments"]["deployments"]
    assert code["codeServerArgs"] == ["--module-name", "ray_platform.definitions"]
    assert made["postgresql"]["postgresqlHost"] == "db.example.com"
    assert made["postgresql"]["postgresqlParams"] == {"sslmode": "require"}
    without = {name: value for name, value in outputs().items() if name != "database"}
    with pytest.raises(SystemExit, match=r"platform.database = true"):
        values_from(without)


def test_limits_and_retries_are_those_of_the_checkout() -> None:
    here = loaded(ROOT / "dagster.yaml")
    for environment in ENVIRONMENTS:
        chart = instance_config(values(environment, values_from(outputs())))
        for key in ("concurrency", "run_retries", "nux", "telemetry"):
            assert chart[key] == here[key], key
        for key in ("enabled", "start_timeout_seconds", "poll_interval_seconds"):
            assert chart["run_monitoring"][key] == here["run_monitoring"][key]
        for kind, kept in here["retention"]["sensor"]["purge_after_days"].items():
            assert chart["retention"]["sensor"]["purge_after_days"][kind] == kept
    plus = loaded(ROOT / "deploy" / "dagster_cloud_settings.yaml")
    assert plus["concurrency"] == here["concurrency"]
    assert {"enabled": True, **plus["run_retries"]} == here["run_retries"]


def test_the_library_the_chart_and_the_docs_name_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (pinned,) = [
        d.removeprefix("dagster==") for d in project["dependencies"] if d.startswith("dagster==")
    ]
    for path in (FOLDER / "values.yaml", ROOT / "docs" / "how-to" / "deploy-dagster.md"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"--version ([\d.]+)", text)) == {pinned}, path


def test_the_database_password_is_never_a_value() -> None:
    for path in FOLDER.glob("*.yaml"):
        assert "postgresqlPassword:" not in path.read_text(encoding="utf-8")
    secret = loaded(FOLDER / "external-secret.yaml")
    assert secret["spec"]["target"]["name"] == values("prod")["global"]["postgresqlSecretName"]
    assert [item["secretKey"] for item in secret["spec"]["data"]] == ["postgresql-password"]


def cpus(quantity: str) -> float:
    text = str(quantity)
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def gib(quantity: str) -> float:
    return float(quantity[:-2]) / {"Mi": 1024, "Gi": 1}[quantity[-2:]]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_dagster_fits_into_the_room_that_the_namespaces_quota_leaves_for_it(
    environment: str,
) -> None:
    made = values(environment, values_from(outputs()))
    web, daemon = made["dagsterWebserver"], made["dagsterDaemon"]
    (code,) = made["dagster-user-deployments"]["deployments"]
    runs = made["additionalInstanceConfig"]["concurrency"]["runs"]["max_concurrent_runs"]
    pods = [web] * web["replicaCount"] + [daemon, code]
    pods += [made["runLauncher"]["config"]["k8sRunLauncher"]] * runs
    pods += [web]  # one more of it while it is replaced
    for pod in pods:
        assert (
            {"cpu", "memory"}
            == set(pod["resources"]["requests"])
            == set(pod["resources"]["limits"])
        )
    for kind in ("requests", "limits"):
        asked = [pod["resources"][kind] for pod in pods]
        assert sum(cpus(item["cpu"]) for item in asked) <= spec.ROOM_CPUS
        assert sum(gib(item["memory"]) for item in asked) <= spec.ROOM_MEMORY_GIB
    assert len(pods) <= spec.ROOM_PODS


# Runs ------------------------------------------------------------------------------------------


def test_only_runs_that_change_nothing_are_begun_anew() -> None:
    jobs = {job.name: job.tags for job in defs().get_repository_def().get_all_jobs()}
    retried = {name for name, tags in jobs.items() if "dagster/max_retries" in tags}
    assert retried == {"daily_cost", "drift", "plan", "policy_checks"}
    light = {name for name, tags in jobs.items() if "dagster-k8s/config" in tags}
    assert light == {"burst", "daily_cost", "policy_checks"}


def test_the_code_location_has_one_name_wherever_it_is_loaded() -> None:
    (workspace,) = loaded(ROOT / "workspace.yaml")["load_from"]
    (cloud,) = loaded(ROOT / "dagster_cloud.yaml")["locations"]
    (served,) = values("prod")["dagsterWebserver"]["workspace"]["servers"]
    (code,) = values("prod")["dagster-user-deployments"]["deployments"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]
    assert {
        workspace["python_module"]["location_name"],
        cloud["location_name"],
        served["name"],
        project["project"]["code_location_name"],
    } == {CODE_LOCATION}
    assert (served["host"], served["port"]) == (code["name"], code["port"])


# Dagster+ --------------------------------------------------------------------------------------


def test_dagster_plus_builds_the_same_image_and_gives_runs_the_same() -> None:
    from dagster_k8s.container_context import K8sContainerContext

    (location,) = loaded(ROOT / "dagster_cloud.yaml")["locations"]
    assert set(location) == {
        *("location_name", "code_source", "working_directory", "build", "container_context"),
    }
    assert location["build"]["directory"] == "."
    (workspace,) = loaded(ROOT / "workspace.yaml")["load_from"]
    assert location["code_source"]["module_name"] == workspace["python_module"]["module_name"]
    context = K8sContainerContext.create_from_config(location["container_context"])
    launcher = values("prod")["runLauncher"]["config"]["k8sRunLauncher"]
    assert context.run_k8s_config.container_config["resources"] == launcher["resources"]
    assert context.run_k8s_config.pod_spec_config["security_context"]["run_as_user"] == 10001


# Workflows -------------------------------------------------------------------------------------


def workflows() -> dict[str, Any]:
    return {path.name: loaded(path) for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def test_workflows_are_valid() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.github-workflows"),
            *(str(path) for path in (ROOT / ".github" / "workflows").glob("*.yml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert set(workflows()) == {"ci.yml", "image.yml", "kind.yml"}


def test_workflows_hold_no_key_and_have_no_more_rights_than_they_need() -> None:
    for name, workflow in workflows().items():
        text = json.dumps(workflow)
        assert "secrets." not in text, name
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert set(job.get("permissions", {})) <= {"contents", "id-token"}
            assert job.get("permissions", {}).get("contents", "read") == "read"
            assert job["timeout-minutes"] <= 60
            for step in job["steps"]:
                if "uses" in step:
                    assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


def test_ci_runs_the_command_that_people_run() -> None:
    steps = workflows()["ci.yml"]["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make test"]


def steps_on_kind() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = workflows()["kind.yml"]["jobs"]["kind"]["steps"]
    return steps


def test_the_run_on_kind_runs_the_commands_of_the_docs_in_their_order() -> None:
    runs = [step["run"] for step in steps_on_kind() if "run" in step]
    operator, *ours = runs
    assert operator == install_command(Settings(ROOT, ROOT / "none", {}))
    commands = [
        "make doctor ENVIRONMENT=kind",
        "make up ENVIRONMENT=kind",
        ".venv/bin/ray-platform burst --env kind",
        ".venv/bin/ray-platform ray status --env kind",
        "make test-kubernetes CONTEXT=kind-ray-platform",
        "kubectl --context kind-ray-platform get rayclusters,pods,events --all-namespaces",
        ".venv/bin/ray-platform destroy --env kind --confirm kind",
        "make down",
    ]
    assert ours == commands
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = {f"ray-platform {name} --env $(ENVIRONMENT)" for name in ("up", "doctor")}
    assert all(makefile.count(f"$(BIN)/{line}") == 1 + ("doctor" in line) for line in asked)
    guide = ROOT / "docs" / "how-to" / "run-on-kind.md"
    text = guide.read_text(encoding="utf-8").replace(" \\\n  ", " ")
    assert f"\n{operator}\n" in text
    for command in ("up", "doctor", "ray status"):
        assert f"\nray-platform {command} --env kind\n" in text


@pytest.mark.parametrize(
    "arguments",
    [step["run"].split()[1:] for step in steps_on_kind() if ".venv" in step.get("run", "")],
    ids=" ".join,
)
def test_each_of_its_commands_is_one_that_there_is(arguments: list[str]) -> None:
    name, given = named(arguments)
    assert commands()[name].make_context(name, given).params["env"] == "kind"


def test_the_cluster_of_kind_is_the_one_that_the_environment_asks_for() -> None:
    kind = Settings(ROOT, ROOT / "none", {}).environment("kind")
    configuration = loaded(ROOT / "deploy" / "kind" / "cluster.yaml")
    assert kind.kubernetes.context == f"kind-{configuration['name']}"
    control, *workers = configuration["nodes"]
    assert control["role"] == "control-plane"
    labels = sorted(node["labels"]["ray-platform/pool"] for node in workers)
    assert labels == [pool.name for pool in kind.node_pools]
    assert not any(pool.taints for pool in kind.node_pools)
    (image,) = {node["image"] for node in configuration["nodes"]}
    version = kind.variables["kubernetes_version"]
    assert re.fullmatch(rf"kindest/node:v{version}\.\d+@sha256:[0-9a-f]{{64}}", image)
    action = next(step["with"] for step in steps_on_kind() if "kind-action" in step.get("uses", ""))
    assert action["cluster_name"] == configuration["name"]
    assert (ROOT / action["config"]).is_file()
    assert action["kubectl_version"] == image.partition("@")[0].partition(":")[2]


def test_the_pods_of_kind_fit_on_a_runner_of_github() -> None:
    """A node of kind has all of the machine: 4 CPUs and 16 GB (https://docs.github.com/actions/reference/runners)."""
    kind = Settings(ROOT, ROOT / "none", {}).environment("kind")
    (group,) = spec.worker_groups(kind.node_pools)
    assert group.max * group.cpus <= 3 and group.max * group.memory_gib <= 12
    assert max(kind.burst.phases) == group.max


def test_what_is_not_from_the_main_branch_is_never_pushed() -> None:
    steps = workflows()["image.yml"]["jobs"]["image"]["steps"]
    scanned = next(at for at, step in enumerate(steps) if "trivy" in step.get("uses", ""))
    pushing = [
        at
        for at, step in enumerate(steps)
        if step.get("with", {}).get("push")
        or "aws" in step.get("uses", "")
        or "cosign" in str(step)
    ]
    assert pushing and min(pushing) > scanned
    assert all(steps[at]["if"] == "env.PUSH_ROLE != ''" for at in pushing)
    role = workflows()["image.yml"]["jobs"]["image"]["env"]["PUSH_ROLE"]
    assert "github.ref == 'refs/heads/main'" in role
