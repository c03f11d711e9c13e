"""What the digests of policies, prices and chart in an infra version stand for, kept so that it can be shown.

::

    policies/DIGEST.json    the rules by file, and their numbers
    prices/VERSION.json     US dollars an hour (or a unit) by instance type and service
    charts/DIGEST.json      the chart's files

They are stored under the digests that the manifest already names, once, and never change; should a secret
stand in one of them, it is masked.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any

from ray_platform.cost.price_book import PriceBook
from ray_platform.cost.session_parts import prices_of
from ray_platform.kubernetes.helm_chart_process import chart_digest
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.redaction import redact


def keep_sources(session: EnvironmentSession) -> None:
    """Store today's policies, prices and chart of an environment where they are not stored yet."""
    engine, prices, chart = session.policies, prices_of(session), session.settings.ray_chart
    wanted: dict[str, Callable[[], Mapping[str, Any]]] = {
        f"policies/{engine.bundle_digest}.json": lambda: engine.bundle,
        f"prices/{prices.version}.json": lambda: price_list(prices),
        f"charts/{chart_digest(chart)}.json": lambda: {
            path.relative_to(chart).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(chart.rglob("*"))
            if path.is_file()
        },
    }
    for key, content in wanted.items():
        if session.artifacts.store.get(key) is None:
            session.artifacts.write(key, redact(content()))


def price_list(book: PriceBook) -> dict[str, Any]:
    """A price book's numbers, as strings in US dollars."""
    return {
        "date": book.date.isoformat(),
        **{
            field.name: str(value)
            for field in fields(book)
            if isinstance(value := getattr(book, field.name), Decimal)
        },
        "instances": {name: str(price.usd) for name, price in book.instances.items()},
        "services": {name: str(price.usd) for name, price in book.services.items()},
        "skus": {name: str(price.usd) for name, price in book.skus.items()},
    }
