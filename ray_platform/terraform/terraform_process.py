"""One terraform child process: its environment, its output as it comes, its end, and its errors told.

The child writes into files, not pipes, and has a session of its own: when we are killed it goes on and
saves its state; when we are interrupted it is asked once to stop, and waited for.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ray_platform.text.errors import (
    PlatformError,
    SettingsError,
    StalePlan,
    StateError,
    TerraformError,
    ToolError,
)

POLL_SECONDS = 0.05
# The child waits for one line before it becomes terraform: it is written down first, and when we die
# before that, it reads the end of the file and ends too.
_WAIT_THEN_EXEC = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")


class Watch(Protocol):
    """Who keeps account of a terraform that may change something."""

    def started(self, pid: int, call: str) -> None:
        """It is about to start; it does not if this raises."""

    def check(self) -> None:
        """Asked while it runs; if this raises, it is interrupted."""

    def ended(self, code: int) -> None:
        """It has ended, with that exit code; negative: by that signal."""


@dataclass(frozen=True)
class Finished:
    """How a call ended, and all that it wrote."""

    code: int
    output: str
    errors: str


#: Of the platform and of what starts it; a provider or a program in a configuration could read them.
_NOT_FOR_TERRAFORM = (
    *("RAY_PLATFORM_", "DAGSTER_", "MLFLOW_", "OPENLINEAGE_", "GITHUB_", "GH_", "ACTIONS_", "PG"),
    *("TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR", "TF_REATTACH_PROVIDERS"),
)
#: All that a pull request's terraform gets of our environment where its cloud is the emulator.
_FOR_ANYBODY = frozenset(
    {"PATH", "TMPDIR", "LANG", "TZ"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY"}
)


def child_variables(
    base: Mapping[str, str],
    extra: Mapping[str, str],
    data_dir: Path,
    *,
    own_home: Path | None = None,
    cli_configuration: Path | None = None,
) -> dict[str, str]:
    """The environment of a terraform child.

    Nothing that the user's shell says to Terraform changes what is planned; the platform's own variables
    are kept back; with an emulator, no AWS variable of the user's stays.

    Args:
        base: Our environment.
        extra: By which the cloud is reached.
        data_dir: Terraform's own folder.
        own_home: An empty folder to be its HOME; then it gets a short list of variables and nothing else.
        cli_configuration: The file that configures Terraform's command line in place of the user's, of which
            it then gets nothing: no plugin cache, no mirrors, no folders of plugins.
    """
    kept = {key: value for key, value in base.items() if not key.startswith(_NOT_FOR_TERRAFORM)}
    if own_home is not None:
        named = {
            key: value
            for key, value in kept.items()
            # A proxy's address may hold a password.
            if (key.upper() in _FOR_ANYBODY or key.startswith("LC_")) and "@" not in value
        }
        kept = {**named, "HOME": str(own_home)}
    if cli_configuration is not None:
        kept = {key: value for key, value in kept.items() if not key.startswith("TF_")}
        kept["TF_CLI_CONFIG_FILE"] = str(cli_configuration)
    if "AWS_ENDPOINT_URL" in extra:
        kept = {key: value for key, value in kept.items() if not key.startswith("AWS_")}
    if (config := kept.get("TF_CLI_CONFIG_FILE")) and not Path(config).is_file():
        del kept["TF_CLI_CONFIG_FILE"]
    return {
        "GOGC": "400",  # a third less CPU for 150 MB more memory
        **kept,
        **extra,
        "TF_DATA_DIR": str(data_dir),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    logs: Path,
    on_line: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> Finished:
    """Run to the end. ``logs`` is a folder for its output; ``on_line`` is told each line of it.

    What the child wrote is returned as it is, secrets and all: the caller masks it. On disk it has no name,
    and is gone once the child has ended.

    Raises:
        ToolError: the program does not exist or cannot be run.
        PlatformError: what ``watch`` raises.
    """
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Files without a name: what a killed process leaves behind can be read by nobody.
    with tempfile.TemporaryFile(dir=logs) as out, tempfile.TemporaryFile(dir=logs) as err:
        try:
            if watch and not shutil.which(command[0]):
                raise FileNotFoundError(2, "No such file or directory")
            child = subprocess.Popen(
                [*_WAIT_THEN_EXEC, *command] if watch else command,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE if watch else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(
                f"{command[0]} cannot be run: {error.strerror}",
                where="RAY_PLATFORM_TERRAFORM",
                fix="install Terraform 1.10 or newer (https://developer.hashicorp.com/terraform/install), "
                "or set RAY_PLATFORM_TERRAFORM to a Terraform or OpenTofu binary",
            ) from error
        written = _Written(out.fileno())
        if watch:
            _let_go(child, watch, _call_of(command))
        try:
            while child.poll() is None:
                _pass_on(written.new_lines(), on_line)
                if watch:
                    watch.check()
                time.sleep(POLL_SECONDS)
            _pass_on(written.new_lines(last=True), on_line)
        except BaseException:
            # One interrupt: it finishes the resource at hand, saves the state and frees the lock.
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            child.wait()
            raise
        finally:
            if watch:
                watch.ended(child.returncode)
        return Finished(child.returncode, _whole(out.fileno()), _whole(err.fileno()))


def _call_of(command: Sequence[str]) -> str:
    return next((word for word in command[1:] if not word.startswith("-")), "call")


class _Written:
    """Lines of a file that a child writes; the child's place in the file is not moved."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._at = 0
        self._rest = b""

    def new_lines(self, *, last: bool = False) -> list[str]:
        """The lines that were ended since the last call; with ``last`` also what stands without an end."""
        found = os.pread(self._file, os.fstat(self._file).st_size - self._at, self._at)
        self._at += len(found)
        *lines, self._rest = (self._rest + found).split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
        return [line.decode(errors="replace") for line in lines]


def _whole(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")


def _let_go(child: subprocess.Popen[bytes], watch: Watch, call: str) -> None:
    """Have the child written down, then let it become terraform."""
    assert child.stdin is not None  # noqa: S101  (it was asked for)
    try:
        with contextlib.suppress(BrokenPipeError), child.stdin:
            watch.started(child.pid, call)
            child.stdin.write(b"go\n")
    except BaseException:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise


def _pass_on(lines: Sequence[str], on_line: Callable[[str], None] | None) -> None:
    if on_line:
        for line in lines:
            on_line(line)


@dataclass(frozen=True)
class Diagnostic:
    """One error as Terraform tells it. ``where`` is an address, or a file and line."""

    summary: str
    detail: str
    where: str

    def masked(self, mask: Callable[[str], str]) -> "Diagnostic":
        return Diagnostic(mask(self.summary), mask(self.detail), mask(self.where))


def read_diagnostics(text: str) -> list[Diagnostic]:
    """The errors in Terraform's plain output (``-no-color``)."""
    plain = "\n".join(line.lstrip("╷│╵ ").rstrip() for line in text.splitlines())
    found = []
    for block in re.split(r"^Error: ", plain, flags=re.MULTILINE)[1:]:
        block = re.split(r"^Warning: ", block, flags=re.MULTILINE)[0]
        summary, _, rest = block.partition("\n")
        address = re.search(r"^with (\S+?),?$", rest, flags=re.MULTILINE)
        place = re.search(r"^on (\S+) line (\d+)", rest, flags=re.MULTILINE)
        where = address[1] if address else f"{place[1]}:{place[2]}" if place else ""
        # Source lines ("12:   x = 1") and what stands around them are for people with an editor open.
        detail = [
            line
            for line in rest.splitlines()
            if line and not re.match(r"(with \S+,?$|on \S+ line |\d+: |├|─|var\.)", line)
        ]
        found.append(Diagnostic(summary.strip(), " ".join(detail), where))
    return found


def told(finished: Finished, *, call: str, variables_file: Path, state: str) -> PlatformError:
    """The failure of a call as one error with its remedy."""
    return told_diagnostics(
        read_diagnostics(finished.errors) or read_diagnostics(finished.output),
        fallback=(finished.errors or finished.output).strip()[-500:],
        call=call,
        variables_file=variables_file,
        state=state,
    )


def told_diagnostics(
    diagnostics: Sequence[Diagnostic],
    *,
    fallback: str,
    call: str,
    variables_file: Path,
    state: str,
) -> PlatformError:
    """As `told`, from diagnostics that were read already."""
    if not diagnostics:
        return TerraformError(f"terraform {call} failed: {fallback}", fix="see its output above")
    first = diagnostics[0]
    everything = " ".join(f"{item.summary} {item.detail}" for item in diagnostics)
    more = f" (and {len(diagnostics) - 1} more)" if len(diagnostics) > 1 else ""
    what = f"{first.summary}: {first.detail}{more}" if first.detail else first.summary + more

    def says(*marks: str) -> bool:
        return any(mark in everything for mark in marks)

    if says("no space left on device"):
        return ToolError("no space is left on the disk", where=what, fix="free some, try again")
    if says("Saved plan is stale"):
        return StalePlan(
            "the state moved on after the plan was made", where=state, fix="plan again"
        )
    if says("Error acquiring the state lock"):
        return StateError(
            f"the state is locked: {_lock_holder(everything)}",
            where=state,
            fix="wait for the holder: it was started outside the platform, whose own locks free themselves "
            "(docs/how-to/troubleshoot.md, the state is locked)",
        )
    if says("Unsupported Terraform Core version"):
        return ToolError(what, fix="install Terraform 1.10 or newer")
    if says(
        "Failed to query available provider packages",
        "Failed to install provider",
        "Inconsistent dependency lock file",
        "Provider dependency changes detected",
        "checksums",
    ):
        return ToolError(
            f"the AWS provider cannot be had: {what}",
            where="terraform/.terraform.lock.hcl",
            fix="allow registry.terraform.io, or set RAY_PLATFORM_PROVIDER_DIR to an unpacked mirror; "
            "on a platform that the lock lacks: `terraform -chdir=terraform providers lock`",
        )
    if says(
        "Invalid value for variable", "Invalid value for input variable", "No value for required"
    ):
        return SettingsError(
            _last_sentences(what), where=str(variables_file), fix="mend the value in that file"
        )
    if says(
        "Error loading state", "Failed to save state", "Error saving state", "NoSuchBucket"
    ) or (call == "init" and says("S3", "backend")):
        return StateError(
            what, where=state, fix="check the bucket, the network and the credentials"
        )
    return TerraformError(what, where=first.where, fix=_fix_for(call))


def _lock_holder(text: str) -> str:
    parts = {
        key: re.search(rf"{key}:\s+(\S+)", text) for key in ("Who", "Operation", "ID", "Created")
    }
    names = {"Who": "held by", "Operation": "for", "Created": "since", "ID": "LOCK_ID"}
    said = [f"{names[key]} {match[1]}" for key, match in parts.items() if match]
    return ", ".join(said) or "its holder is not named"


def _last_sentences(text: str) -> str:
    return re.sub(r"\s*This was checked by the validation rule at \S+", "", text).strip()


def _fix_for(call: str) -> str:
    if call == "apply":
        return "mend the cause, plan again and apply; what was made stays in the state"
    return "mend it in terraform/ and try again"
