"""Progress for people who started a run from the command: short lines on stderr."""

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

_STAGE_WIDTH = 18
#: What Dagster and its Ray client say about their own doings.
_OWN_DOINGS = re.compile(r" INFO |\tINFO |^Running entrypoint ")
_NOISE = ("[pipes]", "Dependencies for step")


def tell(stage: str, text: str, since: float) -> None:
    """A line on stderr: seconds since ``since`` (of `time.monotonic`), the stage, the text."""
    for line in text.splitlines():
        seconds = f"{time.monotonic() - since:6.1f}s"
        sys.stderr.write(f"{seconds}  {stage:<{_STAGE_WIDTH}} {line}\n")
    sys.stderr.flush()


class _Progress(logging.Handler):
    """Dagster's events: what a stage says of itself, its checks and its materializations."""

    def __init__(self, level: int) -> None:
        super().__init__(logging.DEBUG)  # Dagster logs its own events below INFO
        self._spoken = level
        self._since = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        stage = str(meta.get("step_key") or "")
        if event is None:
            text = str(meta.get("orig_message", record.getMessage()))
            if record.levelno < self._spoken or text.startswith(_NOISE):
                return
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            found = event.asset_check_evaluation_data
            stage = found.asset_key.to_user_string()
            text = f"{'✓' if found.passed else '✗'} {found.check_name}"
        elif event.event_type_value == "ASSET_MATERIALIZATION":
            stage, text = event.asset_key.to_user_string(), "✓"
        else:
            return
        tell(stage, text, self._since)


@dg.logger(
    config_schema={"level": dg.Field(int, default_value=logging.INFO)},
    description="Progress for people who started the run from the command.",
)
def progress(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("ray_platform.defs.progress", level=logging.DEBUG)
    logger.addHandler(_Progress(context.logger_config["level"]))
    return logger


@contextmanager
def stdout_as_progress() -> Iterator[None]:
    """Everything that is written to stdout inside goes to stderr: the workload's events as sentences.

    Stdout is the answer's alone (``--json``). It is the file descriptor that is turned, below Dagster's own
    capture, so that the compute logs keep every line as it was written.
    """
    since = time.monotonic()
    sys.stdout.flush()
    kept = os.dup(1)
    ours, theirs = os.pipe()
    os.dup2(theirs, 1)
    os.close(theirs)

    def read() -> None:
        with os.fdopen(ours, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if said := _sentence(line):
                    tell(said[0], said[1], since)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)  # closes the pipe's last end here, so the reader comes to its end
        os.close(kept)
        reader.join(timeout=10)


def _sentence(line: str) -> tuple[str, str] | None:
    """The stage and a sentence for one line of the workload's log; other lines as they are."""
    try:
        event: Any = json.loads(line)
        kind, phase = event["event"], event["phase"]
    except (ValueError, TypeError, KeyError):
        return ("", line.rstrip()) if line.strip() and not _OWN_DOINGS.search(line) else None
    match kind:
        case "phase_started":
            return None
        case "workers_reached":
            text = f"{phase}: {event['workers_reached']} workers after {event['seconds']:.1f} s"
        case "phase_finished":
            text = f"{phase}: done in {event['seconds']:.1f} s, loss {event['loss']:.6f}"
        case "phase_failed":
            text = f"{phase}: failed: {event['error']}"
        case "task_failed" | "task_retried":
            text = f"{phase}: {kind.replace('_', ' ')}: task {event['task']}"
        case _:
            text = f"{kind.replace('_', ' ')}"
    return "burst_run", text
