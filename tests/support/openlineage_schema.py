"""Whether a piece of JSON is an OpenLineage run event.

The classes of the official client are generated from the published schema (2-0-2, and each facet's own
version): what they require, know and check is what the schema requires, knows and checks. Formats and the
base facet's two fields, which the classes only touch, are checked here; our own facet by its JSON Schema.
"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import UUID

import attr
import jsonschema
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    tags_run,
)

FACET_SCHEMA = Path(__file__).resolve().parents[2] / "docs/schemas/InfraVersionRunFacet.json"
OURS = "rayPlatform_infraVersion"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
PUBLISHED: dict[str, type] = {
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    # The client adds its own version.
    "tags": tags_run.TagsRunFacet,
}


def check_run_event(event: Any) -> None:
    """Raise AssertionError, or jsonschema's ValidationError, unless it is one."""
    _shape(RunEvent, event)
    RunState(event["eventType"])
    assert TIME.fullmatch(event["eventTime"]), event["eventTime"]
    assert event["schemaURL"] == RunEvent._get_schema()
    _uri(event["producer"])
    _shape(Run, event["run"])
    UUID(event["run"]["runId"])
    _shape(Job, event["job"])
    facets = [*event["run"].get("facets", {}).items(), *event["job"].get("facets", {}).items()]
    for kind, part in ((InputDataset, "inputs"), (OutputDataset, "outputs")):
        for item in event.get(part, []):
            _shape(kind, item)
            facets += item.get("facets", {}).items()
    for name, facet in facets:
        _uri(facet["_producer"])
        _uri(facet["_schemaURL"])
        if name == OURS:
            check_infra_facet(facet)
        else:
            kind = PUBLISHED[name]
            _shape(kind, facet)
            assert facet["_schemaURL"] == kind._get_schema()  # type: ignore[attr-defined]


def check_infra_facet(facet: Any) -> None:
    schema = json.loads(FACET_SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate({OURS: facet})


def _shape(kind: type, data: Any) -> None:
    fields = {field.name: field for field in attr.fields(kind)}
    assert set(data) <= set(fields), f"{kind.__name__} knows no {set(data) - set(fields)}"
    required = {name for name, field in fields.items() if field.default is attr.NOTHING}
    assert required <= set(data), f"{kind.__name__} lacks {required - set(data)}"
    assert not [name for name in required if not isinstance(data[name], str | dict)]


def _uri(text: str) -> None:
    found = urlparse(text)
    assert found.scheme and (found.netloc or found.path), text
