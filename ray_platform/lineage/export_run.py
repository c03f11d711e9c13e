"""What the world is told of a burst run: OpenLineage events and MLflow, where the settings ask for them.

Whatever fails here is told as a warning and never fails the run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from ray_platform.lineage.mlflow_client import MlflowTracking
from ray_platform.lineage.model_card import TAG, model_card, run_metrics, run_tags
from ray_platform.lineage.openlineage_client import OpenLineage
from ray_platform.lineage.run_report import (
    Item,
    RunReport,
    State,
    identity,
    infra_facet,
    inputs_of,
    output_of,
)
from ray_platform.run_history.burst_metrics import unreached
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.canonical import digest_bytes
from ray_platform.text.redaction import redact_text
from ray_platform.training.burst import BurstResult, RunBaseline

ERROR_CHARS = 1000


class RunExport:
    """Tells of one run; the body of `exported` hands its result over with `finish`."""

    def __init__(
        self,
        session: EnvironmentSession,
        run_id: str,
        ground: RunBaseline,
        warn: Callable[[str], None],
    ) -> None:
        self.session, self.run_id, self.ground, self._warn = session, run_id, ground, warn
        self.result: BurstResult | None = None
        #: The address of the run's page in MLflow, once it is there.
        self.mlflow_url = ""

    def finish(self, result: BurstResult) -> None:
        """What the run came to; MLflow has it at once, OpenLineage when the body of `exported` ends."""
        self.result = result
        if uri := self.session.environment.lineage.mlflow:
            self._guarded("MLflow", lambda: self._track(uri, result))

    def _track(self, uri: str, result: BurstResult) -> None:
        infra = infra_facet(self.ground.infra_version, self.ground.manifest)
        metrics = result.metrics
        self.mlflow_url = MlflowTracking(uri).record(
            f"ray-platform/{self.session.name}",
            (f"{TAG}.run_id", self.run_id),
            name=f"burst {self.run_id[:8]}",
            started=metrics.started,
            ended=metrics.ended,
            succeeded=not unreached(metrics),
            tags=run_tags(self.run_id, infra),
            metrics=run_metrics(metrics, node_seconds=result.node_seconds, usd=result.usd),
            card=model_card(metrics, infra, node_seconds=result.node_seconds, usd=result.usd),
        )

    def tell(self, state: State, error: str = "") -> None:
        """One OpenLineage event, where the environment has somewhere to send it."""
        target = self.session.environment.lineage.openlineage
        if not target:
            return
        self._guarded("OpenLineage", lambda: self._emit(target, state, error))

    def _emit(self, target: str, state: State, error: str) -> None:
        session, manifest = self.session, self.ground.manifest
        producer, schema_url = identity(session.git.remote(), str(manifest["commit"]))
        sink = OpenLineage(
            target, session.home / "openlineage", session.name, session.settings.openlineage_token
        )
        sink.emit(
            RunReport(
                state=state,
                at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                run_id=self.run_id,
                environment=session.name,
                producer=producer,
                schema_url=schema_url,
                facet=infra_facet(self.ground.infra_version, manifest),
                inputs=inputs_of(manifest),
                outputs=self._outputs(),
                error=redact_text(error)[:ERROR_CHARS],
            )
        )

    def _outputs(self) -> tuple[Item, ...]:
        if self.result is None:
            return ()
        store = self.session.artifacts.store
        content = store.get(f"runs/{self.run_id}/metrics.json") or b""
        return (output_of(self.result.files["metrics.json"], digest_bytes(content)),)

    def _guarded(self, whom: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._warn(f"{whom} was not told of run {self.run_id}: {redact_text(str(error))}")


@contextmanager
def exported(
    session: EnvironmentSession, run_id: str, ground: RunBaseline, warn: Callable[[str], None]
) -> Iterator[RunExport]:
    """Tell of a run's start, and of its end however the body ends.

    Args:
        session: The environment.
        run_id: Dagster's id of the run, a UUID.
        ground: What it runs on.
        warn: Is told what could not be told to others.
    """
    export = RunExport(session, run_id, ground, warn)
    export.tell("START")
    try:
        yield export
    except Exception as error:
        export.tell("FAIL", str(error))
        raise
    except BaseException:  # ended by a person or the system
        export.tell("ABORT")
        raise
    short_of = unreached(export.result.metrics) if export.result else []
    export.tell("FAIL" if short_of else "COMPLETE", "; ".join(short_of))
