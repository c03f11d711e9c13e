"""`ray-platform pull-requests`: what stands in pull requests, and one look at them without a daemon."""

import sys
from typing import Any

import click

from ray_platform.cli.output import DENIED, json_option, print_json, say, table
from ray_platform.cli.run_jobs import open_instance, run_job
from ray_platform.config.partitions import ISSUE_TAG, PULL_TAG
from ray_platform.config.repository import Repository
from ray_platform.config.settings import Settings, load_settings
from ray_platform.github.model import PullRef
from ray_platform.pull_requests.decide import Next
from ray_platform.pull_requests.polling.cursor import Memory
from ray_platform.pull_requests.polling.cursor_store import TickMemory
from ray_platform.pull_requests.polling.watched import environments_of, look_at_all
from ray_platform.pull_requests.pull_request_store import PullRequestRecords
from ray_platform.pull_requests.run_request import Request
from ray_platform.session.environment_session import open_session
from ray_platform.text.errors import NotFoundError, PlatformError, SettingsError

#: A look may lead to a plan, that to another look, and that to an apply; more rounds mean a fault.
_MOST_LOOKS = 12


@click.group("pull-requests")
def pull_requests() -> None:
    """List, show or process pull requests.

    \b
    Examples:
      ray-platform pull-requests list
      ray-platform pull-requests show 7
      ray-platform pull-requests sync
    """


@pull_requests.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List watched pull requests.

    The list shows the result of the last poll.

    \b
    Examples:
      ray-platform pull-requests list --json
    """
    rows = _rows(_require_app())
    if as_json:
        print_json({"pull_requests": rows})
        return
    if not rows:
        say("no pull request is watched; `ray-platform pull-requests sync` looks for them")
        return
    table(
        "",
        ["pull request", "title", "author", "head", "environments"],
        [
            [
                row["pull_request"],
                row["title"],
                row["author"],
                row["head"][:12],
                ", ".join(row["environments"]),
            ]
            for row in rows
        ],
    )


@pull_requests.command()
@click.argument("number", type=int)
@click.option("--repository", metavar="OWNER/NAME", help="Needed if several are watched.")
@json_option
def show(number: int, repository: str | None, as_json: bool) -> None:
    """Show a pull request's plans and decisions.

    \b
    Examples:
      ray-platform pull-requests show 7
      ray-platform pull-requests show 7 --repository acme/ml --json
    """
    settings = _require_app()
    ref = _named(settings, number, repository)
    reports: dict[str, dict[str, Any]] = {}
    for name in environments_of(settings, ref.repository):
        session = open_session(settings, name)
        if planned := PullRequestRecords(session.artifacts, name).standing(ref).report:
            reports[name] = planned.to_json()
    row = next((row for row in _rows_of(ref.repository) if row["number"] == number), None)
    if row is None and not reports:
        raise NotFoundError(
            f"{ref} is not watched, and nothing was planned for it",
            fix="ray-platform pull-requests list, or sync to look for it",
        )
    if as_json:
        print_json({"pull_request": str(ref), **(row or {}), "reports": reports})
        return
    say(f"{ref}: {row['title']}, by {row['author']}\n{row['url']}" if row else f"{ref}: it is over")
    for name, report in reports.items():
        counts = ", ".join(f"{n} to {what}" for what, n in report["counts"].items())
        say(f"\n{name}: plan {report['plan_digest'][:12]}: {counts}")
        for item in report["violations"]:
            say(f"  ✗ [{item['id']}] {item['resource']}: {item['message']}")
        outcome = report["outcome"]
        if outcome:
            say(f"  {outcome['state']}: infra version {outcome['infra_version'][:12]}")


@pull_requests.command()
@json_option
def sync(as_json: bool) -> None:
    """Process pull requests now, without a daemon.

    The command polls once and runs what the sensor would start: plans, comments, checks, applies.
    It is safe to repeat, also while a daemon runs. Exit code 2 when a check fails, 1 when a run
    failed.

    \b
    Examples:
      ray-platform pull-requests sync
      ray-platform pull-requests sync --json
    """
    settings = _require_app()
    started: list[dict[str, Any]] = []
    decisions: dict[str, dict[str, str]] = {}
    keys: list[str] = []
    unread: dict[str, str] = {}
    for _ in range(_MOST_LOOKS):
        requests: list[Request] = []
        asked = set(keys)
        for repository, done in look_at_all(settings, open_instance(), settings.run_url):
            # What was started in this process is not started again, as the daemon would not.
            requests += [request for request in done.requests if request.key not in asked]
            unread |= {str(PullRef(repository, number)): why for number, why in done.unread.items()}
            for (number, name), decision in done.decisions.items():
                key = f"{PullRef(repository, number)} {name}"
                decisions[key] = {"next": decision.next.value, "why": decision.why}
        keys += [request.key for request in requests]
        for request in requests:
            about = request.tags.get(PULL_TAG) or request.tags[ISSUE_TAG]
            click.echo(f"{request.job} {request.environment}: {about}", err=True)
            outcome = run_job(request.job, partition=request.environment, tags=request.tags)
            started.append(
                {
                    "job": request.job,
                    "environment": request.environment,
                    "run_id": outcome.run_id,
                    "success": outcome.success,
                }
            )
        if not requests:
            break
    if as_json:
        print_json({"decisions": decisions, "runs": started, "left_alone": unread})
    else:
        for key, told in decisions.items():
            say(f"{key}: {told['next']}{': ' if told['why'] else ''}{told['why']}")
        for key, why in unread.items():
            say(f"{key} is left alone: {why}")
        if not decisions and not unread:
            say("nothing is new")
    said = {told["next"] for told in decisions.values()}
    if unread or Next.FAILED.value in said:
        sys.exit(PlatformError.exit_code)
    if Next.DENIED.value in said:
        sys.exit(DENIED)


def _named(settings: Settings, number: int, repository: str | None) -> PullRef:
    watched = settings.github.repositories if settings.github else ()
    found = [item for item in watched if repository in (None, str(item))]
    if len(found) != 1:
        raise SettingsError(
            f"{len(found)} watched repositories fit",
            where="--repository",
            fix=f"name one of: {', '.join(map(str, watched))}",
        )
    return PullRef(found[0], number)


def _require_app() -> Settings:
    settings = load_settings()
    if settings.github is None:
        raise SettingsError(
            "no GitHub App is set up",
            where="RAY_PLATFORM_GITHUB_APP_ID",
            fix="follow docs/how-to/set-up-the-github-app.md, or run `make up GITHUB=local`",
        )
    return settings


def _rows(settings: Settings) -> list[dict[str, Any]]:
    rows = []
    for repository in settings.github.repositories if settings.github else ():
        rows += _rows_of(repository)
    return rows


def _rows_of(repository: Repository) -> list[dict[str, Any]]:
    memory = Memory.from_json(TickMemory(open_instance(), f"pull_requests/{repository}").read())
    return [
        {
            "pull_request": str(PullRef(repository, number)),
            "repository": str(repository),
            "number": number,
            "title": watched.pull.title,
            "author": watched.pull.author,
            "head": watched.pull.head,
            "url": watched.pull.url,
            "open": watched.pull.is_open,
            "merged": watched.pull.is_merged,
            "environments": list(watched.touched),
        }
        for number, watched in sorted(memory.pulls.items())
        if not watched.is_over
    ]
