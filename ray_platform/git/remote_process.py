"""Git against a server: a token goes into the child's environment and nowhere else.

Without a token it is this user's own sign-in: his SSH agent, his credential helpers.
"""

import base64
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray_platform.config.settings import NOT_FOR_GIT, child_environment
from ray_platform.text.errors import GitError
from ray_platform.text.redaction import redact_text

#: A first fetch of a large repository takes minutes.
_TIMEOUT_SECONDS = 600

#: Nobody is asked anything: no terminal, no window.
_SILENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS_REQUIRE": "never",
    "LC_ALL": "C",
}
#: Nothing of this user's or this machine's settings changes what is fetched or where it comes from.
_ISOLATED = {**_SILENT, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
#: What of this user's own variables says how he signs in.
_OWN_SIGN_IN = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL")

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def run_git(folder: Path, arguments: Sequence[str], **options: Any) -> str:
    """The output of `run_git_bytes` as text."""
    return run_git_bytes(folder, arguments, **options).decode(errors="replace")


def run_git_bytes(
    folder: Path,
    arguments: Sequence[str],
    *,
    url: str = "",
    token: str = "",
    given: bytes = b"",
    extra: Mapping[str, str] | None = None,
    keep_open: int | None = None,
    own_sign_in: bool = False,
) -> bytes:
    """Run git on a bare repository, and with a server where a URL and a token are given; its output.

    Args:
        folder: The repository.
        arguments: Git's arguments, the URL among them where it talks to a server.
        url: The server's repository; https, or http on this machine alone.
        token: An installation token for that URL.
        given: What git reads from its standard input.
        extra: More variables for the child.
        keep_open: A file descriptor that the child keeps, and with it the lock on it.
        own_sign_in: Use this user's own Git settings and credentials, and no token; the URL may then be
            ``ssh`` or ``file`` too.

    Raises:
        GitError: git is missing, too slow, or failed; what it said has its secrets masked.
    """
    settings = {
        "core.hooksPath": os.devnull,
        "gc.autoDetach": "false",
        "protocol.allow": "never",
        **((_own(url) if own_sign_in else _server(url, token)) if url else {}),
    }
    variables = {
        name: value
        for name, value in child_environment(without=NOT_FOR_GIT).items()
        if not name.startswith("GIT_") or (own_sign_in and name in _OWN_SIGN_IN)
    }
    variables |= _SILENT if own_sign_in else _ISOLATED
    variables |= {**_as_variables(settings), **(extra or {})}
    try:
        child = subprocess.Popen(
            ["git", "-C", str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            start_new_session=True,
            pass_fds=() if keep_open is None else (keep_open,),
        )
    except FileNotFoundError as error:
        raise GitError("git is not installed", fix="install git 2.31 or newer") from error
    try:
        out, said = child.communicate(given, timeout=_TIMEOUT_SECONDS)
    except BaseException as error:
        # Its helpers too, which hold the connection: they are of the child's own session.
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise GitError(
                f"git {arguments[0]} did not end within {_TIMEOUT_SECONDS} s",
                where=url or str(folder),
                fix="see the network; the mirror is good, and the next fetch goes on",
            ) from None
        raise
    if child.returncode != 0:
        where = redact_text(url) or str(folder)
        raise _failed(arguments[0], said.decode(errors="replace"), where, token, own_sign_in)
    return out


def _server(url: str, token: str) -> dict[str, str]:
    """Git's settings for one server: the header for that server alone, no redirect to another."""
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or local) or "@" in parts.netloc:
        raise GitError(
            "Git is used over https alone, without credentials in the address",
            where=redact_text(url),
            fix="set RAY_PLATFORM_GITHUB_API_URL to an https address",
        )
    login = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        f"protocol.{parts.scheme}.allow": "always",
        f"http.{parts.scheme}://{parts.netloc}/.extraHeader": f"Authorization: Basic {login}",
        "http.followRedirects": "false",
        # A connection that gives less than 1 kB/s for a minute is given up.
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "60",
        **({"http.proxy": ""} if local else {}),
    }


def _own(url: str) -> dict[str, str]:
    """Git's settings for an address that this user signs in to by himself."""
    scheme = urlsplit(url).scheme if "://" in url else "ssh"
    local = scheme == "http" and urlsplit(url).hostname in _LOOPBACK
    if scheme not in ("https", "ssh", "file") and not local:
        raise GitError(
            "Git is used over https, ssh or a file's path alone",
            where=redact_text(url),
            fix="give an address such as https://HOST/OWNER/NAME.git or git@HOST:OWNER/NAME.git",
        )
    # A rule of the user's own may turn https into ssh, or the reverse.
    allowed = {scheme, "https", "ssh"}
    return {f"protocol.{name}.allow": "always" for name in sorted(allowed)}


def _as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as variables of the child: other users see a process's arguments, not these."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for at, (name, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{at}"] = name
        variables[f"GIT_CONFIG_VALUE_{at}"] = value
    return variables


def _failed(command: str, said: str, where: str, token: str, own_sign_in: bool) -> GitError:
    for secret in (token, base64.b64encode(f"x-access-token:{token}".encode()).decode()):
        said = said.replace(secret, "(sensitive)") if token else said
    lines = [line for line in redact_text(said).splitlines() if line.strip()]
    # What a push was refused for stands in the line of its reference, and in the server's own words.
    refused = [line.strip() for line in lines if line.startswith((" ! ", "remote: error"))]
    fatal = refused or [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    reason = " ".join(fatal[:2])[:300] or "it said nothing"
    fix = "see the network; it is tried again with the next look"
    if "Authentication failed" in said or "401" in reason or "403" in reason:
        fix = "ray-platform doctor --github names what the App lacks"
    elif "not found" in reason and "repository" in reason:
        fix = "see that the App is installed on this repository: ray-platform doctor --github"
    if own_sign_in:
        fix = (
            f"see that `git ls-remote {where}` works for the user of this process, and the network"
        )
    return GitError(f"git {command} failed: {reason}", where=where, fix=fix)
