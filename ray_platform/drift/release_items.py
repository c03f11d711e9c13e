"""Drift of a Helm release: what its manifest says against the live objects, as drift items.

Addresses are ``helm/RELEASE/KIND/NAME``; ``helm/RELEASE`` is the release itself, ``helm`` all of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ray_platform.drift.causes import Because
from ray_platform.drift.conditions import Fact
from ray_platform.drift.items import NOT_ASKED, DriftItem
from ray_platform.drift.rules import RuleBook
from ray_platform.kubernetes.field_managers import Writer, writer_of
from ray_platform.kubernetes.manifests import (
    Compared,
    Element,
    FieldDifference,
    differences,
    identity,
)
from ray_platform.text.redaction import redact
from ray_platform.text.tree_differences import plain

RELEASES = "helm"
RELEASE_KIND = "HelmRelease"
#: Who writes for the platform and for KubeRay; what they write is compared all the same.
OUR_MANAGERS = ("ray-platform-helm", "ray-platform", "kuberay-operator")
_NOBODY = "the API names no other writer"


def release_items(release: str, found: Sequence[Compared], book: RuleBook) -> Iterator[DriftItem]:
    """Every difference between a release's manifest and what lives, in no order.

    Args:
        release: Its name.
        found: Its objects.
        book: How severe what is.
    """
    for compared in found:
        kind, name = identity(compared.wanted)
        address = f"{address_of(release)}/{kind}/{name}"
        if compared.live is None:
            gone = Because("by_hand", "it is gone; the API keeps no record of who deleted it")
            yield _item(address, FieldDifference((), None, None), compared, book, gone)
            continue
        pending = _pending(compared)
        for difference in differences(compared.wanted, compared.live):
            because = _because(difference, compared, pending)
            yield _item(address, difference, compared, book, because)


def release_gone(release: str, book: RuleBook) -> DriftItem:
    """A release that was deployed, and that Helm no longer knows."""
    gone = Compared({"kind": RELEASE_KIND, "metadata": {"name": release}}, None, None)
    because = Because("by_hand", "its record is gone: uninstalled, or its secrets were deleted")
    return _item(address_of(release), FieldDifference((), None, None), gone, book, because)


def not_asked(why: str) -> DriftItem:
    """That nobody knows whether any release has drifted."""
    return DriftItem(
        address=RELEASES,
        attribute=NOT_ASKED,
        before=None,
        after=None,
        severity="minor",
        cause="unknown",
        reason="nobody knows whether it is as it was deployed",
        evidence=why,
    )


def address_of(release: str) -> str:
    return f"{RELEASES}/{release}"


def is_of_release(address: str) -> bool:
    """Whether a drift item's address is that of a Helm release or of one of its objects."""
    return address.split("/")[0] == RELEASES


def _item(
    address: str, difference: FieldDifference, compared: Compared, book: RuleBook, because: Because
) -> DriftItem:
    removed = not difference.path
    severity, reason = book.judge(
        Fact(
            type=identity(compared.wanted)[0],
            attribute=difference.text,
            keys=difference.keys,
            before=plain(difference.wanted),
            after=plain(difference.live),
            removed=removed,
            resource_before=compared.wanted,
            resource_after=compared.live or {},
            pools=(),
        )
    )
    return DriftItem(
        address=address,
        attribute=difference.text,
        before="exists" if removed else _shown(difference, difference.wanted),
        after="removed" if removed else _shown(difference, difference.live),
        severity=severity,
        cause=because.cause,
        reason=reason,
        evidence=because.evidence,
        who=because.who,
        when=because.when,
    )


def _shown(difference: FieldDifference, value: Any) -> Any:
    """The value for people, masked by the name of its field or of its variable."""
    names = [str(step) for step in difference.path if not isinstance(step, Element)]
    elements = [step.name for step in difference.path if isinstance(step, Element)]
    holder = {"name": elements[-1] if elements else "", names[-1]: plain(value)}
    return redact(holder)[names[-1]]


def _because(difference: FieldDifference, compared: Compared, pending: frozenset[str]) -> Because:
    if difference.text in pending:
        return Because(
            "unapplied_change",
            "the live value is what chart and values in Git ask for; the release has another",
        )
    writer = writer_of(compared.live or {}, difference, ours=OUR_MANAGERS)
    if writer is None:
        return Because("by_hand", _NOBODY)
    if writer.may_be_scaler:
        return Because("by_hand", _overwritten(writer))
    return Because("by_hand", writer.tell(), writer.name, writer.time)


def _overwritten(writer: Writer) -> str:
    return f"who did it is not known any more: {writer.tell()} to change its replicas"


def _pending(compared: Compared) -> frozenset[str]:
    """Where the live object is already as chart and values ask."""
    if compared.asked is None or compared.live is None:
        return frozenset()
    still = {difference.text for difference in differences(compared.asked, compared.live)}
    moved = {difference.text for difference in differences(compared.wanted, compared.live)}
    return frozenset(moved - still)
