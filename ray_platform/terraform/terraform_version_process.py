"""Which Terraform this machine has, and how it spells a tag's value."""

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from ray_platform.terraform.provider_mirror import find_provider_mirror
from ray_platform.terraform.state_bucket_store import read_state
from ray_platform.terraform.terraform_process import (
    Diagnostic,
    Finished,
    Watch,
    child_variables,
    run,
    told,
    told_diagnostics,
)
from ray_platform.terraform.state import TerraformState, read_terraform_state
from ray_platform.text.canonical import digest, digest_bytes
from ray_platform.text.errors import ToolError
from ray_platform.text.redaction import NOTHING, plan_secrets, redact_text
from ray_platform.config.settings import Environment, Settings, child_environment
from ray_platform.terraform.state_lock import OPERATIONS
from ray_platform.terraform.cli_configuration import write_cli_configuration


OLDEST_VERSION = (1, 10)


def terraform_version(settings: Settings) -> str:
    """The version of the configured Terraform or OpenTofu binary.

    Raises:
        ToolError: it is missing, answers nothing sensible, or is older than 1.10.
    """
    binary = shutil.which(settings.terraform_binary) or settings.terraform_binary
    logs = settings.home / "terraform" / "logs"
    ours = child_environment(without=("AWS_",))
    env = child_variables(ours, {}, settings.home / "terraform" / "version")
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    finished = run([binary, "version", "-json"], cwd=logs, env=env, logs=logs)
    try:
        version = str(json.loads(finished.output)["terraform_version"])
        parts = tuple(int(part) for part in version.split("-")[0].split("."))
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(
            f"{binary} does not tell its version",
            where="RAY_PLATFORM_TERRAFORM",
            fix="name a Terraform or OpenTofu binary of version 1.10 or newer",
        ) from error
    if parts[:2] < OLDEST_VERSION:
        raise ToolError(
            f"{binary} has version {version}; 1.10 or newer is needed for S3's own state lock",
            where="RAY_PLATFORM_TERRAFORM",
            fix="install a newer one (https://developer.hashicorp.com/terraform/install)",
        )
    return version


def tag_value(text: str) -> str:
    """A text as AWS allows it in a tag: at most 256 of its characters, others replaced by a hyphen."""
    return re.sub(r"[^a-zA-Z0-9 _.:/=+@-]", "-", text)[:256] or "unknown"
