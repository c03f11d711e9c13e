"""Progress for people who started a run from the command: Dagster's events as short lines on stderr."""

import logging
import sys
import time

import dagster as dg


class _Progress(logging.Handler):
    """Dagster's events as short lines on stderr, with the seconds since the run began."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._begun = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        stage = meta.get("step_key") or ""
        if event is None:
            text = str(meta.get("orig_message", record.getMessage()))
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            found = event.asset_check_evaluation_data
            text = f"{'✓' if found.passed else '✗'} {found.check_name}"
        elif event.event_type_value == "ASSET_MATERIALIZATION":
            text = f"✓ {event.asset_key.to_user_string()}"
        else:
            return
        seconds = f"{time.monotonic() - self._begun:6.1f}s"
        for line in text.splitlines():
            print(  # noqa: T201 - this is the command's progress
                f"{seconds}  {stage:<16.16} {line}", file=sys.stderr, flush=True
            )


@dg.logger(
    config_schema={"level": dg.Field(int, default_value=logging.INFO)},
    description="Progress for people who started the run from the command.",
)
def progress(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("ray_platform.progress", level=context.logger_config["level"])
    logger.addHandler(_Progress(context.logger_config["level"]))
    return logger
