"""Terraform on one environment: init, plan, apply and the state, each call made once for its answer."""

import json
import re
import shutil
from ray_platform.terraform.terraform_version_process import tag_value, terraform_version
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

LOCK_TIMEOUT = "60s"
#: One line of progress for so many resources that a plan has looked at.
REFRESHED_STEP = 25
#: Codes of `plan -detailed-exitcode`.
_NO_CHANGES, _CHANGES = 0, 2

_PROGRESS = re.compile(
    r": (Refreshing state\.\.\.|Reading\.\.\.|Read complete|Still reading)|^(Acquiring|Releasing) state lock"
)


@dataclass(frozen=True)
class PlanOutput:
    """A saved plan: the file, its JSON (``terraform show -json``) and the text that Terraform printed."""

    file: Path
    json: Mapping[str, Any]
    text: str


class Terraform:
    """The Terraform root with one environment's state and variables.

    Args:
        settings: Names the root, the binary and the home of local state.
        environment: The environment.
        env: Variables by which its cloud is reached; empty on AWS.
        commit: What new resources are tagged with.
        repository: Likewise.
        progress: Is told what happens, resource by resource.
        untrusted: The configuration is a pull request's: its programs get no variable of ours that they do
            not need, and an empty HOME.
        pull_request: Providers come from where this platform says alone, whatever the configuration and the
            user's own set-up hold.
        watch: Keeps account of the calls that lock the state.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Environment,
        *,
        env: Mapping[str, str],
        commit: str = "unknown",
        repository: str = "unknown",
        progress: Callable[[str], None] | None = None,
        untrusted: bool = False,
        pull_request: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.variables_file = environment.variables_file
        self.lock_timeout = LOCK_TIMEOUT
        self._commit = tag_value(commit)
        self._repository = tag_value(repository)
        self._watch = watch
        self._say = progress or (lambda line: None)
        self._known: frozenset[str] = NOTHING
        self._folder = settings.home / "terraform" / environment.name
        self._cloud = dict(env)
        self._refreshed = 0
        own_home = self._folder / "empty" if untrusted else None
        if own_home:
            own_home.mkdir(parents=True, exist_ok=True, mode=0o700)
        configured = None
        if pull_request:
            mirror = find_provider_mirror(settings.provider_dir)
            configured = write_cli_configuration(self._folder / "pull-requests.tfrc", mirror)
        self._env = child_variables(
            child_environment(), env, self.data_dir, own_home=own_home, cli_configuration=configured
        )

    def _progress(self, line: str) -> None:
        self._say(self._masked(line))

    def _masked(self, text: str) -> str:
        return redact_text(text, self._known)

    @property
    def data_dir(self) -> Path:
        """Terraform's own folder for this environment; the checkout stays clean."""
        return self._folder / "data"

    def version(self) -> str:
        """The version of the binary, checked.

        Raises:
            ToolError: missing, or too old.
        """
        return terraform_version(self.settings)

    def init(self) -> bool:
        """Prepare backend, modules and provider; whether there was anything to do.

        Raises:
            ToolError: no usable Terraform, or its provider is not to be had.
            StateError: the backend is refused.
        """
        mirror = find_provider_mirror(self.settings.provider_dir)
        arguments = ["init", "-input=false", "-no-color", "-reconfigure", "-lockfile=readonly"]
        arguments += [f"-backend-config={key}={value}" for key, value in self._backend().items()]
        if mirror:
            arguments.append(f"-plugin-dir={mirror}")
        stamp_file = self.data_dir / "ray-platform-init"
        stamp = digest([arguments, self._binary(), self._configuration()])
        if stamp_file.is_file() and stamp_file.read_text(encoding="ascii") == stamp:
            return False
        self.version()
        self._progress(
            "Preparing Terraform" + ("" if mirror else " (downloading the AWS provider)")
        )
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        stamp_file.unlink(missing_ok=True)
        self._call(arguments)
        beside = stamp_file.with_suffix(".new")
        beside.write_text(stamp, encoding="ascii")
        beside.replace(stamp_file)
        return True

    def plan(
        self,
        out: Path,
        *,
        destroy: bool = False,
        refresh_only: bool = False,
        targets: Sequence[str] = (),
    ) -> PlanOutput:
        """Plan once, save it to ``out``, show it once.

        Raises:
            SettingsError: a variable has a wrong value.
            StateError: the state is locked or cannot be reached.
            TerraformError: anything else that Terraform says.
        """
        arguments = ["plan", "-input=false", "-no-color", "-detailed-exitcode", f"-out={out}"]
        arguments += [f"-lock-timeout={self.lock_timeout}", *self._variables()]
        arguments += ["-destroy"] if destroy else []
        arguments += ["-refresh-only"] if refresh_only else []
        arguments += [f"-target={target}" for target in targets]
        self._progress("Planning")
        self._refreshed = 0
        finished = self._call(arguments, good=(_NO_CHANGES, _CHANGES))
        return PlanOutput(out, self._shown(out), _readable(self._masked(finished.output)))

    def _shown(self, plan_file: Path) -> Mapping[str, Any]:
        """A saved plan as JSON; what it holds of secrets is masked in all that is said from now on."""
        plan: Mapping[str, Any] = json.loads(self._call(["show", "-json", str(plan_file)]).output)
        self._known |= plan_secrets(plan)
        return plan

    def look_for_drift(self, out: Path) -> PlanOutput | None:
        """Plan once, save it to ``out``, and show it if anything drifted; None when nothing did.

        An ordinary plan: besides the drift it says what the configuration asks for. Showing a plan
        loads the provider once more (2 CPU seconds), for nothing where nothing drifted.

        Raises:
            SettingsError: a variable has a wrong value.
            StateError: the state is locked or cannot be reached.
            TerraformError: anything else that Terraform says.
        """
        drifted = False

        def on_message(message: Mapping[str, Any]) -> None:
            nonlocal drifted
            if message.get("type") == "resource_drift":
                drifted = True
            elif message.get("type") == "refresh_start":
                self._count_refreshed()

        arguments = ["-input=false", "-json", f"-out={out}", f"-lock-timeout={self.lock_timeout}"]
        self._progress("Refreshing")
        self._refreshed = 0
        self._call_json("plan", [*arguments, *self._variables()], on_message)
        if not drifted:
            return None
        return PlanOutput(out, self._shown(out), "")

    def apply(self, plan_file: Path) -> None:
        """Apply that saved plan, and then take into the state what AWS filled in.

        Right after an apply the state lacks what one resource adds to another (a role's attached
        policies, a bucket's versioning). Without the second step that would show as drift, and as a
        change of modules that nobody touched.

        Raises:
            StalePlan: the state moved on after the plan was made.
            StateError: the state is locked, or cannot be read or written.
            TerraformError: a resource failed; what was made before stays in the state.
        """
        base = ["-input=false", "-json", f"-lock-timeout={self.lock_timeout}"]
        self._call_json("apply", [*base, str(plan_file)], learn_from=plan_file)
        if self.state().resources:
            self._progress("Reading back what was applied")
            self._call_json("apply", ["-refresh-only", "-auto-approve", *base, *self._variables()])

    def state(self) -> TerraformState:
        """The state, straight from its bucket (0.02 s, where `terraform state pull` takes 1 s).

        Raises:
            StateError: it cannot be read.
        """
        state = read_terraform_state(self.raw_state(), where=self._state_place())
        self._known |= state.secrets
        return state

    def raw_state(self) -> bytes:
        """The state file's bytes; empty when there is none yet. It holds secrets.

        Raises:
            StateError: it cannot be read.
        """
        place = self.environment.state
        return read_state(self._s3(), place.bucket, place.key) or b""

    def validate(self) -> None:
        """Check the configuration by itself. Raises `TerraformError` naming the first mistake."""
        self._call(["validate", "-no-color"])

    def fmt_check(self) -> tuple[str, ...]:
        """The files, relative to the root, that `terraform fmt` would rewrite."""
        finished = self._call(["fmt", "-check", "-recursive", "-no-color"], good=(0, 3))
        return tuple(finished.output.split())

    def _backend(self) -> dict[str, str]:
        place = self.environment.state
        base = {"bucket": place.bucket, "key": place.key, "region": self.environment.region}
        if not self.environment.uses_sandbox:
            return base
        flags = (
            "skip_credentials_validation",
            "skip_metadata_api_check",
            "skip_requesting_account_id",
            "use_path_style",
        )
        return {**base, **dict.fromkeys(flags, "true")}

    def _variables(self) -> list[str]:
        return [
            f"-var-file={self.variables_file}",
            f"-var=emulator={str(self.environment.uses_sandbox).lower()}",
            f"-var=repository={self._repository}",
            f"-var=commit={self._commit}",
        ]

    def _configuration(self) -> list[tuple[str, str]]:
        # Modules are local: only the root names them, so that their own files need no new init.
        files = [*self.settings.terraform_root.glob("*.tf")]
        files.append(self.settings.terraform_root / ".terraform.lock.hcl")
        return sorted((path.name, digest_bytes(path.read_bytes())) for path in files)

    def _binary(self) -> str:
        return shutil.which(self.settings.terraform_binary) or self.settings.terraform_binary

    def _state_place(self) -> str:
        return f"s3://{self.environment.state.bucket}/{self.environment.state.key}"

    def _s3(self) -> Any:
        import boto3
        from botocore.config import Config

        make: Any = boto3.client  # its typed overloads want the service as a literal
        if url := self._cloud.get("AWS_ENDPOINT_URL"):
            return make(
                "s3",
                region_name=self.environment.region,
                endpoint_url=url,
                aws_access_key_id=self._cloud["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self._cloud["AWS_SECRET_ACCESS_KEY"],
                config=Config(proxies={}, s3={"addressing_style": "path"}),
            )
        return make("s3", region_name=self.environment.region)

    def _call(self, arguments: Sequence[str], *, good: Sequence[int] = (0,)) -> Finished:
        finished = self._run(arguments, self._tell)
        if finished.code not in good:
            masked = replace(
                finished,
                output=self._masked(finished.output),
                errors=self._masked(finished.errors),
            )
            raise told(
                masked,
                call=arguments[0],
                variables_file=self.variables_file,
                state=self._state_place(),
            )
        return finished

    def _call_json(
        self,
        call: str,
        arguments: Sequence[str],
        on_message: Callable[[Mapping[str, Any]], None] = lambda message: None,
        *,
        learn_from: Path | None = None,
    ) -> None:
        diagnostics: list[Diagnostic] = []

        def on_line(line: str) -> None:
            try:
                message = json.loads(line)
            except ValueError:
                return
            on_message(message)
            if message.get("type") == "diagnostic":
                item = message["diagnostic"]
                if item["severity"] == "error":
                    diagnostics.append(_diagnostic(item))
            elif (
                message.get("type") in ("apply_start", "apply_complete", "apply_errored")
                # Which data sources are read is nobody's concern.
                and message["hook"].get("action") != "read"
            ):
                self._progress(message["@message"])

        finished = self._run([call, *arguments], on_line)
        if finished.code != 0:
            if learn_from is not None:
                # What failed may quote a secret of the plan that no state holds yet.
                self._shown(learn_from)
            raise told_diagnostics(
                [item.masked(self._masked) for item in diagnostics],
                fallback=self._masked(finished.errors).strip()[-500:],
                call=call,
                variables_file=self.variables_file,
                state=self._state_place(),
            )

    def _run(self, arguments: Sequence[str], on_line: Callable[[str], None]) -> Finished:
        return run(
            [self._binary(), *arguments],
            cwd=self.settings.terraform_root,
            env=self._env,
            logs=self._folder / "logs",
            on_line=on_line,
            watch=self._watch if arguments[0] in OPERATIONS else None,
        )

    def _tell(self, line: str) -> None:
        if ": Refreshing state..." in line:
            self._count_refreshed()

    def _count_refreshed(self) -> None:
        self._refreshed += 1
        if self._refreshed % REFRESHED_STEP == 0:
            self._progress(f"{self._refreshed} resources refreshed")






def _diagnostic(item: Mapping[str, Any]) -> Diagnostic:
    place = item.get("range") or {}
    line = f"{place['filename']}:{place['start']['line']}" if place else ""
    return Diagnostic(
        item["summary"], " ".join(item.get("detail", "").split()), item.get("address") or line
    )


def _readable(output: str) -> str:
    """What `terraform plan` printed, without its progress and the hint how to apply it."""
    lines = [line for line in output.splitlines() if not _PROGRESS.search(line)]
    text = "\n".join(lines).strip()
    return re.split(r"^─+$", text, flags=re.MULTILINE)[0].strip() if text else ""
