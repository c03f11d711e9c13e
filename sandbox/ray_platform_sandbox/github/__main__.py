"""The server's own process: ``python -m ray_platform_sandbox.github --port PORT --state FOLDER``.

Makes on the first start an organisation, people and an App; their secrets stand in files of ``FOLDER``
that only their owner may read.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from ray_platform.text.errors import PlatformError
from ray_platform_sandbox.github import world
from ray_platform_sandbox.github.access.secret_files import Secrets
from ray_platform_sandbox.github.access.tokens import add_person_token
from ray_platform_sandbox.github.client import setup
from ray_platform_sandbox.github.clock import Clock
from ray_platform_sandbox.github.git.program import require_git
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.server import start


def open_hub(folder: Path) -> Hub:
    """The hub of a folder, with everybody whom the folder's secrets name."""
    secrets = Secrets(folder)
    hub = Hub(folder, Clock(), keep=True)
    if not hub.state.apps:
        # The secrets first: a state that was cut off before them would have a key that nobody holds.
        world.furnish(hub, secrets.app_key().public, secrets.webhook_secret())
    for login, token in secrets.people(world.PEOPLE).items():
        add_person_token(hub.state, login, token)
    hub.save()
    return hub


async def serve(hub: Hub, port: int) -> None:
    """Answer on the loopback port until ended."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = await start(hub, port)
    setup.catch_up(hub)
    print(f"GitHub on this machine: {hub.url}", flush=True)  # noqa: T201  (its log)
    await stop.wait()
    await runner.cleanup()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="A GitHub server, on 127.0.0.1 only.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="where everything is kept")
    given = parser.parse_args(arguments)
    try:
        require_git()
    except PlatformError as error:
        print(error, file=sys.stderr)  # noqa: T201  (its log)
        return error.exit_code
    given.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    asyncio.run(serve(open_hub(given.state.resolve()), given.port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
