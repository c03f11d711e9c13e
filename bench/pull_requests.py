"""Pull requests on GitHub: calls and seconds for a push, and for a look when nothing is new.

Run it with ``.venv/bin/python bench/pull_requests.py``. A GitHub server on this machine counts the calls that
reach it over HTTP; Git is real; plans are recorded ones, so that the seconds are those of the pull request
flow alone. Beside it the obvious alternative: a comment and a check for each environment, as tools do that
plan each folder by itself, and a poll that reads the reviews of every open pull request.
"""

import argparse
import secrets
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ray_platform.config.repository import Repository
from ray_platform.github.github_client import GitHubRepository
from ray_platform.github.model import CheckReport, Watermark
from tests.support.github_site import Sites, running_github
from tests.support.pull_request_flow import Flow


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--environments", type=int, nargs="+", default=[1, 4, 16])
    options.add_argument("--pulls", type=int, default=200)
    given = options.parse_args()
    with running_github() as server, tempfile.TemporaryDirectory() as folder:
        sites = Sites(server)
        print(
            "| a push that touches | calls | seconds | a comment and a check each: calls | ratio |"
        )
        print("|--:|--:|--:|--:|--:|")
        for many in given.environments:
            print(push(sites, Path(folder) / f"push-{many}", many))
        print()
        for line in idle(sites, Path(folder) / "idle", given.pulls):
            print(line)


def new_flow(sites: Sites, folder: Path, many: int) -> Flow:
    sites.server.clock.reset()
    forge = GitHubRepository(sites.client, Repository("acme", f"bench-{secrets.token_hex(4)}"))
    return Flow(sites.server, forge, folder, [f"env{i:02}" for i in range(many)])


def measured(flow: Flow, work: Callable[[], object]) -> tuple[int, int, float]:
    """Calls, those of them that are free, and seconds."""
    flow.server.calls.reset()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return flow.server.calls.total, flow.server.calls.unchanged, seconds


def push(sites: Sites, folder: Path, many: int) -> str:
    flow = new_flow(sites, folder, many)
    flow.look()
    number = flow.server.open_pull_request(
        flow.name, {"terraform/main.tf": "second"}, branch="change"
    )
    flow.look()
    flow.tick()
    flow.server.push(flow.name, "change", {"terraform/main.tf": "third"})
    calls, _, seconds = measured(flow, flow.look)
    head = flow.forge.pull_request(number).head

    def each() -> None:
        """What is told, in a comment and a check of each environment's own: started, then done."""
        flow.forge.changed(Watermark())
        flow.forge.reviews(number)
        for name in flow.environments:
            mark = f"<!-- {name} -->"
            check = flow.forge.write_check(CheckReport(head, name, "plans", "", None), None)
            comment = flow.forge.write_comment(number, mark, f"{mark} plans", None)
            done = CheckReport(head, name, "planned", "", "success")
            flow.forge.write_check(done, check)
            flow.forge.write_comment(number, mark, f"{mark} planned", comment.id)

    other, _, _ = measured(flow, each)
    return (
        f"| {many} environment{'s' if many > 1 else ''} | {calls} | {seconds:.2f} | {other} "
        f"| {other / calls:.1f} |"
    )


def idle(sites: Sites, folder: Path, pulls: int) -> list[str]:
    flow = new_flow(sites, folder, 1)
    for i in range(pulls):
        flow.server.open_pull_request(
            flow.name, {"terraform/main.tf": f"change {i}"}, branch=f"change-{i}", by="alice"
        )
    for _ in range(pulls):
        if not flow.look(rounds=pulls).requests:
            break
    flow.tick()
    flow.tick()
    calls, free, seconds = measured(flow, flow.tick)
    tracemalloc.start()
    flow.tick()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()

    def poll() -> None:
        for pull in flow.forge.changed(Watermark()).pull_requests:
            flow.forge.reviews(pull.number)

    other, other_free, other_seconds = measured(flow, poll)
    return [
        f"| a poll of {pulls} open pull requests, nothing new | calls | of them free | seconds | peak MiB |",
        "|---|--:|--:|--:|--:|",
        f"| this platform | {calls} | {free} | {seconds:.2f} | {peak:.1f} |",
        f"| the reviews of each | {other} | {other_free} | {other_seconds:.2f} | |",
    ]


if __name__ == "__main__":
    main()
