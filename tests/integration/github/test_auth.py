"""Who may call the local GitHub server, and what it says to those who may not."""

import base64
import hashlib
import hmac
import json
import time

import httpx
import pytest
from ray_platform_sandbox.github.access.keys import new_key_pair
from ray_platform_sandbox.github.client.testing import LocalGitHub

from tests.support.github_callers import (
    Caller,
    as_app,
    as_installation,
    as_person,
    assertion,
    token_of,
)

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("issued", "seconds", "said"),
    [
        (600, 540, "'Issued at' claim ('iat')"),
        (-60, 2000, "'Expiration time' claim ('exp') is too far in the future"),
        (-1200, 540, "'Expiration time' claim ('exp') must be a numeric value"),
    ],
    ids=["clock 10 minutes ahead", "good for too long", "clock 20 minutes behind"],
)
def test_a_jwt_with_wrong_times_is_refused_in_githubs_words(
    github: LocalGitHub, issued: int, seconds: int, said: str
) -> None:
    # The first is also good for too long when it is 10 minutes ahead: then that is what is said.
    seconds = min(seconds, 540 - issued) if issued > 0 else seconds
    refused = Caller(github, assertion(github, issued=issued, seconds=seconds)).get("/app")
    assert refused.status_code == 401
    assert refused.json()["message"].startswith(said)
    # From the answer a client learns the server's time.
    assert "Date" in refused.headers


def test_a_jwt_of_another_key_another_app_or_no_app_is_refused(github: LocalGitHub) -> None:
    other = new_key_pair()
    wrong_key = Caller(github, assertion(github, key=other.private)).get("/app")
    assert (wrong_key.status_code, wrong_key.json()["message"]) == (
        401,
        "A JSON web token could not be decoded",
    )
    unknown = Caller(github, assertion(github, iss="424242")).get("/app")
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Integration not found")
    header, claims, _ = assertion(github).split(".")
    for unsigned in (f"{header}.{claims}.", "a.b.c"):
        assert Caller(github, unsigned).get("/app").status_code == 401
    assert Caller(github, "ghs_nothing").get("/app").json()["message"] == "Bad credentials"


def test_a_jwt_signed_with_the_public_key_as_a_shared_secret_is_refused(
    github: LocalGitHub,
) -> None:
    def encoded(part: dict[str, object]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")

    now = int(time.time())
    claims = {"iss": str(github.app.id), "iat": now - 60, "exp": now + 300}
    text = encoded({"alg": "HS256", "typ": "JWT"}) + b"." + encoded(claims)
    signed = hmac.new(github.app.public_key.encode(), text, hashlib.sha256).digest()
    forged = text + b"." + base64.urlsafe_b64encode(signed).rstrip(b"=")
    assert Caller(github, forged.decode()).get("/app").status_code == 401


def test_an_installation_token_ends_after_an_hour_of_the_servers_clock(github: LocalGitHub) -> None:
    github.clock.stop()
    bot = as_installation(github)
    github.clock.advance(3599)
    assert bot.get("/installation/repositories").status_code == 200
    github.clock.advance(1)
    assert bot.get("/installation/repositories").json()["message"] == "Bad credentials"
    # The token of a person has no end.
    assert as_person(github, "alice").get("/user").json()["login"] == "alice"


def test_a_suspended_or_removed_installation_gets_no_token_and_its_tokens_are_refused(
    github: LocalGitHub,
) -> None:
    github.create_organization("revoked", {"alice": "admin"})
    number = github.install_app("revoked")
    bot, path = as_installation(github, number), f"/app/installations/{number}/access_tokens"
    github.suspend(number)
    refused = as_app(github)("POST", path)
    assert (refused.status_code, refused.json()["message"]) == (
        403,
        "This installation has been suspended",
    )
    assert bot.get("/installation/repositories").status_code == 403
    github.suspend(number, suspended=False)
    assert bot.get("/installation/repositories").status_code == 200
    github.uninstall(number)
    assert as_app(github)("POST", path).status_code == 404
    assert bot.get("/installation/repositories").status_code == 401
    assert as_app(github).get("/orgs/revoked/installation").status_code == 404


def test_an_installation_does_what_it_was_permitted_and_no_more(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "permitted")
    number = github.open_pull_request(repository, {"a.txt": "a"})
    at = f"/repos/{repository}"
    reader = as_installation(github, permissions={"pull_requests": "read"})
    assert reader.get(f"{at}/pulls/{number}").status_code == 200
    for method, path, body in (
        ("POST", f"{at}/issues/{number}/comments", {"body": "no"}),
        ("GET", f"{at}/deployments", None),
        ("GET", "/orgs/acme/teams/platform/members", None),
        ("POST", f"{at}/check-runs", {"name": "plan", "head_sha": "0" * 40}),
    ):
        refused = reader(method, path, body)
        assert (refused.status_code, refused.json()["message"]) == (
            403,
            "Resource not accessible by integration",
        ), path
    assert refused.headers["X-Accepted-GitHub-Permissions"] == "checks=write"
    asked = {"permissions": {"administration": "write"}}
    tokens = f"/app/installations/{github.installation.id}/access_tokens"
    assert as_app(github)("POST", tokens, asked).status_code == 422
    person = as_person(github, "alice")("POST", f"{at}/check-runs", {"name": "plan"})
    assert person.json()["message"] == "You must authenticate via a GitHub App."


def test_each_organisations_installation_sees_its_own_repositories_alone(
    github: LocalGitHub,
) -> None:
    github.create_organization("other", {"carol": "admin"})
    number = github.install_app("other")
    ours = github.create_repository("acme", "ours")
    theirs = github.create_repository("other", "theirs")
    bot, other = as_installation(github), as_installation(github, number)
    assert bot.get(f"/repos/{theirs}").status_code == 404
    assert other.get(f"/repos/{ours}").status_code == 404
    seen = other.get("/installation/repositories").json()
    assert [one["full_name"] for one in seen["repositories"]] == [theirs]
    found = as_app(github).get(f"/repos/{theirs}/installation").json()
    assert (found["id"], found["account"]["login"]) == (number, "other")
    narrow = as_installation(github, repositories=["ours"])
    listed = narrow.get("/installation/repositories").json()
    assert [one["full_name"] for one in listed["repositories"]] == [ours]
    asked = {"repositories": ["theirs"]}
    tokens = f"/app/installations/{github.installation.id}/access_tokens"
    assert as_app(github)("POST", tokens, asked).status_code == 422


def test_people_do_what_their_roles_allow(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "roles")
    number = github.open_pull_request(repository, {"a.txt": "a"}, by="bob")
    at = f"/repos/{repository}"
    mallory, carol = as_person(github, "mallory"), as_person(github, "carol")
    assert mallory.get(at).status_code == 404
    assert Caller(github).get(at).status_code == 404
    github.do(lambda hub: hub.state.team("acme", "platform").members.pop("carol"))  # type: ignore[union-attr]
    assert carol.get(at).status_code == 200
    refused = carol("PUT", f"{at}/pulls/{number}/merge", {})
    assert refused.status_code == 403
    roles = {
        login: as_installation(github)
        .get(f"{at}/collaborators/{login}/permission")
        .json()["permission"]
        for login in ("alice", "bob", "carol", "mallory")
    }
    assert roles == {"alice": "admin", "bob": "write", "carol": "read", "mallory": "none"}
    own = as_person(github, "bob")("POST", f"{at}/pulls/{number}/reviews", {"event": "APPROVE"})
    assert own.status_code == 422
    assert own.json()["errors"] == ["Can not approve your own pull request"]
    github.add_team("platform", {"alice": "maintainer", "bob": "member", "carol": "member"})


def test_a_manifest_becomes_an_app_once_and_is_installed_on_a_page(github: LocalGitHub) -> None:
    manifest = {
        "name": "Made By Manifest",
        "url": "http://127.0.0.1/",
        "redirect_url": "http://127.0.0.1:1/made",
        "hook_attributes": {"url": "http://127.0.0.1:1/hook"},
        "default_permissions": {"checks": "write"},
        "default_events": ["pull_request"],
    }
    form, own = {"manifest": json.dumps(manifest)}, {"Origin": github.url}
    address = f"{github.url}/organizations/acme/settings/apps/new?state=abc"
    browser = httpx.Client(trust_env=False)
    asks = browser.post(address, data=form)
    assert "Create the GitHub App Made By Manifest?" in asks.text
    # A page of somebody else cannot confirm in a person's place.
    foreign = browser.post(
        address, data={**form, "confirmed": "yes"}, headers={"Origin": "http://x"}
    )
    assert foreign.status_code == 200
    back = browser.post(address, data={**form, "confirmed": "yes"}, headers=own)
    assert back.status_code == 302
    answer = httpx.URL(back.headers["Location"])
    assert (answer.copy_with(query=None), answer.params["state"]) == (
        manifest["redirect_url"],
        "abc",
    )
    anybody, code = Caller(github), answer.params["code"]
    made = anybody("POST", f"/app-manifests/{code}/conversions")
    assert made.status_code == 201
    app = made.json()
    assert (app["slug"], app["permissions"]["checks"]) == ("made-by-manifest", "write")
    as_it = Caller(github, assertion(github, key=app["pem"], iss=str(app["id"])))
    assert as_it.get("/app").json()["id"] == app["id"]
    assert anybody("POST", f"/app-manifests/{code}/conversions").status_code == 404

    install = f"{app['html_url']}/installations/new"
    assert "Install in acme" in browser.get(install).text
    chosen = {"account": "acme"}
    assert browser.post(install, data=chosen, headers={"Origin": "http://x"}).status_code == 403
    assert browser.post(install, data=chosen, headers=own).status_code == 302
    (installed,) = as_it.get("/app/installations").json()
    assert installed["account"]["login"] == "acme"
    github.uninstall(installed["id"])
    twin = Caller(github)(
        "POST", f"/app-manifests/{github.post_manifest('acme', manifest)}/conversions"
    )
    assert twin.json()["slug"] == "made-by-manifest-2"


def test_the_server_answers_to_its_own_name_alone(github: LocalGitHub) -> None:
    foreign = httpx.get(github.url, headers={"Host": "example.invalid"}, trust_env=False)
    assert foreign.status_code == 421
    assert httpx.get(github.url, trust_env=False).status_code == 200


def test_a_token_may_come_as_gits_password(github: LocalGitHub) -> None:
    answer = httpx.get(
        f"{github.api_url}installation/repositories",
        auth=("x-access-token", token_of(github)),
        trust_env=False,
    )
    assert answer.status_code == 200
