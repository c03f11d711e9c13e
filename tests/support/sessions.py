"""Sessions of tests: a real one, with some of its frozen parts replaced."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray_platform.config.node_pools import NodePool
from ray_platform.config.settings import Environment
from ray_platform.ray.clusters import RayOnKubernetes, make_clusters
from ray_platform.session.environment_session import EnvironmentSession

Makers = Mapping[Callable[..., Any], Any]


def changed(
    session: EnvironmentSession,
    *,
    environment: Environment | None = None,
    parts: Makers | None = None,
    **caller: Any,
) -> EnvironmentSession:
    """A session like ``session``, with another environment, other adapters or another caller."""
    return EnvironmentSession(
        session.name,
        environment or session.environment,
        session.source,
        session.rules,
        replace(session.caller, **caller),
        session.adapters,
        parts,
    )


def environment_with(
    environment: Environment, *, node_pools: Sequence[NodePool] | None = None, **settings: Any
) -> Environment:
    """An environment like ``environment``, with other node pools or settings."""
    made = copy.copy(environment)
    if node_pools is not None:
        made.node_pools = tuple(node_pools)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def on_cluster(
    session: EnvironmentSession, cluster: RayOnKubernetes, parts: Makers | None = None
) -> EnvironmentSession:
    """The session with ``cluster`` for its Ray clusters."""
    return changed(session, parts={make_clusters: cluster, **(parts or {})})
