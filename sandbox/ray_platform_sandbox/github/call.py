"""One REST call as its handler sees it, and the answer that the handler gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ray_platform_sandbox.github.client.caller import Caller
from ray_platform_sandbox.github.problems import (
    Problem,
    invalid_request,
    not_found,
    validation_failed,
)
from ray_platform_sandbox.github.state import Issue, Repository

if TYPE_CHECKING:
    from ray_platform_sandbox.github.hub import Hub

T = TypeVar("T", str, int, bool, dict, list)  # type: ignore[type-arg]
Found = TypeVar("Found")
_JSON_NAMES = {str: "a string", int: "an integer", bool: "a boolean", dict: "an object"}
PER_PAGE, MOST_PER_PAGE = 30, 100


@dataclass(frozen=True)
class Answer:
    """``body`` None: no content. Text is sent as it is, everything else as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass
class Call:
    """The call: who, on which path, with what. `repository` and `issue` find what the path names."""

    hub: "Hub"
    caller: Caller
    values: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    accept: str = ""
    url: str = ""
    found: Repository | None = None

    @property
    def repository(self) -> Repository:
        if self.found is None:
            raise not_found()
        return self.found

    @property
    def issue(self) -> Issue:
        """The issue or pull request that the path names."""
        number = self.values.get("issue_number") or self.values["pull_number"]
        issue = self.repository.issues.get(int(number)) if number.isdigit() else None
        if issue is None or ("pull_number" in self.values and issue.pull is None):
            raise not_found()
        return issue

    def number(self, name: str) -> int:
        """A number in the path."""
        if not self.values[name].isdigit():
            raise not_found()
        return int(self.values[name])

    def given(self, name: str, kind: type[T]) -> T | None:
        """A field of the body, or None where it is absent or null."""
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = _JSON_NAMES.get(kind, "an array")
            raise invalid_request(f"For 'properties/{name}', {value!r} is not {wanted}.")
        return value

    def required(self, name: str, kind: type[T]) -> T:
        """A field that the body must have."""
        value = self.given(name, kind)
        if value is None:
            raise invalid_request(f'"{name}" wasn\'t supplied.')
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """A field of the body that is one of a few words."""
        value = self.given(name, str)
        if value is not None and value not in allowed:
            listed = ", ".join(allowed)
            raise invalid_request(
                f"For 'properties/{name}', {value} is not a member of [{listed}]."
            )
        return value

    def asked(self, name: str, allowed: tuple[str, ...]) -> str:
        """A word of the query; the first allowed one where none is given."""
        value = self.query.get(name) or allowed[0]
        if value not in allowed:
            raise validation_failed("Search", name, "invalid")
        return value

    def page_of(
        self, items: list[Any], shape: Callable[[Any], Any], wrap: str | None = None
    ) -> Answer:
        """One page of ``items``, shaped, with GitHub's Link header.

        ``wrap`` names the list inside an object with its ``total_count``.
        """
        page, per_page = self.paging()
        first = (page - 1) * per_page
        shown = [shape(item) for item in items[first : first + per_page]]
        last = max(1, -(-len(items) // per_page))
        links: dict[str, int] = {}
        if page > 1:
            links |= {"prev": min(page - 1, last), "first": 1}
        if page < last:
            links |= {"next": page + 1, "last": last}
        body = {"total_count": len(items), wrap: shown} if wrap else shown
        return Answer(body, headers=self._link(links))

    def paging(self) -> tuple[int, int]:
        """(page, per_page) of the query."""
        return self._counted("page", 1, 1_000_000), self._counted(
            "per_page", PER_PAGE, MOST_PER_PAGE
        )

    def _counted(self, name: str, default: int, most: int) -> int:
        text = self.query.get(name, "")
        return min(max(int(text), 1), most) if text.isdigit() else default

    def _link(self, pages: Mapping[str, int]) -> dict[str, str]:
        if not pages:
            return {}
        from yarl import URL

        url = URL(self.url)
        return {
            "Link": ", ".join(
                f'<{url.update_query(page=str(page))}>; rel="{name}"'
                for name, page in pages.items()
            )
        }


@dataclass(frozen=True)
class Route:
    """A call that is served.

    Args:
        template: The path as GitHub's description writes it.
        needs: Permissions as ``name:level``, any of which lets an installation call it.
        role: What a person must at least be in the repository.
        by: Who may call it at all.
        content: Whether it counts against the limit of created content.
        free: Whether it is left out of the rate limit.
        steady: Whether its answer changes only when the state does.
    """

    method: str
    template: str
    handler: Callable[[Call], Answer]
    needs: tuple[str, ...] = ("metadata:read",)
    role: Literal["read", "triage", "write", "admin"] = "read"
    by: tuple[str, ...] = ("anonymous", "installation", "user")
    content: bool = False
    free: bool = False
    steady: bool = True


def require(found: Found | None, problem: Problem) -> Found:
    if found is None:
        raise problem
    return found
