"""The corpus of tests/data/corpus: small configurations, planned by the pinned Terraform and provider.

A folder holds ``main.tf``; ``before.tf`` is applied first where there is one, then ``fails.tf``, whose
apply has to fail. Folders ``aws-*`` use the AWS provider: all are planned at once, as modules of one root,
since the provider takes seconds for each plan. ``plan.json`` is what Terraform said of the folder.

``python -m tests.support.corpus`` records the plans again. Nothing of AWS is asked: all is to be created.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ray_platform.terraform.provider_mirror import PROVIDER_VERSION, find_provider_mirror

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "data" / "corpus"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: What is passed to `terraform plan` for a folder in addition to the usual.
_MORE = {"targeted": ["-target=terraform_data.wanted"]}
_PROVIDER = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "%s"
    }
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

provider "aws" {
  alias                       = "elsewhere"
  region                      = "sa-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
"""


def names(*, aws: bool) -> list[str]:
    """The folders with or without the AWS provider."""
    return sorted(path.name for path in CORPUS.iterdir() if path.name.startswith("aws-") is aws)


def recorded(name: str) -> dict[str, Any]:
    """The plan that is stored for a folder."""
    data: dict[str, Any] = json.loads((CORPUS / name / "plan.json").read_text(encoding="utf-8"))
    return data


def plan_builtin(name: str, folder: Path, *, terraform: str = "terraform") -> dict[str, Any]:
    """Plan one folder that needs no provider, on the state that its earlier configurations leave.

    Args:
        name: The folder of the corpus.
        folder: An empty folder to work in.
        terraform: The binary.
    """
    source = CORPUS / name
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(path, folder / path.name)
    run = _Runner(terraform, folder, {})
    for step, ends_well in (("before", True), ("fails", False)):
        if (source / f"{step}.tf").is_file():
            shutil.copy(source / f"{step}.tf", folder / "main.tf")
            run("init", "-input=false")
            done = run("apply", "-auto-approve", "-input=false", check=ends_well)
            assert (done.returncode == 0) is ends_well, done.stdout + done.stderr
    shutil.copy(source / "main.tf", folder / "main.tf")
    return run.plan(*_MORE.get(name, ()))


def plan_aws(
    folder: Path, env: Mapping[str, str], *, terraform: str = "terraform"
) -> dict[str, dict[str, Any]]:
    """Plan every folder that needs the AWS provider at once; each one's part of the plan, by name."""
    blocks = [_PROVIDER % PROVIDER_VERSION]
    for name in names(aws=True):
        shutil.copytree(CORPUS / name, folder / name, ignore=shutil.ignore_patterns("*.json"))
        providers = ""
        if name == "aws-aliased-provider":
            providers = "  providers = { aws = aws, aws.elsewhere = aws.elsewhere }\n"
        blocks.append(f'module "{name}" {{\n  source = "./{name}"\n{providers}}}\n')
    (folder / "main.tf").write_text("\n".join(blocks), encoding="utf-8")
    whole = _Runner(terraform, folder, env).plan()
    return {name: _part(whole, name) for name in names(aws=True)}


def essence(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What has to agree between two plans of one configuration: all but generated ids and times."""
    found: dict[str, Any] = json.loads(_UUID.sub("an id", json.dumps(_essence(plan))))
    return found


def _essence(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: plan.get(key) for key in ("applyable", "complete", "errored")},
        "outputs": {
            key: change["actions"] for key, change in (plan.get("output_changes") or {}).items()
        },
        "changes": [_essence_of(item) for item in plan.get("resource_changes") or ()],
    }


def _essence_of(item: Mapping[str, Any]) -> dict[str, Any]:
    change = item["change"]
    return {
        **{key: item.get(key) for key in ("address", "previous_address", "action_reason", "type")},
        "deposed": "deposed" in item,
        "actions": change["actions"],
        "importing": change.get("importing"),
        "after_unknown": change.get("after_unknown"),
        **{side: change.get(side) for side in ("before", "after")},
    }


def _part(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a plan says of one module, in the shape of a plan of its own."""
    module = f"module.{name}"
    configuration = whole["configuration"]
    kept = ("format_version", "terraform_version", "applyable", "complete", "errored")
    return {
        **{key: whole[key] for key in kept},
        "resource_changes": [
            item for item in whole["resource_changes"] if item["module_address"] == module
        ],
        "configuration": {
            "provider_config": configuration["provider_config"],
            "root_module": {
                "module_calls": {name: configuration["root_module"]["module_calls"][name]}
            },
        },
    }


class _Runner:
    """Terraform in one folder; nothing of the machine's own settings reaches it."""

    def __init__(self, terraform: str, folder: Path, env: Mapping[str, str]) -> None:
        self._terraform = terraform
        self._folder = folder
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CHECKPOINT_DISABLE": "1",
            **env,
        }

    def __call__(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [self._terraform, *arguments, *([] if arguments[0] == "show" else ["-no-color"])],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def plan(self, *more: str) -> dict[str, Any]:
        mirror = find_provider_mirror(os.environ.get("RAY_PLATFORM_PROVIDER_DIR", ""))
        plugins = [f"-plugin-dir={mirror}"] if mirror else []
        self("init", "-input=false", *plugins)
        self("plan", "-input=false", "-out=corpus.tfplan", *more)
        data: dict[str, Any] = json.loads(self("show", "-json", "corpus.tfplan").stdout)
        return data


def fresh(env: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each folder with the plan that Terraform makes of it now."""
    for name in names(aws=False):
        with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
            yield name, plan_builtin(name, Path(folder))
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        yield from plan_aws(Path(folder), env).items()


def main() -> None:
    """Record the plan of each folder."""
    env = {key: value for key, value in os.environ.items() if key.startswith("AWS_")}
    for name, plan in fresh(env):
        plan.pop("timestamp", None)
        text = json.dumps(plan, indent=1, sort_keys=True)
        (CORPUS / name / "plan.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
