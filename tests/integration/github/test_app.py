"""Who the platform is to GitHub: key, clock, installation, token; and that none of it is ever shown."""

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from ray_platform_sandbox.github.access import tokens as server_tokens
from ray_platform_sandbox.github.access.keys import new_key_pair

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.github.app_client import AppClient, connect
from ray_platform.github.app_key import read_private_key
from ray_platform.github.model import Watermark
from ray_platform.text.errors import ForgeError
from tests.support.github_site import GitHubSite, Sites, running_github

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@pytest.fixture
def session(sites: Sites) -> GitHubSite:
    """A repository through a client of its own, which has signed in nowhere yet."""
    return sites.connected(sites.new())


# The key ---------------------------------------------------------------------------------------


def app_with(**source: Any) -> GitHubApp:
    return GitHubApp("7", "http://127.0.0.1:1", (), **source)


def test_the_key_comes_from_a_file_a_variable_or_secrets_manager(
    sites: Sites, tmp_path: Path, s3_emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    key = sites.app.private_key
    path = tmp_path / "key.pem"
    path.write_text(key)
    for name, value in {
        "AWS_ENDPOINT_URL": s3_emulator.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("secretsmanager").create_secret(Name="github/key", SecretString=key)
    for source in (
        {"private_key_file": path},
        {"private_key": key.replace("\n", "\\n")},
        {"private_key_secret": "github/key"},
    ):
        found = read_private_key(app_with(**source)).private_numbers()
        assert found == serialization.load_pem_private_key(key.encode(), None).private_numbers()  # type: ignore[union-attr]
    with pytest.raises(ForgeError, match="ResourceNotFoundException") as refused:
        read_private_key(app_with(private_key_secret="github/none"))
    assert "github/none" in refused.value.where


def pem(key: Any, passphrase: bytes = b"") -> str:
    return key.private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption(),
    ).decode()


def altered(key: str) -> str:
    """A key whose form is good and whose numbers do not fit together."""
    lines = key.strip().splitlines()
    content = bytearray(base64.b64decode("".join(lines[1:-1])))
    content[len(content) // 2] ^= 1
    return "\n".join([lines[0], base64.b64encode(content).decode(), lines[-1]])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda key: "not a key", "malformed"),
        (lambda key: key[: len(key) // 2], "malformed"),
        (lambda key: key.replace("M", "!", 3), "malformed"),
        (lambda key: altered(key), "malformed"),
        (lambda key: pem(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
        (lambda key: pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),  # noqa: S505
        (lambda key: pem(ec.generate_private_key(ec.SECP256R1()), b"a passphrase"), "malformed"),
    ],
    ids=[
        "text",
        "half of it",
        "damaged",
        "other numbers",
        "elliptic",
        "short",
        "with a passphrase",
    ],
)
def test_a_key_that_is_none_is_one_error_that_shows_nothing_of_it(
    sites: Sites, make: Callable[[str], str], said: str
) -> None:
    key = make(sites.app.private_key)
    with pytest.raises(ForgeError, match=said) as refused:
        AppClient(app_with(private_key=key)).identity()
    shown = "".join(traceback.format_exception(refused.value))
    assert refused.value.where == "RAY_PLATFORM_GITHUB_PRIVATE_KEY" and refused.value.fix
    assert not [line for line in key.splitlines()[1:-1] if len(line) > 20 and line in shown]


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ForgeError, match="no file") as refused:
        read_private_key(app_with(private_key_file=tmp_path / "key.pem"))
    assert refused.value.where == str(tmp_path / "key.pem")


# What is wrong with the App -----------------------------------------------------------------------


def test_another_apps_key_is_told(sites: Sites, session: GitHubSite) -> None:
    other = sites.connected(session, private_key=new_key_pair().private)
    with pytest.raises(ForgeError, match="does not know the App by this id and key") as refused:
        other.forge.changed(Watermark())
    assert "RAY_PLATFORM_GITHUB_APP_ID" in refused.value.fix


def test_an_app_id_that_does_not_exist_is_told(sites: Sites, session: GitHubSite) -> None:
    with pytest.raises(ForgeError, match="does not know the App by this id and key"):
        sites.connected(session, app_id="424242").forge.changed(Watermark())


@pytest.mark.parametrize(
    ("server_ahead", "said"), [(600, "10 minutes behind"), (-600, "10 minutes ahead of")]
)
def test_a_clock_that_is_ten_minutes_off_is_told_by_how_much_and_which_way(
    session: GitHubSite, server_ahead: float, said: str
) -> None:
    session.server.clock.advance(server_ahead)
    try:
        with pytest.raises(ForgeError, match=f"clock is {said}") as refused:
            session.forge.changed(Watermark())
    finally:
        session.server.clock.advance(-server_ahead)
    assert "timedatectl" in refused.value.fix


def test_a_repository_where_the_app_is_not_installed_is_told(sites: Sites) -> None:
    sites.server.create_organization("elsewhere", {"alice": "admin"})
    session = sites.connected(sites.new("elsewhere"))
    with pytest.raises(ForgeError, match="the GitHub App is not installed there") as refused:
        session.forge.changed(Watermark())
    assert refused.value.where == session.name


def test_a_suspended_installation_is_told_before_and_in_the_middle_of_work(
    sites: Sites, session: GitHubSite
) -> None:
    session.forge.changed(Watermark())
    session.server.suspend()
    try:
        with pytest.raises(ForgeError, match="installation is suspended"):
            session.forge.changed(Watermark())
        with pytest.raises(ForgeError, match="installation is suspended"):
            sites.connected(session).forge.changed(Watermark())
    finally:
        session.server.suspend(suspended=False)


def test_a_permission_that_is_missing_is_named_with_where_it_is_granted(
    session: GitHubSite,
) -> None:
    number = session.pull_request()
    granted = dict(session.server.installation.permissions)
    session.server.grant({**granted, "issues": "read", "pull_requests": "read"})
    try:
        with pytest.raises(ForgeError, match="may not write the comment") as refused:
            session.forge.write_comment(number, "<!-- m -->", "<!-- m -->", None)
    finally:
        session.server.grant(granted)
    assert "issues=write" in refused.value.what
    assert "docs/reference/github-app.md" in refused.value.fix


# Tokens --------------------------------------------------------------------------------------------

TOKENS = "POST /app/installations/{installation_id}/access_tokens"
LOOK_UP = "GET /repos/{owner}/{repo}/installation"


def test_an_installation_is_looked_up_once_and_its_token_serves_all_its_repositories(
    sites: Sites, session: GitHubSite
) -> None:
    other = sites.new()
    session.server.calls.reset()
    second = GitHubSite(session.server, other.repository, session.client, session.slept)
    for _ in range(3):
        session.forge.changed(Watermark())
        second.forge.changed(Watermark())
    calls = session.server.calls.by_call()
    assert (calls[LOOK_UP], calls[TOKENS]) == (2, 1)


def test_two_organisations_have_two_installations(sites: Sites, session: GitHubSite) -> None:
    sites.server.create_organization("umbrella", {"alice": "admin"})
    sites.server.install_app("umbrella")
    other = sites.new("umbrella")
    second = GitHubSite(session.server, other.repository, session.client, session.slept)
    for one in (session, second):
        number = one.pull_request()
        assert one.forge.write_comment(number, "<!-- m -->", "<!-- m -->", None).by_us
    assert session.forge.members("acme/platform") and second.forge.members("acme/platform")


def test_a_token_that_ends_in_the_middle_of_work_is_renewed_once_and_the_work_goes_on(
    session: GitHubSite,
) -> None:
    number = session.pull_request()
    made = session.forge.write_comment(number, "<!-- m -->", "<!-- m -->", None)
    session.server.expire_tokens()
    session.server.calls.reset()
    again = session.forge.write_comment(number, "<!-- m -->", "<!-- m --> more", made.id)
    assert again.id == made.id and again.body.endswith("more")
    assert session.server.calls.by_call()[TOKENS] == 1


def test_a_token_is_renewed_before_it_ends_so_that_no_call_is_refused(session: GitHubSite) -> None:
    # GitHub's live an hour; these end within the minute before which the next one is asked for.
    session.server.hub.token_seconds = 55
    session.server.calls.reset()
    try:
        for _ in range(3):
            session.forge.changed(Watermark())
            assert session.forge.git_token()
    finally:
        session.server.hub.token_seconds = 3600
    assert not [status for (_, status) in session.server.calls.counts if status == 401]
    assert session.server.calls.by_call()[TOKENS] == 6


def test_a_git_token_reaches_one_repository_and_reads_only(
    sites: Sites, session: GitHubSite
) -> None:
    other = sites.new()
    token = str(session.forge.git_token())
    assert session.forge.git_token() == token
    held = session.server.hub.state.tokens[server_tokens.digest(token)]
    mine = session.server.hub.repository(session.name).id
    assert held.permissions == {"contents": "read", "metadata": "read"}
    assert held.repository_ids == [mine] != [session.server.hub.repository(other.name).id]


def test_an_installation_that_was_removed_and_made_again_is_found_by_its_new_number(
    sites: Sites,
) -> None:
    sites.server.create_organization("phoenix", {"alice": "admin"})
    first = sites.server.install_app("phoenix")
    session = sites.connected(sites.new("phoenix"))
    session.forge.changed(Watermark())
    sites.server.uninstall(first)
    with pytest.raises(ForgeError, match="not installed there"):
        session.forge.changed(Watermark())
    sites.server.install_app("phoenix")
    assert session.forge.changed(Watermark()).pull_requests == ()


def test_a_process_has_one_client_for_an_app(sites: Sites) -> None:
    assert connect(sites.app) is connect(sites.app)


# Nothing is shown ------------------------------------------------------------------------------------


def test_no_key_jwt_or_token_is_in_any_message_log_or_repr(
    sites: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    session = sites.connected(sites.new())
    shown: list[str] = []

    def fails(work: Callable[[], object]) -> None:
        with pytest.raises(ForgeError) as refused:
            work()
        shown.append("".join(traceback.format_exception(refused.value)))
        shown.append(repr(refused.value))

    number = session.pull_request()
    session.forge.reviews(number)
    git_token = str(session.forge.git_token())
    held = session.client._tokens.get_cache_storage()._cache
    secrets = [git_token, sites.app.private_key, *(item.value for item in held.values())]
    fails(lambda: session.forge.pull_request(99))
    session.server.limits.refuse_next = 1
    fails(lambda: session.forge.reviews(number))
    session.server.suspend()
    fails(lambda: session.forge.reviews(number))
    session.server.suspend(suspended=False)
    session.server.clock.advance(4000)  # the token has ended, and the clock is off for the next
    fails(lambda: session.forge.reviews(number))
    session.server.clock.advance(-4000)
    client, installed = session.client, session.client.repository(session.repository)
    calls = client.calls_in(installed.installation.id)
    shown += [repr(one) for one in (client, client.app, installed, session.forge, client.key)]
    shown += [repr(calls._github.auth), repr(vars(calls)), repr(client.calls._github.auth)]
    shown += [record.getMessage() for record in caplog.records]
    everything = "\n".join(shown)
    assert len(secrets) >= 4 and any("HTTP Request" in line for line in shown)
    for secret in secrets:
        assert secret not in everything
        assert not [line for line in secret.splitlines()[1:-1] if line in everything]


def test_a_repository_name_cannot_lead_to_another_path(sites: Sites) -> None:
    session = sites.connected(sites.new())
    strange = GitHubSite(
        session.server, Repository("acme", "../../app?x"), session.client, session.slept
    )
    with pytest.raises(ForgeError):
        strange.forge.changed(Watermark())
