"""What this machine must have before anything is changed on it."""

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray_platform.config.settings import Environment, Settings
from ray_platform.session.adapters import require_sandbox
from ray_platform.terraform.provider_mirror import find_provider_mirror
from ray_platform.terraform.terraform_version_process import terraform_version
from ray_platform.text.errors import PlatformError

MIN_MEMORY_GB = 6.0
MIN_KIND_MEMORY_GB = 12.0
MIN_DISK_GB = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, whether it will do, and what to do when it will not."""

    subject: str
    good: bool
    found: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings, environment: str) -> tuple[Finding, ...]:
    """Every finding about this machine for one environment; changes nothing."""
    chosen = settings.environment(environment)
    return (
        _python(),
        _git(),
        _terraform(settings),
        *(_provider(settings)),
        *(_ports(settings, chosen) if chosen.uses_sandbox else ()),
        *_storage(settings),
        _memory(chosen) if chosen.uses_sandbox else _credentials(),
        _disk(settings),
    )


def _python() -> Finding:
    found = platform.python_version()
    return Finding("Python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _git() -> Finding:
    git = shutil.which("git")
    return Finding("Git", bool(git), "installed" if git else "not found", "install git")


def _terraform(settings: Settings) -> Finding:
    try:
        return Finding("Terraform", True, terraform_version(settings))
    except PlatformError as error:
        return Finding("Terraform", False, error.what, error.fix)


def _provider(settings: Settings) -> Iterator[Finding]:
    try:
        mirror = find_provider_mirror(settings.provider_dir)
    except PlatformError as error:
        yield Finding("Provider", False, error.what, error.fix)
        return
    yield Finding(
        "Provider", True, "AWS provider found unpacked" if mirror else "will be downloaded by init"
    )


def _ports(settings: Settings, environment: Environment) -> Iterator[Finding]:
    try:
        sandbox = require_sandbox()
    except PlatformError as error:
        yield Finding("Sandbox", False, error.what, error.fix)
        return
    for port in sandbox.ports(settings, kubernetes=_has_local_kubernetes(environment)):
        if port.is_ours:
            yield Finding("Port", True, f"{port.number} ({port.purpose}): in use by us")
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port.number))
                yield Finding("Port", True, f"{port.number} ({port.purpose}): free")
            except OSError:
                yield Finding(
                    "Port",
                    False,
                    f"{port.number} ({port.purpose}): in use by another program",
                    "end that program, or set RAY_PLATFORM_PORT_BASE to another port",
                )


def _has_local_kubernetes(environment: Environment) -> bool:
    return environment.uses_sandbox and not environment.kubernetes.context


def _storage(settings: Settings) -> Iterator[Finding]:
    try:
        if settings.dagster_storage != "postgres":
            return
        programs = require_sandbox().postgres_programs(settings)
    except PlatformError as error:
        yield Finding("PostgreSQL", False, error.what, error.fix)
        return
    yield Finding("PostgreSQL", True, f"for Dagster's storage, from {programs}")


def _memory(environment: Environment) -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    needed, why = MIN_MEMORY_GB, "ten Ray nodes and Terraform need"
    if not _has_local_kubernetes(environment):
        needed, why = MIN_KIND_MEMORY_GB, "a cluster in Docker, Ray's pods and Terraform need"
    return Finding("Memory", total >= needed, f"{total:.1f} GB", f"{why} {needed:.0f} GB")


def _disk(settings: Settings) -> Finding:
    folder: Path = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    return Finding(
        "Disk",
        free >= MIN_DISK_GB and os.access(folder, os.W_OK),
        f"{free:.1f} GB free for {settings.home}",
        f"free {MIN_DISK_GB:.0f} GB there, or set RAY_PLATFORM_HOME to a folder that has them",
    )


def _credentials() -> Finding:
    import boto3

    try:
        who = boto3.client("sts").get_caller_identity()["Arn"]
        return Finding("AWS", True, who.split(":")[-1])
    except Exception as error:  # botocore raises many kinds; each means: no use of AWS from here
        return Finding(
            "AWS", False, str(error), "sign in by OIDC or SSO: docs/how-to/set-up-aws.md"
        )
