"""One repository on GitHub, as the App sees it: the platform's forge.

The number of calls stands with each function. Beside them a process makes two, once: it looks up the
installation, and asks for its token (again every hour).
"""

import re
from urllib.parse import quote, urlsplit

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.github.app_client import connect
from ray_platform.github.calls_client import PER_PAGE, Refusal
from ray_platform.github.forge import Forge
from ray_platform.github.issues_client import Issues
from ray_platform.github.pull_requests_client import PullRequests
from ray_platform.github.statuses_client import Statuses

_LOGIN = re.compile(r"[A-Za-z0-9_-]+(\[bot\])?")
_WRITERS = frozenset({"admin", "maintain", "write"})


class GitHubRepository(PullRequests, Issues, Statuses):
    """The `Forge` that GitHub is.

    Calls that write are safe to repeat, also where the process died between the call and its caller's
    note of it: what is to be written is looked for before it is made. Two processes that write the same
    thing at the same moment must be kept apart by their caller.
    """

    def members(self, team: str) -> frozenset[str]:
        """The logins of ``ORGANISATION/TEAM``, those of teams below it included.

        One call for each hundred; for another organisation two more, once.
        """
        organisation, _, name = team.partition("/")
        doing = f"read the members of the team {team}"
        app = self._app
        if organisation.lower() != self.repository.owner.lower():
            app = self._client.organisation(quote(organisation, safe=""))
        found = app.pages(
            doing,
            team,
            lambda rest, page: rest.teams.list_members_in_org(
                quote(organisation, safe=""), quote(name, safe=""), per_page=PER_PAGE, page=page
            ),
        )
        return self._parse(lambda: frozenset(str(one["login"]) for one in found), doing)

    def may_write(self, login: str) -> bool:
        """Whether a person may push to the repository: directly, by a team or the organisation. One call."""
        if not _LOGIN.fullmatch(login):
            return False
        doing = f"read the permission of {login}"
        try:
            found = self._app.read(
                doing,
                self._where,
                lambda rest: rest.repos.get_collaborator_permission_level(
                    self._owner, self._name, login
                ),
            )
        except Refusal as refusal:
            if refusal.failure.status == 404:  # no such person
                return False
            raise
        # "maintain" is told as "write" here, and a custom role as the one that it was made from.
        return self._parse(lambda: str(found["permission"]), doing) in _WRITERS

    def git_url(self) -> str:
        """Where Git reads the repository over HTTP, without credentials. No call."""
        return f"{self._web()}/{self._owner}/{self._name}.git"

    def git_token(self, *, write: bool = False) -> str:
        """A token for this repository's content alone, good for ten minutes at least.

        One call, once in 50 minutes. It goes into a child's environment only.

        Args:
            write: For a push; else it reads only.
        """
        return self._app.git_token(write=write)

    def bot(self) -> tuple[str, str]:
        """(Name, e-mail address) under which the App's commits are shown as its own. One call."""
        login = self._app.installation.bot
        found = self._unless_gone(
            lambda: self._app.read(
                f"read the account of {login}",
                self._where,
                lambda rest: rest.users.get_by_username(quote(login, safe="")),
            )
        )
        host = urlsplit(self._web()).hostname
        number = f"{int(found['id'])}+" if found else ""
        return login, f"{number}{login}@users.noreply.{host}"


def forge(app: GitHubApp, repository: Repository) -> Forge:
    """A repository as this process's client of the App sees it; its token is shared by all of them."""
    return GitHubRepository(connect(app), repository)
