"""The pages and their addresses, the same as on GitHub."""

from typing import TYPE_CHECKING, Any

from ray_platform_sandbox.github.git import merges
from ray_platform_sandbox.github.git.store import EMPTY_TREE
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.pages import views
from ray_platform_sandbox.github.pages.templates import answer
from ray_platform_sandbox.github.shapes.issues import labels_of
from ray_platform_sandbox.github.shapes.pulls import diff_base, pull_of
from ray_platform_sandbox.github.state import Issue, Repository

if TYPE_CHECKING:
    from aiohttp import web

_PERSON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 20"><circle cx="10" cy="10" r="10" '
    'fill="#8b98a5"/><circle cx="10" cy="8" r="3.4" fill="#fff"/><path d="M3.5 17a6.5 6 0 0 1 13 0" '
    'fill="#fff"/></svg>'
)


class Pages:
    """The pages of a hub. They ask for no login: who can reach the port sees them."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def add_to(self, application: "web.Application") -> None:
        add = application.router.add_get
        add("/", self.repositories)
        add("/static/person.svg", self.person)
        add("/{owner}/{repo}", self.repository)
        add("/{owner}/{repo}/pulls", self.pulls)
        add("/{owner}/{repo}/issues", self.issues)
        add("/{owner}/{repo}/pull/{number:[0-9]+}.diff", self.diff)
        add("/{owner}/{repo}/{kind:pull|issues}/{number:[0-9]+}", self.issue)
        add("/{owner}/{repo}/commit/{sha:[0-9a-f]{40}}", self.commit)
        add("/{owner}/{repo}/runs/{run:[0-9]+}", self.run)
        add("/{rest:.*}", self.nothing)

    async def repositories(self, request: "web.Request") -> "web.Response":
        shown = []
        for one in self.hub.state.repositories.values():
            open_ones = [issue for issue in one.issues.values() if issue.state == "open"]
            pulls = sum(1 for issue in open_ones if issue.pull)
            parent = self.hub.state.repositories.get(one.fork_of)
            shown.append(
                {
                    "full_name": one.full_name,
                    "private": one.private,
                    "parent": parent.full_name if parent else "",
                    "pulls": pulls,
                    "issues": len(open_ones) - pulls,
                }
            )
        return answer(request, "repositories.html", title="Repositories", repositories=shown)

    async def repository(self, request: "web.Request") -> "web.Response":
        from aiohttp import web

        found = self._repository(request)
        if found is None:
            return await self.nothing(request)
        raise web.HTTPFound(f"/{found.full_name}/pulls")

    async def pulls(self, request: "web.Request") -> "web.Response":
        return await self._list(request, "pulls")

    async def issues(self, request: "web.Request") -> "web.Response":
        return await self._list(request, "issues")

    async def _list(self, request: "web.Request", here: str) -> "web.Response":
        repository = self._repository(request)
        if repository is None:
            return await self.nothing(request)
        found = [i for i in repository.issues.values() if bool(i.pull) == (here == "pulls")]
        found.sort(key=lambda issue: (issue.state == "closed", -issue.number))
        opened = sum(1 for issue in found if issue.state == "open")
        return answer(
            request,
            "list.html",
            title=f"{here.title()} · {repository.full_name}",
            repository=repository,
            here=here,
            open=opened,
            closed=len(found) - opened,
            items=[self._row(repository, issue) for issue in found],
        )

    def _row(self, repository: Repository, issue: Issue) -> dict[str, object]:
        state, words = views.state_of(issue)
        colours = {"open": "good", "draft": "grey", "closed": "bad"}
        kind = "pull" if issue.pull else "issues"
        return {
            "number": issue.number,
            "title": issue.title,
            "href": f"/{repository.full_name}/{kind}/{issue.number}",
            "state": words.lower(),
            "colour": colours.get(state, "grey"),
            "mark": "○" if state in ("open", "draft") else "●",
            "user": issue.user,
            "created": views.when(issue.created_at),
            "updated": views.when(issue.updated_at),
            "comments": sum(1 for c in repository.comments.values() if c.issue == issue.number),
            "labels": labels_of(self.hub, repository, issue),
            "runs": views.latest_runs(repository, issue.pull.head_sha) if issue.pull else [],
            "approvals": [
                one["user"]
                for one in views.reviewers(issue)
                if one["mark"] == "✓" and one["colour"] == "good"
            ],
        }

    async def issue(self, request: "web.Request") -> "web.Response":
        """An issue, or a pull request with its checks, reviews, deployments, commits and files."""
        from aiohttp import web

        found = self._issue(request)
        if found is None:
            return await self.nothing(request)
        repository, issue = found
        kind = "pull" if issue.pull else "issues"
        if request.match_info["kind"] != kind:
            raise web.HTTPFound(f"/{repository.full_name}/{kind}/{issue.number}")
        values: dict[str, Any] = self._pull_values(repository, issue) if issue.pull else {}
        commits = values.pop("found_commits", ())
        state, words = views.state_of(issue)
        values |= {
            "title": f"{issue.title} #{issue.number} · {repository.full_name}",
            "repository": repository,
            "here": "pulls" if issue.pull else "issues",
            "issue": {
                "title": issue.title,
                "number": issue.number,
                "user": issue.user,
                "created": views.when(issue.created_at),
                "updated": views.when(issue.updated_at),
            },
            "state": state,
            "state_text": words,
            "labels": labels_of(self.hub, repository, issue),
            "timeline": views.timeline(self.hub, repository, issue, commits),
        }
        return answer(request, "issue.html", **{"pull": None, **values})

    def _pull_values(self, repository: Repository, issue: Issue) -> dict[str, Any]:
        pull, store = pull_of(issue), self.hub.store(repository)
        merges.refresh(self.hub, repository, issue)
        base = diff_base(store, pull)
        commits = store.commits(base, pull.head_sha)
        head = self.hub.state.repositories.get(pull.head_repository)
        fork = head is not None and head is not repository
        return {
            "pull": {
                "base": pull.base_ref,
                "head": f"{head.owner}:{pull.head_ref}" if fork and head else pull.head_ref,
                "head_sha": pull.head_sha,
            },
            "found_commits": commits,
            "commits": [views.commit_line(one) for one in commits],
            "changes": views.file_views(store.changes(base, pull.head_sha)),
            "runs": views.latest_runs(repository, pull.head_sha),
            "reviewers": views.reviewers(issue),
            "deployments": {
                line["environment"]: line for line in views.deployment_lines(repository, pull)
            }.values(),
            "merge": _merge_line(issue),
        }

    async def diff(self, request: "web.Request") -> "web.Response":
        from aiohttp import web

        found = self._issue(request)
        if found is None or found[1].pull is None:
            return await self.nothing(request)
        store, pull = self.hub.store(found[0]), found[1].pull
        return web.Response(text=store.diff(diff_base(store, pull), pull.head_sha))

    async def commit(self, request: "web.Request") -> "web.Response":
        repository, sha = self._repository(request), request.match_info["sha"]
        if repository is None or not self.hub.store(repository).has(sha):
            return await self.nothing(request)
        store = self.hub.store(repository)
        held = store.commit(sha)
        subject, _, rest = held.message.partition("\n")
        parent = held.parents[0] if held.parents else EMPTY_TREE
        return answer(
            request,
            "commit.html",
            title=f"{subject} · {repository.full_name}",
            repository=repository,
            commit=held,
            subject=subject,
            rest=rest.strip(),
            at=views.commit_line(held)["at"],
            changes=views.file_views(store.changes(parent, sha)),
        )

    async def run(self, request: "web.Request") -> "web.Response":
        """A check run: where its `html_url` leads."""
        repository = self._repository(request)
        run = repository.check_runs.get(int(request.match_info["run"])) if repository else None
        if repository is None or run is None:
            return await self.nothing(request)
        numbers = [
            issue.number
            for issue in repository.issues.values()
            if issue.pull and issue.pull.head_sha == run.head_sha
        ]
        return answer(
            request,
            "run.html",
            title=f"{run.name} · {repository.full_name}",
            repository=repository,
            here="pulls",
            run=views.run_line(run),
            numbers=numbers,
        )

    async def person(self, request: "web.Request") -> "web.Response":
        from aiohttp import web

        return web.Response(text=_PERSON, content_type="image/svg+xml")

    async def nothing(self, request: "web.Request") -> "web.Response":
        text = "This server has pages for repositories, pull requests, issues, checks and commits."
        return answer(
            request, "message.html", status=404, title="There is no such page here", text=text
        )

    def _repository(self, request: "web.Request") -> Repository | None:
        return self.hub.state.repository(request.match_info["owner"], request.match_info["repo"])

    def _issue(self, request: "web.Request") -> tuple[Repository, Issue] | None:
        repository = self._repository(request)
        number = int(request.match_info["number"])
        issue = repository.issues.get(number) if repository else None
        return (repository, issue) if repository and issue else None


def _merge_line(issue: Issue) -> dict[str, str]:
    pull = pull_of(issue)
    if pull.merged_at is not None:
        return {"colour": "good", "mark": "⇥", "text": f"Merged by {pull.merged_by}."}
    if issue.state == "closed":
        return {"colour": "bad", "mark": "○", "text": "Closed without a merge."}
    if pull.mergeable:
        return {"colour": "good", "mark": "✓", "text": "No conflicts with the base branch."}
    return {"colour": "bad", "mark": "✗", "text": "This branch conflicts with the base branch."}
