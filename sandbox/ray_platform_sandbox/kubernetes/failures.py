"""What the API answers when it refuses: an HTTP code and Kubernetes' own `Status` object."""

from collections.abc import Mapping
from typing import Any


class ApiFailure(Exception):
    """A request that is refused.

    Args:
        code: The HTTP status.
        reason: Kubernetes' machine-readable reason, as in ``NotFound``.
        message: For people.
        details: What the ``Status`` says of the object, as ``name`` and ``kind``.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})

    def status(self) -> dict[str, Any]:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def bad_request(message: str) -> ApiFailure:
    return ApiFailure(400, "BadRequest", message)


def no_such_path() -> ApiFailure:
    return ApiFailure(404, "NotFound", "the server could not find the requested resource")


def not_found(resource: str, name: str) -> ApiFailure:
    """``resource`` as Kubernetes spells it: ``rayclusters.ray.io``, ``pods``."""
    return ApiFailure(404, "NotFound", f'{resource} "{name}" not found', {"name": name})


def already_exists(resource: str, name: str) -> ApiFailure:
    return ApiFailure(409, "AlreadyExists", f'{resource} "{name}" already exists', {"name": name})


def modified_meanwhile(resource: str, name: str) -> ApiFailure:
    return ApiFailure(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        {"name": name},
    )


def invalid(kind: str, name: str, problem: str) -> ApiFailure:
    return ApiFailure(
        422, "Invalid", f'{kind} "{name}" is invalid: {problem}', {"name": name, "kind": kind}
    )


def unsupported(media_type: str) -> ApiFailure:
    return ApiFailure(415, "UnsupportedMediaType", f"{media_type!r} is not emulated here")


def expired(oldest: int) -> ApiFailure:
    return ApiFailure(
        410, "Expired", f"too old resource version: the oldest that is still known is {oldest}"
    )
