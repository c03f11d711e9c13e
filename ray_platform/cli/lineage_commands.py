"""The commands that trace: lineage, runs, diff, bisect."""

from datetime import UTC, datetime
from typing import Any

import click

from ray_platform.cli.output import json_option, print_json, say, table
from ray_platform.cli.run_jobs import open_instance
from ray_platform.config.settings import load_settings
from ray_platform.lineage.bisect import bisect_runs
from ray_platform.lineage.trace import commit_range, describe, explain
from ray_platform.records.version_differences import metric_changes, metrics
from ray_platform.run_history.run_history_store import BurstRun, RunHistory, hold_connections
from ray_platform.session.environment_session import open_session
from ray_platform.text.canonical import short
from ray_platform.text.errors import SettingsError


def open_history() -> RunHistory:
    """The burst runs of Dagster's storage; long readings are told on stderr."""
    instance = open_instance()
    hold_connections(instance)
    return RunHistory(instance, tell=lambda line: click.echo(line, err=True))


@click.command()
@click.argument("run_id", required=False)
@click.option("--rebuild-index", is_flag=True, help="Rebuild the index of runs.")
@json_option
def lineage(run_id: str | None, rebuild_index: bool, as_json: bool) -> None:
    """Show what a training run ran on.

    The answer has the commit, plan, state, each module's version and the Ray version.

    \b
    Examples:
      ray-platform lineage 1b2c3d4e-...
      ray-platform lineage 1b2c3d4e --json | jq .modules
      ray-platform lineage --rebuild-index
    """
    history = open_history()
    if rebuild_index:
        bursts, results = history.rebuild()
        told = {"burst_runs": bursts, "results": results}
        if run_id is None:
            print_json(told) if as_json else say(f"{bursts} burst runs, {results} with results")
            return
    if run_id is None:
        raise SettingsError(
            "no run is named", where="RUN_ID", fix="ray-platform runs lists the burst runs"
        )
    run = history.burst(run_id)
    answer = describe(open_session(load_settings(), run.environment).records, run)
    if as_json:
        print_json(answer)
        return
    dirty = " with uncommitted changes" if answer["dirty"] else ""
    ray = answer["ray"] or {}
    table(
        f"Run {run.run_id} ({run.status})",
        ("what", "value"),
        [
            ("environment", run.environment),
            ("infra version", run.infra_version),
            ("commit", f"{answer['commit']}{dirty}"),
            *((("pull request", answer["pull_request"]),) if answer["pull_request"] else ()),
            ("plan digest", answer["plan_digest"]),
            ("state", f"{answer['state_lineage']} serial {answer['state_serial']}"),
            *((f"module {name}", digest) for name, digest in answer["modules"].items()),
            ("Ray", f"{ray.get('version')} {ray.get('image')}"),
            ("Ray chart", ray.get("chart_digest")),
            ("Ray values", ray.get("values_digest")),
            ("policies", answer["policy_bundle_digest"]),
            ("price book", answer["price_book_version"]),
            *(
                (name.replace("_", " "), value)
                for name, value in run.facts.items()
                if name not in ("infra_version", "commit")
            ),
            *((("results", f"not readable: {run.unreadable}"),) if run.unreadable else ()),
        ],
    )


@click.command()
@click.option(
    "--infra-version", metavar="V", help="Only runs on this infra version (6 characters or more)."
)
@click.option(
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of runs.",
)
@json_option
def runs(infra_version: str | None, limit: int, as_json: bool) -> None:
    """List training runs, newest first.

    \b
    Examples:
      ray-platform runs
      ray-platform runs --infra-version 9c1f03aa22bd --json
    """
    found = open_history().bursts(infra_version, limit=limit)
    if as_json:
        print_json({"runs": [_run(run) for run in found]})
        return
    table(
        "Burst runs",
        ("run", "environment", "status", "infra version", "started (UTC)", "loss", "USD"),
        [
            (
                run.run_id,
                run.environment,
                run.status,
                short(run.infra_version),
                _time(run.started),
                run.facts.get("loss", ""),
                run.facts.get("usd", "not readable" if run.unreadable else ""),
            )
            for run in found
        ],
    )


def _run(run: BurstRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "environment": run.environment,
        "status": run.status,
        "infra_version": run.infra_version,
        "started": run.started,
        "ended": run.ended,
        "facts": dict(run.facts),
        **({"unreadable": run.unreadable} if run.unreadable else {}),
    }


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else ""


@click.command()
@click.argument("run_a")
@click.argument("run_b")
@json_option
def diff(run_a: str, run_b: str, as_json: bool) -> None:
    """Compare the infrastructure of two runs.

    The answer includes the commits between the runs and the metrics of both.

    \b
    Examples:
      ray-platform diff 1b2c3d4e 5f6a7b8c
      ray-platform diff 1b2c3d4e 5f6a7b8c --json | jq .commits
    """
    a, b = open_history().pair(run_a, run_b)
    session = open_session(load_settings(), a.environment)
    records = session.records
    found = explain(records, a.infra_version, b.infra_version)
    old, new = records.manifest(a.infra_version), records.manifest(b.infra_version)
    commits = commit_range(records, session.git, a.infra_version, b.infra_version)
    changes = metric_changes(metrics(a.facts, a.phases), metrics(b.facts, b.phases))
    changed = {
        name: {"before": old[name], "after": new[name]}
        for name in ("commit", "plan_digest", "state_serial")
        if old[name] != new[name]
    }
    same = a.infra_version == b.infra_version
    if as_json:
        print_json(
            {
                "runs": [_run(a), _run(b)],
                "same": same,
                "identity": changed,
                "commits": commits.to_json(),
                "differences": [item.to_json() for item in found],
                "metrics": [item.to_json() for item in changes],
            }
        )
        return
    if same:
        say(f"the same infrastructure under both: {a.infra_version}")
    else:
        for name, pair in changed.items():
            say(f"{name}: {_short(pair['before'])} → {_short(pair['after'])}")
        for sign, side in (("+", commits.gained), ("-", commits.lost)):
            for item in side:
                say(f"  {sign} {short(item.commit)} {item.subject}")
        if commits.why_not:
            say(f"  the commits between are not known: {commits.why_not}")
        table(
            f"From {short(a.infra_version)} to {short(b.infra_version)}",
            ("what", "attribute", "before", "after"),
            [(item.subject, item.attribute, item.before, item.after) for item in found],
        )
    table(
        "What the runs came to",
        ("metric", "before", "after", "change"),
        [(c.metric, c.before, c.after, _change(c.change, c.ratio)) for c in changes],
        numbers=(1, 2, 3),
    )


def _change(change: float | None, ratio: float | None) -> str:
    if not change:
        return ""
    return f"{change:+.6g}" + (f" ({ratio - 1:+.1%})" if ratio else "")


def _short(value: Any) -> Any:
    return short(value) if isinstance(value, str) else value


@click.command()
@click.option("--good", required=True, metavar="RUN", help="A run whose metric is right.")
@click.option("--bad", required=True, metavar="RUN", help="A run whose metric is wrong.")
@click.option("--metric", required=True, metavar="M", help="A metric of the runs, such as loss.")
@json_option
def bisect(good: str, bad: str, metric: str, as_json: bool) -> None:
    """Find the change that made a metric worse.

    The answer lists the infra versions between a good and a bad run, and the one to try next.

    \b
    Examples:
      ray-platform bisect --good 1b2c3d4e --bad 5f6a7b8c --metric loss
      ray-platform bisect --good 1b2c3d4e --bad 5f6a7b8c --metric usd --json | jq -r .next
    """
    history = open_history()
    found = bisect_runs(history, good, bad, metric)
    environment = history.burst(good).environment
    records = open_session(load_settings(), environment).records
    commit: str = records.manifest(found.next)["commit"] if found.next else ""
    if as_json:
        print_json({"metric": metric, **found.to_json(), "next_commit": commit or None})
        return
    table(
        f"Infra versions from good to bad, by {metric}",
        ("infra version", "runs", "median", "judgement"),
        [
            (
                short(step.tried.infra_version),
                len(step.tried.runs),
                "" if step.tried.median is None else f"{step.tried.median:.6g}",
                step.judgement,
            )
            for step in found.steps
        ],
        numbers=(1, 2),
    )
    if found.wavers:
        say("good and bad take turns: more than one change is at work, or chance")
    if found.next:
        say(
            f"{len(found.left)} untested between {short(found.last_good)} (good) and "
            f"{short(found.first_bad)} (bad); try {short(found.next)} next, of commit {short(commit)}"
        )
    else:
        say(
            f"by these runs, {short(found.first_bad)} made the difference: the one before, "
            f"{short(found.last_good)}, was good"
        )
