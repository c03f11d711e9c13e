"""Pod Security levels (https://kubernetes.io/docs/concepts/security/pod-security-standards/): what a level
refuses in a pod, in the words of the API server's own admission."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)
_PROFILES = ("RuntimeDefault", "Localhost")


def violations(spec: Mapping[str, Any], level: str) -> tuple[str, ...]:
    """What a level refuses in a pod's spec; empty: it lets it through.

    Args:
        spec: The pod's.
        level: ``privileged``, ``baseline`` or ``restricted``; anything else counts as restricted, as there.
    """
    if level == PRIVILEGED:
        return ()
    found = list(_baseline(spec))
    if level != BASELINE:
        found += _restricted(spec)
    return tuple(found)


def _baseline(spec: Mapping[str, Any]) -> Iterator[str]:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"
    if names := _where(spec, lambda c: _security(c).get("privileged") is True):
        yield f"privileged ({_of(names)} must not set securityContext.privileged=true)"
    added = {
        capability
        for container in _containers(spec)
        for capability in (_security(container).get("capabilities") or {}).get("add") or []
    }
    if extra := sorted(added - _CAPABILITIES):
        names = _where(spec, lambda c: _adds(c) - _CAPABILITIES)
        yield (
            f"non-default capabilities ({_of(names)} must not include {_quoted(extra)} in "
            "securityContext.capabilities.add)"
        )
    paths = [v["name"] for v in spec.get("volumes") or [] if "hostPath" in v]
    if paths:
        yield f"hostPath volumes (volume{_s(paths)} {_quoted(paths)})"
    ports = sorted(
        {
            str(port["hostPort"])
            for container in _containers(spec)
            for port in container.get("ports") or []
            if port.get("hostPort")
        }
    )
    if ports:
        names = _where(spec, lambda c: any(p.get("hostPort") for p in c.get("ports") or []))
        yield f"hostPort ({_of(names)} uses hostPort{_s(ports)} {', '.join(ports)})"
    profile = ((spec.get("securityContext") or {}).get("seccompProfile") or {}).get("type")
    if profile == "Unconfined" or _where(
        spec, lambda c: (_security(c).get("seccompProfile") or {}).get("type") == "Unconfined"
    ):
        yield 'seccompProfile (must not set seccompProfile.type to "Unconfined")'


def _restricted(spec: Mapping[str, Any]) -> Iterator[str]:
    of_pod = spec.get("securityContext") or {}
    kinds = sorted(
        {
            kind
            for volume in spec.get("volumes") or []
            for kind in volume
            if kind != "name" and kind not in _VOLUMES
        }
    )
    if kinds:
        held = [v["name"] for v in spec.get("volumes") or [] if set(v) & set(kinds)]
        yield (
            f"restricted volume types (volume{_s(held)} {_quoted(held)} uses restricted volume type "
            f"{_quoted(kinds)})"
        )
    if names := _where(spec, lambda c: _security(c).get("allowPrivilegeEscalation") is not False):
        yield (
            f"allowPrivilegeEscalation != false ({_of(names)} must set "
            "securityContext.allowPrivilegeEscalation=false)"
        )
    dropping = _where(spec, lambda c: "ALL" not in _drops(c))
    adding = _where(spec, lambda c: _adds(c) - {"NET_BIND_SERVICE"})
    if dropping or adding:
        said = []
        if dropping:
            said.append(f'{_of(dropping)} must set securityContext.capabilities.drop=["ALL"]')
        if adding:
            extra = sorted({a for c in _containers(spec) for a in _adds(c)} - {"NET_BIND_SERVICE"})
            said.append(
                f"{_of(adding)} must not include {_quoted(extra)} in securityContext.capabilities.add"
            )
        yield f"unrestricted capabilities ({'; '.join(said)})"
    whole = of_pod.get("runAsNonRoot")
    if whole is True:
        loose = _where(spec, lambda c: _security(c).get("runAsNonRoot") is False)
    else:
        loose = _where(spec, lambda c: _security(c).get("runAsNonRoot") is not True)
    if loose or whole is False:
        yield f"runAsNonRoot != true (pod or {_of(loose)} must set securityContext.runAsNonRoot=true)"
    as_root = _where(spec, lambda c: _security(c).get("runAsUser") == 0)
    if of_pod.get("runAsUser") == 0:
        yield "runAsUser=0 (pod must not set runAsUser=0)"
    elif as_root:
        yield f"runAsUser=0 ({_of(as_root)} must not set runAsUser=0)"
    profile = (of_pod.get("seccompProfile") or {}).get("type")
    if profile not in _PROFILES:
        bare = _where(
            spec, lambda c: (_security(c).get("seccompProfile") or {}).get("type") not in _PROFILES
        )
        if bare:
            yield (
                f"seccompProfile (pod or {_of(bare)} must set securityContext.seccompProfile.type to "
                '"RuntimeDefault" or "Localhost")'
            )


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or []


def _security(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def _adds(container: Mapping[str, Any]) -> set[str]:
    return set((_security(container).get("capabilities") or {}).get("add") or [])


def _drops(container: Mapping[str, Any]) -> set[str]:
    return set((_security(container).get("capabilities") or {}).get("drop") or [])


def _where(spec: Mapping[str, Any], holds: Any) -> list[str]:
    return [container["name"] for container in _containers(spec) if holds(container)]


def _of(names: Sequence[str]) -> str:
    return f"container{_s(names)} {_quoted(names)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _s(names: Sequence[str]) -> str:
    return "s" if len(names) > 1 else ""
