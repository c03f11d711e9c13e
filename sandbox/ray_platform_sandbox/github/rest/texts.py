"""The texts that people and Apps write: how long they may be, and changing those of an issue."""

from typing import Any

from ray_platform_sandbox.github.call import Call
from ray_platform_sandbox.github.problems import validation_failed
from ray_platform_sandbox.github.state import Issue

#: Characters of a comment, and of what an issue, a pull request or a review says.
LONGEST = 65_536


def body_of(call: Call, resource: str) -> str | None:
    """The body's ``body``, None where there is none.

    Raises:
        Problem: 422, it is too long.
    """
    body = call.given("body", str)
    if body is not None and len(body) > LONGEST:
        raise validation_failed(
            resource,
            "body",
            "unprocessable",
            f"Body is too long (maximum is {LONGEST} characters)",
        )
    return body


def new_texts(call: Call, issue: Issue, resource: str) -> dict[str, str]:
    """The texts of an issue that a call would change, by name. Nothing is changed yet."""
    given = {"title": call.given("title", str), "body": body_of(call, resource)}
    if given["title"] is not None and not given["title"].strip():
        raise validation_failed(resource, "title", "missing_field")
    return {
        name: text
        for name, text in given.items()
        if text is not None and text != getattr(issue, name)
    }


def change_texts(issue: Issue, texts: dict[str, str]) -> dict[str, Any]:
    """Change them, and say what they were, as the event of it holds that."""
    before = {name: {"from": getattr(issue, name)} for name in texts}
    for name, text in texts.items():
        setattr(issue, name, text)
    return before
