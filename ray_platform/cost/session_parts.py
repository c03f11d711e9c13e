"""The price book and the usage ledger of a session's environment."""

from ray_platform.cost.estimate import Estimate, estimate
from ray_platform.cost.ledger.usage_store import UsageLedger
from ray_platform.cost.price_book import PriceBook, price_book_or_empty
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.terraform.plan import Plan


def prices_of(session: EnvironmentSession) -> PriceBook:
    """The prices of the environment's region."""
    return session.part(make_prices)


def plan_costs(session: EnvironmentSession, plan: Plan) -> Estimate:
    """What a plan costs a month by the present prices, with the use that the environment's file assumes."""
    return estimate(plan, prices_of(session), use=session.environment.cost.use)


def usage_of(session: EnvironmentSession) -> UsageLedger:
    """The usage ledger, of all environments that share the artifact store."""
    return session.part(make_usage)


def make_prices(session: EnvironmentSession) -> PriceBook:
    return price_book_or_empty(session.environment.region)


def make_usage(session: EnvironmentSession) -> UsageLedger:
    return UsageLedger(session.artifacts.store, session.home / "usage")
