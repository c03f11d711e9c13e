"""The commands about the GitHub App: making it, and hearing its webhooks."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ray_platform.cli.output import json_option, print_json, say
from ray_platform.config.github_app import GitHubApp
from ray_platform.config.settings import Settings, load_settings
from ray_platform.text.errors import PlatformError, SettingsError

if TYPE_CHECKING:
    from ray_platform.github.webhooks.webhooks_store import Inbox

_RECONCILE_SECONDS = 900.0


@click.group()
def github() -> None:
    """Set up the GitHub App or a local GitHub.

    \b
    Examples:
      ray-platform github local
      ray-platform github manifest --org acme
      ray-platform github serve --port 8443
      ray-platform doctor --github
    """


for _entry in entry_points(group="ray_platform.github_commands"):
    github.add_command(_entry.load())


@github.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=6480, show_default=True, type=click.IntRange(0, 65535))
def serve(host: str, port: int) -> None:
    """Receive webhooks from GitHub.

    A webhook makes the sensor's next poll come sooner; polling alone finds every change too. The
    receiver speaks HTTP, so put a proxy with TLS before it. Every 15 minutes it reads GitHub's
    delivery log and handles failed deliveries.

    \b
    Examples:
      ray-platform github serve
      ray-platform github serve --host 0.0.0.0 --port 8080
    """
    from ray_platform.github.webhooks.receiver_process import Receiver
    from ray_platform.github.webhooks.webhooks_store import Inbox

    settings = load_settings()
    app = _app(settings)
    inbox = Inbox(settings.home, app)
    try:
        receiver = Receiver(inbox, host, port, _line)
    except OSError as error:
        raise SettingsError(
            f"webhooks cannot be received: {error.strerror}",
            where=f"{host}:{port}",
            fix="give a free port with --port, and an address of this machine with --host",
        ) from error
    watched = ", ".join(str(one) for one in app.repositories) or "no repository"
    _line(f"receiving webhooks on http://{host}:{receiver.server_port}/ for {watched}")
    stop = _reconcile_now_and_then(app, inbox)
    try:
        receiver.serve_forever()
    finally:
        stop()
        receiver.server_close()


@github.command()
@click.option("--org", default="", help="The owning organisation. Default: your account.")
@click.option("--webhook-url", default="", help="Address of the webhook receiver. Default: none.")
@click.option("--api-url", default="https://api.github.com", show_default=True)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The page's port.")
@click.option("--wait", default=600.0, show_default=True, type=click.FloatRange(1, 3600))
@json_option
def manifest(
    org: str, webhook_url: str, api_url: str, port: int, wait: float, as_json: bool
) -> None:
    """Create the GitHub App from its manifest.

    Open the printed page and confirm at GitHub. The command waits --wait seconds for that. It
    writes the private key and the webhook secret below the home folder.

    \b
    Examples:
      ray-platform github manifest --org acme
      ray-platform github manifest --org acme --webhook-url https://hooks.example.com/
    """
    from ray_platform.github.manifest_process import SetUp, refuse_to_overwrite

    settings = load_settings()
    folder = settings.home / "github-app"
    refuse_to_overwrite(folder)
    with SetUp(
        api_url.rstrip("/"), org, folder, root=settings.root, webhook_url=webhook_url, port=port
    ) as page:
        click.echo(f"open {page.url} in a browser on this machine", err=True)
        made = page.wait(wait)
    variables = _variables(made.app_id, api_url, made.key_file)
    if webhook_url:
        variables["RAY_PLATFORM_GITHUB_WEBHOOK_FILE"] = str(made.webhook_secret_file)
    if as_json:
        print_json({"slug": made.slug, "install": made.install_url, "variables": variables})
        return
    say(f"the App {made.slug} is made; install it: {made.install_url}")
    say("then set, and name what to watch:")
    for name, value in variables.items():
        say(f"  export {name}={value}")
    say("  export RAY_PLATFORM_GITHUB_REPOSITORIES=OWNER/NAME")
    say("and see that all is well: ray-platform doctor --github")


def _variables(app_id: str, api_url: str, key_file: Path) -> dict[str, str]:
    found = {
        "RAY_PLATFORM_GITHUB_APP_ID": app_id,
        "RAY_PLATFORM_GITHUB_PRIVATE_KEY_FILE": str(key_file),
    }
    if api_url.rstrip("/") != "https://api.github.com":
        found["RAY_PLATFORM_GITHUB_API_URL"] = api_url
    return found


def _app(settings: Settings) -> GitHubApp:
    if settings.github is None:
        raise SettingsError(
            "there is no GitHub App",
            where="RAY_PLATFORM_GITHUB_APP_ID is not set",
            fix="create one: docs/how-to/set-up-the-github-app.md",
        )
    return settings.github


def _reconcile_now_and_then(app: GitHubApp, inbox: "Inbox") -> Callable[[], None]:
    """Read GitHub's log of deliveries now and each quarter of an hour; the way to end it."""
    from threading import Event, Thread

    from ray_platform.github.app_client import connect
    from ray_platform.github.webhooks.deliveries_client import reconcile_deliveries

    ended = Event()

    def work() -> None:
        while True:
            try:
                found = reconcile_deliveries(connect(app), inbox)
                if found.failed:
                    _line(
                        f"{len(found.failed)} webhooks had failed, {len(found.redelivered)} are sent again"
                    )
            except PlatformError as error:
                # The poll finds what webhooks do not tell, so receiving goes on.
                _line(f"GitHub's log of webhooks was not read: {error.what}")
            if ended.wait(_RECONCILE_SECONDS):
                return

    Thread(target=work, name="reconcile", daemon=True).start()
    return ended.set


def _line(text: str) -> None:
    click.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", err=True)
