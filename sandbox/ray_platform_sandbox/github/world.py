"""Who is at the server when it starts for the first time."""

from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.state import Webhook

ORGANIZATION, APP, TEAM = "acme", "ray-platform", "platform"
#: alice owns the organisation, bob and carol are members, mallory belongs to nothing.
PEOPLE = ("alice", "bob", "carol", "mallory")
_ROLES = {"alice": "admin", "bob": "member", "carol": "member"}
#: All three may approve; two of them that are not the author are to be found for any author.
_TEAM_ROLES = {"alice": "maintainer", "bob": "member", "carol": "member"}


def furnish(hub: Hub, public_key: str, webhook_secret: str = "") -> None:
    """An organisation with people and a team, and the platform's App installed in it."""
    setup.add_account(hub, ORGANIZATION, "Organization", "Acme")
    for login in PEOPLE:
        setup.add_account(hub, login)
    for login, role in _ROLES.items():
        setup.add_member(hub, ORGANIZATION, login, role)
    setup.add_team(hub, ORGANIZATION, TEAM, _TEAM_ROLES)
    app = setup.add_app(hub, APP, ORGANIZATION, public_key, webhook=Webhook(secret=webhook_secret))
    setup.install(hub, app, ORGANIZATION)
