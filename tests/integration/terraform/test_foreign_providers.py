"""What a pull request plants to have another provider loaded never runs, even where no guard saw it."""

import os
import shutil
from pathlib import Path

import pytest

from ray_platform.terraform import terraform_client
from ray_platform.terraform.provider_mirror import find_provider_mirror, system
from ray_platform.terraform.terraform_client import Terraform
from ray_platform.text.errors import PlatformError
from ray_platform.config.settings import Settings
from ray_platform.terraform.cli_configuration import cli_configuration
from tests.support.ports import free_port_base

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("terraform") is None, reason="no terraform on PATH"),
]
ROOT = Path(__file__).resolve().parents[3]
AWS = "registry.terraform.io/hashicorp/aws/5.100.0"
MAIN = """
terraform {
  backend "local" {
  }
  required_providers {
    aws = {
      source  = "registry.terraform.io/hashicorp/aws"
      version = "%s"
    }
  }
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "a"
  secret_key                  = "b"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
}

resource "aws_sqs_queue" "x" {
  name = "x"
}

variable "emulator" { type = bool }
variable "repository" { type = string }
variable "commit" { type = string }
"""


class LocalBackend(Terraform):
    """With its state in a file: no AWS is needed."""

    def _backend(self) -> dict[str, str]:
        return {"path": str(self.settings.home / "state")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "terraform" / "environments").mkdir(parents=True)
    shutil.copytree(ROOT / "environments", root / "environments")
    shutil.copy(ROOT / "terraform" / ".terraform.lock.hcl", root / "terraform")
    (root / "terraform" / "main.tf").write_text(MAIN % "5.100.0")
    (root / "terraform" / "environments" / "local.tfvars").write_text("")
    return root


def planted(folder: Path, version: str, ran: Path) -> Path:
    """A program in a place where Terraform looks for providers; it leaves a mark where it runs."""
    place = folder / "registry.terraform.io" / "hashicorp" / "aws" / version / system()
    place.mkdir(parents=True)
    program = place / f"terraform-provider-aws_v{version}"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    return program


def terraform(checkout: Path, tmp_path: Path) -> Terraform:
    settings = Settings(
        checkout, tmp_path / "home", {"RAY_PLATFORM_PORT_BASE": str(free_port_base())}
    )
    environment = settings.environment("local")
    return LocalBackend(settings, environment, env={}, untrusted=True, pull_request=True)


@pytest.mark.parametrize("has_mirror", [True, False])
def test_a_planted_provider_and_a_changed_lock_never_run(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_mirror: bool
) -> None:
    if has_mirror and find_provider_mirror() is None:
        pytest.skip("no unpacked AWS provider here")
    if not has_mirror:
        monkeypatch.setattr(terraform_client, "find_provider_mirror", lambda _setting: None)
    ran = tmp_path / "ran"
    root, home, cache = checkout / "terraform", tmp_path / "user", tmp_path / "cache"
    for place in (root / "terraform.d" / "plugins", home / ".terraform.d" / "plugins", cache):
        planted(place, "99.0.0", ran)
    (home / ".terraformrc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{cache}"\n  }}\n}}\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(home / ".terraformrc"))
    monkeypatch.setenv("TF_PLUGIN_CACHE_DIR", str(cache))
    monkeypatch.setenv("TF_CLI_ARGS_init", f"-plugin-dir={cache}")
    (root / "main.tf").write_text(MAIN % "99.0.0")
    # A lock without hashes takes whatever is found.
    (root / ".terraform.lock.hcl").write_text(
        'provider "registry.terraform.io/hashicorp/aws" {\n  version = "99.0.0"\n}\n'
    )
    made = terraform(checkout, tmp_path)
    with pytest.raises(PlatformError):
        made.init()
        made.plan(tmp_path / "out.tfplan")
    assert not ran.exists()


@pytest.mark.skipif(find_provider_mirror() is None, reason="no unpacked AWS provider here")
def test_with_the_base_branchs_lock_the_provider_of_the_mirror_is_loaded_and_no_other(
    checkout: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    planted(checkout / "terraform" / "terraform.d" / "plugins", "5.100.0", ran)
    made = terraform(checkout, tmp_path)
    assert made.init()
    made.validate()
    assert not ran.exists()
    [loaded] = made.data_dir.glob(f"providers/{AWS}/*")
    mirror = find_provider_mirror()
    assert mirror is not None
    assert loaded.resolve().is_relative_to(mirror.resolve())
    configured = made._env["TF_CLI_CONFIG_FILE"]
    assert Path(configured).read_text() == cli_configuration(mirror)
    assert Path(configured).stat().st_mode & 0o077 == 0
    assert {name for name in made._env if name.startswith("TF_")} == {
        "TF_CLI_CONFIG_FILE",
        "TF_DATA_DIR",
        "TF_IN_AUTOMATION",
        "TF_INPUT",
    }
    assert os.environ["HOME"] != made._env["HOME"]


def test_without_a_mirror_providers_come_from_their_registries_alone() -> None:
    text = cli_configuration(None)
    assert "direct {}" in text
    assert "mirror" not in text
