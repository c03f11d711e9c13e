"""What a person does at GitHub, over its REST interface with the person's own token.

For tests and for the local walk, where somebody must open a pull request and somebody approve it.
"""

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ray_platform.config.settings import child_environment
from ray_platform.text.errors import GitError, PlatformError

_TIMEOUT_SECONDS, _PUSH_SECONDS = 60, 300
Verdict = Literal["APPROVE", "REQUEST_CHANGES", "COMMENT"]


class GitHubRefused(PlatformError):
    """The server said no; ``status`` and its own words."""

    def __init__(self, status: int, what: str, where: str) -> None:
        super().__init__(what, where=where)
        self.status = status


class Person:
    """A person with a token.

    Args:
        api: The REST root, with or without a slash at its end.
        token: The person's own.
    """

    def __init__(self, api: str, token: str) -> None:
        self.api = api.rstrip("/")
        self._token = token

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a call is answered with; None where it has no content.

        Raises:
            GitHubRefused: any status of 400 and above.
        """
        request = urllib.request.Request(  # noqa: S310  (the address is this machine's)
            self.api + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
            },
        )
        # No proxy: it is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            said = json.loads(error.read() or b"{}")
            details = "; ".join(
                one if isinstance(one, str) else str(one.get("message") or one.get("code"))
                for one in said.get("errors", [])
            )
            text = f"{said.get('message', error.reason)}{f' ({details})' if details else ''}"
            raise GitHubRefused(error.code, text, f"{method} {path}") from error
        return json.loads(content) if content else None

    def commit(
        self,
        repository: str,
        branch: str,
        files: Mapping[str, str | None],
        message: str,
        *,
        onto: str = "",
    ) -> str:
        """Commit files (path to text; None removes the file) to a branch, and say the commit.

        A branch that does not exist yet begins at ``onto`` (a branch; default: the repository's own).
        """
        at = f"/repos/{repository}/git"
        exists = True
        try:
            tip = self.call("GET", f"{at}/ref/heads/{branch}")["object"]["sha"]
        except GitHubRefused as error:
            if error.status != 404:
                raise
            exists = False
            base = onto or self.call("GET", f"/repos/{repository}")["default_branch"]
            tip = self.call("GET", f"{at}/ref/heads/{base}")["object"]["sha"]
        entries: list[dict[str, Any]] = [
            {"path": path, "mode": "100644", "type": "blob"}
            | ({"sha": None} if text is None else {"content": text})
            for path, text in files.items()
        ]
        tree = self.call("POST", f"{at}/trees", {"base_tree": tip, "tree": entries})
        commit: str = self.call(
            "POST", f"{at}/commits", {"message": message, "tree": tree["sha"], "parents": [tip]}
        )["sha"]
        if exists:
            self.call("PATCH", f"{at}/refs/heads/{branch}", {"sha": commit})
        else:
            self.call("POST", f"{at}/refs", {"ref": f"refs/heads/{branch}", "sha": commit})
        return commit

    def open_pull_request(
        self, repository: str, head: str, title: str, *, base: str = "main", body: str = ""
    ) -> int:
        """Open a pull request from a branch (``owner:branch`` for a fork's) and say its number."""
        given = {"head": head, "base": base, "title": title, "body": body}
        return int(self.call("POST", f"/repos/{repository}/pulls", given)["number"])

    def review(
        self,
        repository: str,
        number: int,
        verdict: Verdict = "APPROVE",
        body: str = "",
        *,
        commit: str = "",
    ) -> int:
        """Review a pull request at ``commit`` (default: its head) and say the review's id."""
        given = {"event": verdict, "body": body} | ({"commit_id": commit} if commit else {})
        return int(self.call("POST", f"/repos/{repository}/pulls/{number}/reviews", given)["id"])

    def dismiss(self, repository: str, number: int, review: int, why: str) -> None:
        at = f"/repos/{repository}/pulls/{number}/reviews/{review}/dismissals"
        self.call("PUT", at, {"message": why})

    def comment(self, repository: str, number: int, body: str) -> int:
        """Comment on an issue or a pull request and say the comment's id."""
        at = f"/repos/{repository}/issues/{number}/comments"
        return int(self.call("POST", at, {"body": body})["id"])

    def open_issue(
        self, repository: str, title: str, *, body: str = "", labels: tuple[str, ...] = ()
    ) -> int:
        given = {"title": title, "body": body, "labels": list(labels)}
        return int(self.call("POST", f"/repos/{repository}/issues", given)["number"])

    def close(self, repository: str, number: int) -> None:
        """Close an issue or a pull request without merging it."""
        self.call("PATCH", f"/repos/{repository}/issues/{number}", {"state": "closed"})

    def merge(
        self,
        repository: str,
        number: int,
        method: Literal["merge", "squash", "rebase"] = "merge",
    ) -> str:
        """Merge a pull request and say the commit that the base now stands at."""
        given = {"merge_method": method}
        return str(self.call("PUT", f"/repos/{repository}/pulls/{number}/merge", given)["sha"])

    def create_repository(
        self, organization: str, name: str, from_git: Path, commit: str, *, team: str = ""
    ) -> str:
        """A private repository in an organisation that the person owns; its full name. Safe to repeat.

        Its branch ``main`` holds a commit of a repository on this machine. A ``team`` may push to it.

        Raises:
            GitHubRefused: the server refused it.
            GitError: the commit could not be pushed.
        """
        full_name = f"{organization}/{name}"
        try:
            self.call("POST", f"/orgs/{organization}/repos", {"name": name, "private": True})
        except GitHubRefused as error:
            if error.status != 422:
                raise
        if team:
            at = f"/orgs/{organization}/teams/{team}/repos/{full_name}"
            self.call("PUT", at, {"permission": "push"})
        self.push(full_name, from_git, commit, "main")
        return full_name

    def push(self, repository: str, from_git: Path, commit: str, branch: str) -> None:
        """Push a commit of a repository on this machine to a branch, over HTTP, with git.

        Raises:
            GitError: git refused, or the server did.
        """
        basic = base64.b64encode(f"x-access-token:{self._token}".encode()).decode()
        done = subprocess.run(
            [
                *("git", "-C", str(from_git), "push", "--quiet"),
                *(f"{self.html}/{repository}.git", f"{commit}:refs/heads/{branch}"),
            ],
            env=child_environment(
                {
                    # In the environment, not among the arguments: those can be listed by anybody.
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "http.extraHeader",
                    "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
                    "GIT_TERMINAL_PROMPT": "0",
                    "NO_PROXY": "127.0.0.1",
                    "no_proxy": "127.0.0.1",
                }
            ),
            capture_output=True,
            text=True,
            timeout=_PUSH_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise GitError(
                f"git push to {repository} failed: {done.stderr.strip().splitlines()[-1:]}",
                where=str(from_git),
                fix="see whether the commit exists there and the branch on GitHub moved on",
            )

    @property
    def html(self) -> str:
        """The address of pages and Git."""
        return self.api.removesuffix("/api/v3")

    def fork(self, repository: str) -> str:
        """Fork a repository into the person's own account and say the fork's full name."""
        return str(self.call("POST", f"/repos/{repository}/forks", {})["full_name"])
