"""The price book and the usage ledger of a session's environment."""

from ray_platform.cost.ledger.usage_store import UsageLedger
from ray_platform.cost.price_book import PriceBook, load_price_book
from ray_platform.session.environment_session import EnvironmentSession


def prices_of(session: EnvironmentSession) -> PriceBook:
    """The prices of the environment's region."""
    return session.part(make_prices)


def usage_of(session: EnvironmentSession) -> UsageLedger:
    """The usage ledger, of all environments that share the artifact store."""
    return session.part(make_usage)


def make_prices(session: EnvironmentSession) -> PriceBook:
    return load_price_book(session.environment.region)


def make_usage(session: EnvironmentSession) -> UsageLedger:
    return UsageLedger(session.artifacts.store, session.home / "usage")
