"""Check runs and deployments of a commit on GitHub: made once, then kept up to date."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ray_platform.github.calls_client import PER_PAGE
from ray_platform.github.model import CheckReport, DeploymentState
from ray_platform.github.repository_client import RepositoryCalls
from ray_platform.text.redaction import redact_text

_DESCRIPTION_CHARS = 140


class Statuses(RepositoryCalls):
    """The part of `GitHubRepository` about check runs and deployments."""

    def write_check(self, report: CheckReport, known: int | None) -> int:
        """The check run of our App with the report's name on its commit; its id.

        Known: one call. Not known: two. One that GitHub leaves completed although it is to be in
        progress again is followed by a new one of the same name, which stands in for it: one more.

        Args:
            report: What it is to be.
            known: A check run of the same commit.
        """
        doing = f"write the check {report.name!r}"
        body = _check_body(report)
        if known is None:
            known = self._find_check(report, doing)
        if known is not None:
            number = known
            found = self._unless_gone(
                lambda: self._app.write(
                    doing,
                    self._where,
                    lambda rest: rest.checks.update(self._owner, self._name, number, data=body),
                    repeatable=True,
                )
            )
            if found and found.get("status") == body["status"]:
                return self._parse(lambda: int(found["id"]), doing)
        made = self._app.write(
            doing,
            self._where,
            lambda rest: rest.checks.create(
                self._owner, self._name, data={**body, "head_sha": report.head}
            ),
        )
        return self._parse(lambda: int(made["id"]), doing)

    def _find_check(self, report: CheckReport, doing: str) -> int | None:
        app_id = self._app.installation.app_id
        found = self._app.pages(
            doing,
            self._where,
            lambda rest, page: rest.checks.list_for_ref(
                self._owner,
                self._name,
                quote(report.head, safe=""),
                check_name=report.name,
                filter_="latest",
                app_id=app_id,
                per_page=PER_PAGE,
                page=page,
            ),
        )
        return self._parse(
            lambda: next(
                (
                    int(one["id"])
                    for one in sorted(found, key=lambda one: -int(one["id"]))
                    if one["name"] == report.name and (one.get("app") or {}).get("id") == app_id
                ),
                None,
            ),
            doing,
        )

    def deployment(
        self,
        commit: str,
        environment: str,
        state: DeploymentState,
        *,
        key: str,
        log_url: str,
        said: str,
    ) -> str:
        """Tell the state of the deployment with a key; the address of its environment's deployments.

        New: three calls (look, make, tell). There already: three (look, its last state, tell), two where
        that state is told already. What was said is cut to GitHub's 140 characters.
        """
        doing = f"tell the deployment to {environment}"
        found = self._find_deployment(commit, environment, key, doing)
        told: Mapping[str, Any] = {
            "state": state,
            "log_url": log_url,
            "description": _cut(said),
            "environment": environment,
        }
        if found is None:
            made = self._app.write(
                doing,
                self._where,
                lambda rest: rest.repos.create_deployment(
                    self._owner,
                    self._name,
                    ref=commit,
                    environment=environment,
                    # The platform's own gates let it through; GitHub's checks would be in its way.
                    required_contexts=[],
                    auto_merge=False,
                    production_environment=environment == "prod",
                    description=_cut(said),
                    payload={"key": key},
                ),
            )
            found = self._parse(lambda: int(made["id"]), doing)
        elif self._is_told(found, told, doing):
            return self._deployments_url(environment)
        number = found
        self._app.write(
            doing,
            self._where,
            lambda rest: rest.repos.create_deployment_status(
                self._owner,
                self._name,
                number,
                state=state,
                log_url=log_url,
                description=_cut(said),
                environment=environment,
            ),
        )
        return self._deployments_url(environment)

    def _find_deployment(self, commit: str, environment: str, key: str, doing: str) -> int | None:
        found = self._app.pages(
            doing,
            self._where,
            lambda rest, page: rest.repos.list_deployments(
                self._owner,
                self._name,
                sha=commit,
                environment=environment,
                per_page=PER_PAGE,
                page=page,
            ),
        )
        return self._parse(
            lambda: next((int(one["id"]) for one in found if _payload_key(one) == key), None), doing
        )

    def _is_told(self, deployment: int, told: Mapping[str, Any], doing: str) -> bool:
        latest = self._app.read(
            doing,
            self._where,
            lambda rest: rest.repos.list_deployment_statuses(
                self._owner, self._name, deployment, per_page=1
            ),
        )
        return bool(latest) and all(latest[0].get(name) == value for name, value in told.items())

    def _deployments_url(self, environment: str) -> str:
        return f"{self._web()}/{self._owner}/{self._name}/deployments/{quote(environment, safe='')}"


def _check_body(report: CheckReport) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": report.name,
        "status": "in_progress" if report.conclusion is None else "completed",
        "output": {"title": redact_text(report.title), "summary": redact_text(report.summary)},
    }
    if report.conclusion is not None:
        body["conclusion"] = report.conclusion
    if report.details_url:
        body["details_url"] = report.details_url
    return body


def _payload_key(deployment: Mapping[str, Any]) -> str:
    payload = deployment.get("payload")
    if isinstance(payload, str):  # as GitHub gives it back where it was sent as a text
        try:
            payload = json.loads(payload)
        except ValueError:
            return ""
    return str(payload.get("key", "")) if isinstance(payload, dict) else ""


def _cut(text: str) -> str:
    text = redact_text(text)  # first: what is cut in two is not known any more
    if len(text) <= _DESCRIPTION_CHARS:
        return text
    return text[: _DESCRIPTION_CHARS - 1] + "…"
