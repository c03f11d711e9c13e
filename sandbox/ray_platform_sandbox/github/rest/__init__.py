"""The REST calls, one file a subject; `routes` lists them in the order in which paths are matched."""

from ray_platform_sandbox.github.call import Route
from ray_platform_sandbox.github.rest import (
    apps,
    checks,
    comments,
    deployments,
    git_database,
    hooks,
    issues,
    labels,
    people,
    pulls,
    repositories,
    reviews,
)


def routes() -> tuple[Route, ...]:
    """Longer paths before ``commits/{ref}``, whose name may hold slashes."""
    return (
        *apps.ROUTES,
        *hooks.ROUTES,
        *people.ROUTES,
        *pulls.ROUTES,
        *reviews.ROUTES,
        *labels.ROUTES,
        *comments.ROUTES,
        *issues.ROUTES,
        *checks.ROUTES,
        *deployments.ROUTES,
        *git_database.ROUTES,
        *repositories.ROUTES,
    )
