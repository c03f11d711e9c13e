"""What the parts of a repository's client share: its names, its calls, its reading of answers."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from ray_platform.config.repository import Repository
from ray_platform.github.app_client import AppClient
from ray_platform.github.calls_client import Refusal
from ray_platform.github.installation_client import InstalledApp
from ray_platform.text.errors import ForgeError

T = TypeVar("T")


class RepositoryCalls:
    """One repository on GitHub. Nothing is asked before the first call."""

    def __init__(self, client: AppClient, repository: Repository) -> None:
        self.repository = repository
        self._client = client
        self._owner = quote(repository.owner, safe="")
        self._name = quote(repository.name, safe="")
        self._where = str(repository)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.repository})"

    @property
    def _app(self) -> InstalledApp:
        return self._client.repository(self.repository)

    def _web(self) -> str:
        return web_address(self._client.app.api_url)

    def _unless_gone(self, work: Callable[[], Any]) -> Any:
        """What the work gives; None where GitHub no longer has what it is about."""
        try:
            return work()
        except Refusal as refusal:
            if refusal.failure.status in (404, 410) and not refusal.failure.for_token:
                return None
            raise

    def _parse(self, work: Callable[[], T], doing: str) -> T:
        try:
            return work()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ForgeError(
                f"GitHub's answer lacks what it should hold ({error}): could not {doing}",
                where=self._where,
                fix="see that RAY_PLATFORM_GITHUB_API_URL is GitHub's API",
            ) from error


def web_address(api_url: str) -> str:
    """Where people and Git find GitHub: for ``api.github.com`` it is ``github.com``, for an Enterprise
    Server's ``/api/v3`` its root."""
    scheme, host, path, *_ = urlsplit(api_url)
    return f"{scheme}://{host.removeprefix('api.')}{path.removesuffix('/api/v3')}"
