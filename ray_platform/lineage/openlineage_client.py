"""OpenLineage events of runs, by the official client, to a file or to a server.

An event goes through an outbox: it is written to disk first and removed once it is delivered. What could not
be delivered stays there and goes out, in order, before the next event. An event may so arrive twice after a
crash; its run, state and time say that it is the same.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_platform.lineage.run_report import Item, RunReport
from ray_platform.text.errors import PlatformError, ToolError
from ray_platform.text.redaction import redact_text

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

FACET = "rayPlatform_infraVersion"
TIMEOUT_SECONDS = 5.0
_RETRY = {"total": 2, "read": 2, "connect": 2, "backoff_factor": 0.2}


class OpenLineage:
    """Where the events of one environment go.

    Args:
        target: ``file``, or the address of a server that takes ``POST /api/v1/lineage``.
        folder: Holds ``ENV.jsonl`` (for ``file``) and the outbox.
        environment: Names the file and the outbox.
        token: Bearer token of the server; empty: it asks for none.
    """

    def __init__(self, target: str, folder: Path, environment: str, token: str = "") -> None:
        self.target = target
        self.file = folder / f"{environment}.jsonl"
        self.outbox = folder / "outbox" / environment
        self._token = token

    def emit(self, report: RunReport) -> None:
        """Deliver what waits in the outbox, and then this.

        Raises:
            ToolError: it could not be delivered; it waits in the outbox.
        """
        try:
            self._keep(report)
        except OSError as error:
            raise ToolError(
                f"an OpenLineage event cannot be kept: {error.strerror}",
                where=str(self.outbox),
                fix="free some disk space or mend the folder's rights",
            ) from error
        client = self._client()
        waiting = sorted(self.outbox.glob("*.json"))
        for number, path in enumerate(waiting):
            try:
                client.emit(self._event(path))
            except PlatformError:
                raise
            except Exception as error:  # the client and its transports raise what they like
                raise ToolError(
                    f"OpenLineage events are not delivered: {_short(error)}",
                    where=self.target if self.target != "file" else str(self.file),
                    fix=f"{len(waiting) - number} wait in {self.outbox}; the next burst run sends them first",
                ) from error
            path.unlink(missing_ok=True)

    def _keep(self, report: RunReport) -> None:
        self.outbox.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Named by time, so that sorting is the order of events.
        name = f"{report.at.replace(':', '')}-{report.run_id}-{report.state}.json"
        handle, beside = tempfile.mkstemp(dir=self.outbox, prefix=".event-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(report.to_json(), file)
            Path(beside).replace(self.outbox / name)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(beside).unlink()
            raise

    def _event(self, path: Path) -> "RunEvent":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ToolError(
                "an OpenLineage event in the outbox is damaged", where=str(path), fix="remove it"
            ) from error
        return run_event(RunReport.from_json(content, where=str(path)))

    def _client(self) -> "OpenLineageClient":
        from openlineage.client import OpenLineageClient
        from openlineage.client.transport.file import FileConfig, FileTransport
        from openlineage.client.transport.http import (
            ApiKeyTokenProvider,
            HttpConfig,
            HttpTransport,
            TokenProvider,
        )

        if self.target == "file":
            return OpenLineageClient(
                transport=FileTransport(FileConfig(log_file_path=str(self.file), append=True))
            )
        auth = ApiKeyTokenProvider({"apiKey": self._token}) if self._token else TokenProvider({})
        return OpenLineageClient(
            transport=HttpTransport(
                HttpConfig(url=self.target, timeout=TIMEOUT_SECONDS, auth=auth, retry=_RETRY)
            )
        )


def run_event(report: RunReport) -> "RunEvent":
    """The report as an event of the official client.

    Raises:
        ValueError: the run's id is no UUID, or the time no time.
    """
    import attr
    from openlineage.client.event_v2 import (
        InputDataset,
        Job,
        OutputDataset,
        Run,
        RunEvent,
        RunState,
    )
    from openlineage.client.facet_v2 import (
        RunFacet,
        dataset_version_dataset,
        error_message_run,
        job_type_job,
    )

    @attr.define
    class InfraVersionRunFacet(RunFacet):
        @staticmethod
        def _get_schema() -> str:
            return report.schema_url

    def version(item: Item) -> dict[str, Any]:
        facet = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=item.version, producer=report.producer
        )
        return {"version": facet}

    infra = InfraVersionRunFacet(producer=report.producer)
    facets: dict[str, RunFacet] = {
        FACET: infra.with_additional_properties(**report.facet)  # type: ignore[dict-item]
    }
    if report.error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=report.error, programmingLanguage="PYTHON", producer=report.producer
        )
    kind = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="RAY", jobType="TRAINING", producer=report.producer
    )
    return RunEvent(
        eventType=RunState(report.state),
        eventTime=report.at,
        run=Run(runId=report.run_id, facets=facets),
        job=Job(
            namespace=f"ray-platform:{report.environment}",
            name="burst_run",
            facets={"jobType": kind},
        ),
        inputs=[InputDataset(i.namespace, i.name, facets=version(i)) for i in report.inputs],
        outputs=[OutputDataset(o.namespace, o.name, facets=version(o)) for o in report.outputs],
        producer=report.producer,
    )


def _short(error: Exception) -> str:
    lines = redact_text(str(error)).splitlines() or [type(error).__name__]
    return lines[0][:300]
