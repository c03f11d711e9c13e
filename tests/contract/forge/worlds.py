"""The two forges of the contract, and what people do there: the double, and GitHub over HTTP."""

import secrets
from typing import Literal, Protocol

from ray_platform_sandbox.github.client import setup

from ray_platform.github.forge import Forge
from ray_platform.github.model import Conclusion, DeploymentState, ReviewState
from tests.support.github_site import GitHubSite
from tests.support.memory_forge import MemoryForge

_VERDICTS: dict[ReviewState, Literal["APPROVE", "REQUEST_CHANGES", "COMMENT"]] = {
    "APPROVED": "APPROVE",
    "CHANGES_REQUESTED": "REQUEST_CHANGES",
    "COMMENTED": "COMMENT",
}


class ForgeWorld(Protocol):
    """A forge under test and its people: alice, bob and carol may push, mallory and dave may not."""

    forge: Forge

    def later(self) -> None:
        """Let seconds pass."""

    def branch(self, name: str) -> str:
        """A new branch with a change of its own; its commit."""

    def opened(self, branch: str, *, by: str = "alice", draft: bool = False) -> int:
        """A new branch and a pull request from it into ``main``; its number."""

    def push(self, number: int, branch: str) -> str:
        """One more commit on a pull request's branch; the commit."""

    def close(self, number: int) -> None: ...

    def merge(self, number: int) -> str:
        """Merge; the commit of ``main``."""

    def review(self, number: int, by: str, state: ReviewState) -> None: ...

    def dismiss(self, number: int, by: str) -> None:
        """Dismiss the person's only review."""

    def comment(self, number: int, by: str, body: str) -> int: ...

    def forget_comment(self, number: int, comment: int) -> None:
        """Delete a comment."""

    def issue(self, title: str, label: str, *, by: str = "alice") -> int: ...

    def close_issue(self, number: int) -> None: ...

    def label(self, number: int, label: str) -> None:
        """Add a label to an issue or a pull request."""

    def team(self, slug: str, *people: str) -> str:
        """A team of the organisation; its name as ``ORGANISATION/TEAM``."""

    def check_runs(self, head: str) -> dict[str, tuple[Conclusion | None, str]]:
        """The latest check run of each name: conclusion and title."""

    def deployed(self) -> list[tuple[str, str, DeploymentState]]:
        """(environment, commit, last state) of each deployment, sorted."""


class MemoryWorld:
    """The double."""

    def __init__(self) -> None:
        self.forge = MemoryForge(strangers=frozenset({"mallory", "dave"}))
        self.forge.branches["main"] = secrets.token_hex(20)

    def later(self) -> None:
        self.forge.seconds += 5

    def branch(self, name: str) -> str:
        self.forge.branches[name] = secrets.token_hex(20)
        return self.forge.branches[name]

    def opened(self, branch: str, *, by: str = "alice", draft: bool = False) -> int:
        self.branch(branch)
        return self.forge.add_pull(branch, "main", "A change", by=by, draft=draft)

    def push(self, number: int, branch: str) -> str:
        self.forge.set(number, head=self.branch(branch))
        return self.forge.branches[branch]

    def close(self, number: int) -> None:
        self.forge.set(number, is_open=False)

    def merge(self, number: int) -> str:
        commit = self.forge.branches["main"] = secrets.token_hex(20)
        self.forge.merge(number, commit)
        return commit

    def review(self, number: int, by: str, state: ReviewState) -> None:
        self.forge.review(number, by, state)

    def dismiss(self, number: int, by: str) -> None:
        self.forge.dismiss(number, by)

    def comment(self, number: int, by: str, body: str) -> int:
        return self.forge.comment(number, by, body)

    def forget_comment(self, number: int, comment: int) -> None:
        kept = [one for one in self.forge.written[number] if one.id != comment]
        self.forge.written[number] = tuple(kept)

    def issue(self, title: str, label: str, *, by: str = "alice") -> int:
        return self.forge.open_issue(title, "", (label,), by=by).number

    def close_issue(self, number: int) -> None:
        self.forge.close_issue(number)

    def label(self, number: int, label: str) -> None:
        self.forge.label(number, label)

    def team(self, slug: str, *people: str) -> str:
        name = f"{self.forge.repository.owner}/{slug}"
        self.forge.teams[name] = frozenset(people)
        return name

    def check_runs(self, head: str) -> dict[str, tuple[Conclusion | None, str]]:
        return {
            report.name: (report.conclusion, report.title)
            for report in self.forge.checks.values()
            if report.head == head
        }

    def deployed(self) -> list[tuple[str, str, DeploymentState]]:
        return sorted(
            (environment, commit, state)  # type: ignore[misc]
            for key, state in self.forge.deployments.items()
            for environment, commit, _ in [key.split(" ", 2)]
        )


class GitHubWorld:
    """The real client on the local GitHub."""

    def __init__(self, session: GitHubSite) -> None:
        self.session, self.server, self.forge = session, session.server, session.forge
        self.alice = self.server.person("alice")
        self.server.token("dave")
        self.server.do(lambda hub: setup.add_member(hub, "acme", "dave"))
        self._files = 0

    @property
    def _at(self) -> str:
        return f"/repos/{self.session.name}"

    def later(self) -> None:
        self.server.clock.advance(5)

    def _change(self) -> dict[str, str | None]:
        self._files += 1
        return {f"{self._files}.tf": "1"}

    def branch(self, name: str) -> str:
        return self.server.push(self.session.name, name, self._change(), onto="main")

    def opened(self, branch: str, *, by: str = "alice", draft: bool = False) -> int:
        self.branch(branch)
        given = {"head": branch, "base": "main", "title": "A change", "draft": draft}
        return int(self.server.person(by).call("POST", f"{self._at}/pulls", given)["number"])

    def push(self, number: int, branch: str) -> str:
        return self.server.push(self.session.name, branch, self._change())

    def close(self, number: int) -> None:
        self.alice.close(self.session.name, number)

    def merge(self, number: int) -> str:
        return self.alice.merge(self.session.name, number)

    def review(self, number: int, by: str, state: ReviewState) -> None:
        if by == "mallory":  # only whoever sees it can review it
            self.server.do(lambda hub: setattr(hub.repository(self.session.name), "private", False))
        self.server.review(self.session.name, number, _VERDICTS[state], by=by)

    def dismiss(self, number: int, by: str) -> None:
        found = self.alice.call("GET", f"{self._at}/pulls/{number}/reviews")
        (review,) = [one["id"] for one in found if one["user"]["login"] == by]
        self.alice.dismiss(self.session.name, number, review, "outdated")

    def comment(self, number: int, by: str, body: str) -> int:
        return self.server.person(by).comment(self.session.name, number, body)

    def forget_comment(self, number: int, comment: int) -> None:
        self.alice.call("DELETE", f"{self._at}/issues/comments/{comment}")

    def issue(self, title: str, label: str, *, by: str = "alice") -> int:
        return self.server.person(by).open_issue(self.session.name, title, labels=(label,))

    def close_issue(self, number: int) -> None:
        self.alice.close(self.session.name, number)

    def label(self, number: int, label: str) -> None:
        self.alice.call("POST", f"{self._at}/issues/{number}/labels", {"labels": [label]})

    def team(self, slug: str, *people: str) -> str:
        slug = f"{slug}-{secrets.token_hex(3)}"  # the organisation is shared
        self.server.add_team(slug, dict.fromkeys(people, "member"))
        return f"acme/{slug}"

    def check_runs(self, head: str) -> dict[str, tuple[Conclusion | None, str]]:
        found = self.alice.call("GET", f"{self._at}/commits/{head}/check-runs?filter=latest")
        return {
            one["name"]: (one["conclusion"], one["output"]["title"])
            for one in sorted(found["check_runs"], key=lambda one: int(one["id"]))
        }

    def deployed(self) -> list[tuple[str, str, DeploymentState]]:
        found = []
        for one in self.alice.call("GET", f"{self._at}/deployments"):
            states = self.alice.call("GET", f"{self._at}/deployments/{one['id']}/statuses")
            found.append((one["environment"], one["sha"], states[0]["state"]))
        return sorted(found)
