"""The Ray chart of an environment: its values, the manifests that they make, and what policy says of them."""

from collections.abc import Mapping
from typing import Any

from ray_platform.kubernetes.helm_chart_process import RenderedChart, render_chart
from ray_platform.policy.verdict import Verdict, both
from ray_platform.ray.cluster_access import RELEASE
from ray_platform.ray.spec import Redis, helm_values, ray_namespace
from ray_platform.session.environment_session import EnvironmentSession
from ray_platform.text.errors import PolicyDenied, SettingsError

#: The Ray that every environment runs; the local nodes run the same one (pyproject.toml pins it).
RAY_VERSION = "2.60.0"


def recorded_outputs(session: EnvironmentSession) -> Mapping[str, Any]:
    """Terraform's outputs of the latest apply, without secrets; empty where nothing was applied."""
    return session.artifacts.read(f"environments/{session.name}/outputs.json") or {}


def render(
    session: EnvironmentSession, outputs: Mapping[str, Any] | None = None
) -> tuple[Mapping[str, Any], RenderedChart]:
    """The chart's values for an environment, and the manifests that they make.

    Args:
        session: The environment.
        outputs: What Terraform made (the pods' role, Redis); None: `recorded_outputs`.

    Raises:
        SettingsError: a value that the chart's schema refuses, or an invalid namespace.
    """
    environment = session.environment
    made = recorded_outputs(session) if outputs is None else outputs
    values = helm_values(
        session.name,
        environment.node_pools,
        ray_version=RAY_VERSION,
        idle_timeout_seconds=environment.ray.idle_timeout_seconds,
        head_volume_gib=environment.ray.head_volume_gib,
        role_arn=str((made.get("role_arns") or {}).get("ray") or ""),
        redis=_redis(session, made),
        api_port=environment.kubernetes.api_port,
    )
    namespace = ray_namespace(environment.variables, where=str(environment.variables_file))
    return values, render_chart(
        session.settings.ray_chart, values, release=RELEASE, namespace=namespace
    )


def _redis(session: EnvironmentSession, outputs: Mapping[str, Any]) -> Redis | None:
    """Terraform's Redis, once its user stands in a secret; before that a head could not even start."""
    environment = session.environment
    secret, made = environment.ray.redis_secret, outputs.get("redis")
    if not secret or not outputs:
        return None
    if not made:
        raise SettingsError(
            f"ray.redis_secret is {secret!r}, but there is no Redis in {session.name}",
            where=str(environment.variables_file),
            fix="set platform.redis = true there and apply, or leave ray.redis_secret empty",
        )
    return Redis(
        host=str(made["host"]),
        port=int(made["port"]),
        cidr=str(environment.variables.get("vpc_cidr", "10.0.0.0/16")),
        secret=secret,
    )


def judge(session: EnvironmentSession, rendered: RenderedChart) -> Verdict:
    """What today's policies say of the rendered manifests: the rules of Ray, and those of any pod."""
    return both(
        session.policies.check_ray(
            rendered.documents, session.environment.node_pools, environment=session.name
        ),
        session.policies.check_manifests(rendered.documents, session.name),
    )


def require_allowed(session: EnvironmentSession, rendered: RenderedChart) -> None:
    """Let manifests pass that today's policies allow.

    Raises:
        PolicyDenied: a rule of policies/ray.rego or policies/kubernetes.rego denies them.
    """
    if (verdict := judge(session, rendered)).denied:
        raise PolicyDenied(
            "policy denies the Ray cluster: "
            + "; ".join(f"[{v.id}] {v.resource}: {v.message}" for v in verdict.violations),
            where=f"helm/ray for {session.name}",
            fix="; ".join(sorted({v.fix for v in verdict.violations})),
        )
