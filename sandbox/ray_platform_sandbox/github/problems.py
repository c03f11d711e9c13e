"""What the REST interface refuses, in GitHub's own words and statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

DOCUMENTATION = "https://docs.github.com/rest"


class Problem(Exception):
    """An answer that is an error: its status, message, and the errors of single fields."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Any] = (),
        headers: Mapping[str, str] | None = None,
        with_status: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})
        self.with_status = with_status

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "documentation_url": DOCUMENTATION}
        if self.errors:
            body["errors"] = list(self.errors)
        return {**body, "status": str(self.status)} if self.with_status else body


def not_found() -> Problem:
    return Problem(404, "Not Found")


def unauthorized(message: str = "Bad credentials") -> Problem:
    return Problem(401, message)


def not_accessible(needs: Sequence[str]) -> Problem:
    """An App asks for more than it was given; ``needs`` are the permissions, any of which would do."""
    accepted = "; ".join(need.replace(":", "=") for need in needs)
    return Problem(
        403,
        "Resource not accessible by integration",
        headers={"X-Accepted-GitHub-Permissions": accepted},
    )


def forbidden(message: str) -> Problem:
    return Problem(403, message)


def invalid_request(detail: str) -> Problem:
    """A body that is not of the described form."""
    return Problem(422, f"Invalid request.\n\n{detail}")


def validation_failed(
    resource: str, field: str, code: str, message: str = "", value: Any = None
) -> Problem:
    """A body of the right form that cannot be accepted."""
    error: dict[str, Any] = {"resource": resource, "field": field, "code": code}
    if message:
        error["message"] = message
    if value is not None:
        error["value"] = value
    return Problem(422, "Validation Failed", errors=[error])


def unprocessable(message: str) -> Problem:
    """The errors of a refused review are bare texts."""
    return Problem(422, "Unprocessable Entity", errors=[message])
