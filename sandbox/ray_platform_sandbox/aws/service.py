"""The AWS emulator as a local service: started when first needed, found again by later processes.

Real credentials never reach it and its callers never reach AWS: whoever talks to it does so with
`Emulator.environment` (all of the user's ``AWS_*`` variables dropped) or with `Emulator.client`.
"""

import functools
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_platform.config.settings import Settings, child_environment
from ray_platform_sandbox.kubernetes.service import kubernetes_certificates, kubernetes_url
from ray_platform_sandbox.services import processes

NAME = "emulator"
READY_SECONDS = 60.0
#: moto takes any credentials; these say what they are.
ACCESS_KEY = "emulator"
REGION = "us-east-1"


@dataclass(frozen=True)
class Emulator:
    """A running AWS emulator.

    ``instance`` changes with each start; everything in the emulator is gone with the old one.
    """

    url: str
    port: int
    pid: int
    instance: str
    config_file: Path

    @property
    def env(self) -> dict[str, str]:
        """The variables by which Terraform, boto3 and the AWS command line reach it.

        Laid over the user's own, they also point profile, config and credentials files away from
        the user's; `environment` drops the rest as well.
        """
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # What it cannot answer is told at once, not after 25 tries.
            "AWS_MAX_ATTEMPTS": "3",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            # A profile that is empty or missing is an error to boto3: a file of ours holds it.
            "AWS_PROFILE": "default",
            "AWS_DEFAULT_PROFILE": "default",
            "AWS_CONFIG_FILE": str(self.config_file),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.config_file),
            "NO_PROXY": f"{processes.LOOPBACK},localhost",
            "no_proxy": f"{processes.LOOPBACK},localhost",
        }

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """``base`` without any of its AWS variables, and with those of the emulator."""
        kept = {key: value for key, value in base.items() if not key.startswith("AWS_")}
        return {**kept, **self.env}

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator, whatever the process's own AWS variables say."""
        import boto3
        from botocore.config import Config

        make: Any = boto3.client  # its typed overloads want the service as a literal
        return make(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=ACCESS_KEY,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )


def ensure_emulator(settings: Settings) -> Emulator:
    """The running emulator of this home, started if there is none. Takes about 2 s to start.

    Raises:
        LocalServiceError: its port is in use, or it does not get ready.
    """
    port = settings.port_base
    service = processes.start(
        settings.home,
        NAME,
        [
            sys.executable,
            "-m",
            "ray_platform_sandbox.aws.server",
            *("--port", str(port)),
            *("--kubernetes", kubernetes_url(settings)),
            *("--authority", str(kubernetes_certificates(settings).authority)),
        ],
        env=_without_aws(child_environment()),
        ports={"AWS emulator": port},
        ready=functools.partial(_answers, _url(port)),
        timeout_seconds=READY_SECONDS,
        cwd=Path(__file__).resolve().parents[2],
    )
    return _emulator(settings, service)


def find_emulator(settings: Settings) -> Emulator | None:
    """The running emulator of this home, or None."""
    service = processes.find(settings.home, NAME)
    return _emulator(settings, service) if service else None


def stop_emulator(settings: Settings) -> bool:
    """End the emulator; whether there was one. All that was in it, the state included, is gone.

    Raises:
        LocalServiceError: another process is starting or stopping it.
    """
    return processes.stop(settings.home, NAME)


def _emulator(settings: Settings, service: processes.Service) -> Emulator:
    port = next(iter(service.ports.values()))
    config_file = settings.home / "local" / "emulator-aws.ini"
    content = (
        f"[default]\nregion = {REGION}\n"
        f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {ACCESS_KEY}\n"
    )
    if not config_file.is_file() or config_file.read_text(encoding="utf-8") != content:
        beside = config_file.with_suffix(f".{service.instance}")
        beside.write_text(content, encoding="utf-8")
        beside.replace(config_file)
    return Emulator(_url(port), port, service.pid, service.instance, config_file)


def _url(port: int) -> str:
    return f"http://{processes.LOOPBACK}:{port}"


def _without_aws(base: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in base.items() if not key.startswith("AWS_")}


def _answers(url: str) -> bool:
    # No proxy: it is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    # Its settings, not its data: those take seconds to write out once there is a cluster in them.
    with opener.open(f"{url}/moto-api/config", timeout=5) as answer:
        return bool(answer.status // 100 == 2)
