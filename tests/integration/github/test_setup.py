"""Making the App in one step, what it may, and what the doctor says of it."""

import json
import re
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ray_platform.cli import cli
from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings, load_settings
from ray_platform.doctor.github_checks import examine_github
from ray_platform.doctor.machine_checks import Finding
from ray_platform.github.app_client import AppClient
from ray_platform.github.github_client import GitHubRepository
from ray_platform.github.manifest_process import SetUp, refuse_to_overwrite
from ray_platform.github.model import Watermark
from ray_platform.github.permissions import NEEDED, missing
from ray_platform.github.webhooks.deliveries import EVENTS
from ray_platform.text.errors import ForgeError
from tests.support.github_site import GitHubSite, Sites, running_github

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with running_github() as server:
        yield Sites(server)


@pytest.fixture
def session(sites: Sites) -> GitHubSite:
    return sites.new()


# What it may ------------------------------------------------------------------------------------


def test_code_manifest_and_document_agree_on_the_permissions_and_events() -> None:
    manifest = json.loads((DOCS / "github-app-manifest.json").read_text())
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (DOCS / "github-app.md").read_text(), re.M)
    needed = {one.name: one.level for one in NEEDED}
    assert manifest["default_permissions"] == needed == dict(rows)
    assert tuple(manifest["default_events"]) == EVENTS
    assert manifest["public"] is False


def test_less_than_needed_is_missing_and_more_is_not() -> None:
    granted = {one.name: "write" for one in NEEDED} | {"members": "none", "checks": "read"}
    assert [one.name for one in missing(granted)] == ["checks", "members"]
    assert missing({one.name: "admin" for one in NEEDED}) == ()


# One step ---------------------------------------------------------------------------------------


def get(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def form_of(page: str) -> tuple[str, dict[str, Any]]:
    """Where a page's form posts to, and the manifest that it posts."""
    import html

    action = re.search(r'action="([^"]+)"', page)
    value = re.search(r'name="manifest" value="([^"]+)"', page)
    assert action and value
    return html.unescape(action[1]), json.loads(html.unescape(value[1]))


def test_an_app_is_made_from_its_manifest_and_works(sites: Sites, tmp_path: Path) -> None:
    server = sites.server
    server.create_organization("newcomer", {"alice": "admin"})
    server.create_repository("newcomer", "infra")
    folder = tmp_path / "github-app"
    with SetUp(sites.app.api_url, "newcomer", folder, root=ROOT) as page:
        made: list[Any] = []
        waiting = threading.Thread(target=lambda: made.append(page.wait(120)))
        waiting.start()
        action, manifest = form_of(get(page.url)[1])
        address = urllib.parse.urlsplit(action)
        assert address.path == "/organizations/newcomer/settings/apps/new"
        state = urllib.parse.parse_qs(address.query)["state"][0]
        code = server.post_manifest("newcomer", manifest)
        assert get(f"{manifest['redirect_url']}?code={code}&state=wrong")[0] == 400
        assert get(f"{manifest['redirect_url']}?code={code}&state={state}")[0] == 200
        waiting.join()
    (new,) = made
    assert [
        oct(path.stat().st_mode & 0o777) for path in (new.key_file, new.webhook_secret_file)
    ] == [
        "0o600",
        "0o600",
    ]
    app = next(one for one in server.hub.state.apps.values() if str(one.id) == new.app_id)
    assert app.permissions == {one.name: one.level for one in NEEDED}
    server.do(lambda hub: setup_install(hub, app))
    settings = settings_of(
        sites, tmp_path, app_id=new.app_id, key_file=new.key_file, repositories="newcomer/infra"
    )
    github = settings.github
    assert github
    forge = GitHubRepository(AppClient(github), Repository("newcomer", "infra"))
    assert forge.changed(Watermark()).pull_requests == ()
    with pytest.raises(ForgeError, match="an App already"):
        refuse_to_overwrite(folder)


def setup_install(hub: Any, app: Any) -> None:
    from ray_platform_sandbox.github.client import setup

    setup.install(hub, app, "newcomer")


def test_a_code_that_github_does_not_know_ends_the_wait_with_the_reason(
    sites: Sites, tmp_path: Path
) -> None:
    with SetUp(sites.app.api_url, "", tmp_path, root=ROOT) as page:
        failures: list[ForgeError] = []

        def wait() -> None:
            try:
                page.wait(120)
            except ForgeError as error:
                failures.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert get(f"{page.url}made?code=unknown&state={page.state}")[0] == 502
        waiting.join()
    assert "make the App from its manifest" in failures[0].what
    assert not (tmp_path / "private-key.pem").exists()


def test_the_wait_for_a_person_ends(sites: Sites, tmp_path: Path) -> None:
    with (
        SetUp(sites.app.api_url, "", tmp_path, root=ROOT) as page,
        pytest.raises(ForgeError, match="nobody made the App"),
    ):
        page.wait(0.05)


# The doctor -------------------------------------------------------------------------------------


def settings_of(
    sites: Sites,
    home: Path,
    *,
    app_id: str = "",
    key_file: Path | None = None,
    repositories: str = "",
    **more: str,
) -> Settings:
    if key_file is None:
        key_file = home / "key.pem"
        key_file.write_text(sites.app.private_key)
    variables = {
        "RAY_PLATFORM_GITHUB_APP_ID": app_id or sites.app.app_id,
        "RAY_PLATFORM_GITHUB_PRIVATE_KEY_FILE": str(key_file),
        "RAY_PLATFORM_GITHUB_API_URL": sites.app.api_url,
        "RAY_PLATFORM_GITHUB_REPOSITORIES": repositories,
    }
    return Settings(ROOT, home, {**variables, **more})


@dataclass
class Looked:
    findings: tuple[Finding, ...]

    def bad(self) -> dict[str, str]:
        return {one.subject: one.found for one in self.findings if not one.good}

    def fixes(self) -> str:
        return "\n".join(one.fix for one in self.findings if not one.good)


def look(sites: Sites, session: GitHubSite, home: Path, **more: str) -> Looked:
    return Looked(examine_github(settings_of(sites, home, repositories=session.name, **more)))


def test_the_doctor_finds_nothing_wrong_with_a_good_app(
    sites: Sites, session: GitHubSite, tmp_path: Path
) -> None:
    found = look(sites, session, tmp_path)
    assert found.bad() == {}
    subjects = ["Key", "Clock", "App", "Repository", "Permissions", "Rate limit", "Webhooks"]
    assert [one.subject for one in found.findings] == subjects


def test_the_doctor_names_each_missing_permission_and_where_it_is_given(
    sites: Sites, session: GitHubSite, tmp_path: Path
) -> None:
    installation, app = sites.server.installation, sites.server.app
    granted = dict(installation.permissions)
    lacking = {**granted, "checks": "read"}
    del lacking["deployments"]
    sites.server.grant(lacking)
    app.permissions.pop("deployments")
    try:
        found = look(sites, session, tmp_path)
    finally:
        sites.server.grant(granted)
        app.permissions["deployments"] = "write"
    said = [one.found for one in found.findings if one.subject == "Permissions"]
    assert said == [
        "in acme: checks write is missing (it has read)",
        "in acme: deployments write is missing (it has nothing)",
    ]
    accept, give = found.fixes().splitlines()
    assert f"accept it at {sites.server.url}/organizations/acme/settings/installations/" in accept
    assert f"settings/apps/{app.slug}/permissions" in give and "Deployments: write" in give


def test_the_doctor_tells_a_suspended_a_missing_and_an_unwatched_installation(
    sites: Sites, session: GitHubSite, tmp_path: Path
) -> None:
    sites.server.suspend()
    try:
        assert "suspended" in look(sites, session, tmp_path).bad()["Repository"]
    finally:
        sites.server.suspend(suspended=False)
    elsewhere = examine_github(settings_of(sites, tmp_path, repositories="nobody/infra"))
    assert "nobody/infra: the GitHub App is not installed" in Looked(elsewhere).bad()["Repository"]


def test_the_doctor_tells_a_clock_that_is_off_and_a_key_that_is_none(
    sites: Sites, session: GitHubSite, tmp_path: Path
) -> None:
    sites.server.clock.advance(240)  # JWTs still pass: they live nine minutes
    try:
        assert "4 minutes behind" in look(sites, session, tmp_path).bad()["Clock"]
    finally:
        sites.server.clock.advance(-240)
    (tmp_path / "bad.pem").write_text("no key")
    broken = settings_of(sites, tmp_path, key_file=tmp_path / "bad.pem", repositories=session.name)
    assert "malformed" in Looked(examine_github(broken)).bad()["Key"]


def test_the_doctor_tells_webhooks_that_cannot_work(
    sites: Sites, session: GitHubSite, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    given = {"RAY_PLATFORM_GITHUB_WEBHOOK_FILE": str(secret)}
    assert "cannot be read" in look(sites, session, tmp_path, **given).bad()["Webhooks"]
    secret.write_text("a1b2" * 16)
    assert "no webhook address" in look(sites, session, tmp_path, **given).bad()["Webhooks"]
    sites.server.send_webhooks_to("http://127.0.0.1:9/", "a1b2" * 16)
    try:
        assert look(sites, session, tmp_path, **given).bad() == {}
    finally:
        sites.server.send_webhooks_to("", "")


def test_the_doctor_tells_that_no_app_is_set_up(tmp_path: Path) -> None:
    (found,) = examine_github(Settings(ROOT, tmp_path, {}))
    assert not found.good and "set-up-the-github-app.md" in found.fix


def test_the_command_exits_with_one_where_something_is_wrong(
    sites: Sites, session: GitHubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings_of(sites, tmp_path, repositories=session.name)._variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_PLATFORM_HOME", str(tmp_path))
    load_settings.cache_clear()
    try:
        good = CliRunner().invoke(cli, ["doctor", "--github", "--json"])
        sites.server.suspend()
        bad = CliRunner().invoke(cli, ["doctor", "--github"])
    finally:
        sites.server.suspend(suspended=False)
        load_settings.cache_clear()
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert json.loads(good.stdout)["good"] and "✗ Repository" in bad.stdout
