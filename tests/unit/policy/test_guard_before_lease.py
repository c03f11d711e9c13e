"""A pull request's configuration is looked at before its environment is held."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import dagster as dg
import pytest

from ray_platform.defs import terraform_plan
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import PolicyDenied


class _Context:
    run_id = "r"
    log = None


def test_nobody_waits_for_an_environment_whose_configuration_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened: list[str] = []

    def look(_session: EnvironmentSession) -> None:
        happened.append("looked")
        if refused:
            raise PolicyDenied("no")

    @contextmanager
    def hold(*_arguments: Any, **_named: Any) -> Iterator[None]:
        happened.append("held")
        yield

    class Log:
        info = print

    monkeypatch.setattr(_Context, "log", Log)
    monkeypatch.setattr(terraform_plan, "require_no_foreign_code", look)
    monkeypatch.setattr(terraform_plan, "change_lock", hold)
    context = cast(dg.AssetExecutionContext, _Context())
    refused = True
    with (
        pytest.raises(PolicyDenied),
        terraform_plan._looked_at_then_locked(cast(EnvironmentSession, None), context),
    ):
        pass
    assert happened == ["looked"]
    refused = False
    with terraform_plan._looked_at_then_locked(cast(EnvironmentSession, None), context):
        pass
    assert happened == ["looked", "looked", "held"]
