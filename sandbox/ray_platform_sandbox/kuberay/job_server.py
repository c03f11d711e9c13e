"""Ray's job server over plain HTTP: three calls, without Ray's own client.

That client takes its token from variables of the whole process, and the stand-in talks to several clusters.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_platform.text.errors import RayError

REQUEST_SECONDS = 10.0


class JobServer:
    """The job server of one cluster on this machine.

    Args:
        address: As in ``http://127.0.0.1:8265``.
        token_path: The file of the cluster's token.
    """

    def __init__(self, address: str, token_path: Path) -> None:
        self.address = address
        self._token_path = token_path

    def find(self, job_id: str) -> dict[str, Any] | None:
        """What it says of a job; None: it knows no such job.

        Raises:
            RayError: it does not answer, or refuses.
        """
        path = f"/api/jobs/{urllib.parse.quote(job_id)}"
        found: dict[str, Any] | None = self._ask("GET", path, missing_is_none=True)
        return found

    def submit(self, request: Mapping[str, Any]) -> None:
        """Start a job.

        Raises:
            RayError: it does not answer, or refuses, as it does for an id that it knows.
        """
        self._ask("POST", "/api/jobs/", request)

    def stop(self, job_id: str) -> None:
        """Ask a job to end; one that it does not know is over.

        Raises:
            RayError: it does not answer, or refuses.
        """
        path = f"/api/jobs/{urllib.parse.quote(job_id)}/stop"
        self._ask("POST", path, {}, missing_is_none=True)

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        missing_is_none: bool = False,
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data, method=method)  # noqa: S310
        try:
            token = self._token_path.read_text(encoding="utf-8").strip()
            request.add_header("Authorization", f"Bearer {token}")
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404 and missing_is_none:
                return None
            said = error.read().decode(errors="replace").strip().splitlines()
            why = said[-1][:300] if said else error.reason
            raise self._failed(f"it answers {error.code}: {why}") from error
        except (OSError, ValueError) as error:
            raise self._failed(f"it does not answer: {error}") from error

    def _failed(self, why: str) -> RayError:
        return RayError(
            f"Ray's job server: {why}",
            where=self.address,
            fix="`kubectl describe` the RayJob and its RayCluster",
        )
