"""A burst run in an MLflow tracking server: tags, metrics and the model card.

MLflow's own client reads its token from ``MLFLOW_TRACKING_TOKEN`` (or ``MLFLOW_TRACKING_USERNAME`` and
``MLFLOW_TRACKING_PASSWORD``): nothing of it passes through here.
"""

from collections.abc import Mapping
from typing import Any

from ray_platform.text.errors import SettingsError, ToolError
from ray_platform.text.redaction import redact_text

CARD = "model_card.md"
#: Some servers take no longer tags.
NOTE_CHARS = 5000
#: MLflow shows a run's description from this tag.
NOTE_TAG = "mlflow.note.content"
TIMEOUT_SECONDS = 15
RETRIES = 1


class MlflowTracking:
    """One tracking server.

    Args:
        uri: Its address.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    def record(
        self,
        experiment: str,
        key: tuple[str, str],
        *,
        name: str,
        started: float,
        ended: float,
        succeeded: bool,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        card: str,
    ) -> str:
        """Record a run; one that has the same key already is brought up to date, so that a retry is safe.

        Args:
            experiment: Its experiment, made where it is missing.
            key: The tag (name, value) that stands for the run.
            name: What the UI calls the run.
            started: Epoch seconds.
            ended: The same.
            succeeded: Whether the run is to count as finished or as failed.
            tags: Its tags.
            metrics: Its metrics.
            card: The model card: an artifact, and the run's description.

        Returns:
            The address of the run's page.

        Raises:
            SettingsError: MLflow is not installed.
            ToolError: the server does not answer, or refuses.
        """
        client = self._client()
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        try:
            experiment_id = self._experiment(client, experiment)
            found = client.search_runs(
                [experiment_id], f"tags.`{key[0]}` = '{key[1]}'", max_results=1
            )
            run = (
                found[0]
                if found
                else client.create_run(
                    experiment_id, start_time=_ms(started), tags=dict([key]), run_name=name
                )
            )
            run_id = run.info.run_id
            for tag, value in {**tags, NOTE_TAG: card[:NOTE_CHARS]}.items():
                client.set_tag(run_id, tag, value)
            client.log_batch(
                run_id,
                metrics=[Metric(what, value, _ms(ended), 0) for what, value in metrics.items()],
            )
            client.log_text(run_id, card, CARD)
            status = "FINISHED" if succeeded else "FAILED"
            client.set_terminated(run_id, status, end_time=_ms(ended))
        except (MlflowException, OSError) as error:
            raise ToolError(
                f"MLflow does not take the run: {redact_text(str(error)).splitlines()[0][:300]}",
                where=self.uri,
                fix="see that it runs and that MLFLOW_TRACKING_TOKEN is set if it asks for one; "
                "the run itself is kept",
            ) from error
        return f"{self.uri}/#/experiments/{experiment_id}/runs/{run_id}"

    def _client(self) -> Any:
        try:
            from mlflow import environment_variables
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise SettingsError(
                f"lineage.mlflow is set, but MLflow is not installed: {error}",
                where=self.uri,
                fix="pip install 'ray-platform[mlflow]'",
            ) from error
        variables: Any = environment_variables  # untyped
        for variable, value in (
            # Its defaults would hold a run that has ended for minutes.
            (variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES, RETRIES),
            (variables.MLFLOW_HTTP_REQUEST_TIMEOUT, TIMEOUT_SECONDS),
            # It prints addresses to stdout, where the command prints JSON.
            (variables.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT, True),
        ):
            if not variable.is_set():
                variable.set(value)
        return MlflowClient(tracking_uri=self.uri)

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        return str(found.experiment_id if found else client.create_experiment(name))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
