"""The bodies that Go's typed clients send as protobuf: Helm's release records, `kubectl create secret`.

Kubernetes wraps an object in an envelope that names its kind
(https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding). Only the kinds
below are read; the numbers are those of k8s.io/api's generated.proto. Answers are JSON, which every
such client takes.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from ray_platform_sandbox.kubernetes.failures import bad_request, unsupported

MAGIC = b"k8s\0"

#: Message -> number of a field -> its name and type; ``map`` and ``list`` are of the type that follows.
_MESSAGES: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "Unknown": {1: ("type", "TypeMeta"), 2: ("raw", "bytes")},
    "TypeMeta": {1: ("apiVersion", "text"), 2: ("kind", "text")},
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        5: ("uid", "text"),
        6: ("resourceVersion", "text"),
        11: ("labels", "map text"),
        12: ("annotations", "map text"),
        13: ("ownerReferences", "list OwnerReference"),
        14: ("finalizers", "list text"),
    },
    "OwnerReference": {
        1: ("kind", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("controller", "flag"),
        7: ("blockOwnerDeletion", "flag"),
    },
    "Namespace": {1: ("metadata", "ObjectMeta")},
    "ServiceAccount": {1: ("metadata", "ObjectMeta")},
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map base64"),
        3: ("type", "text"),
        4: ("stringData", "map text"),
        5: ("immutable", "flag"),
    },
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map text"),
        3: ("binaryData", "map base64"),
        4: ("immutable", "flag"),
    },
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "number"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "flag"),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", "list text"),
    },
    "Preconditions": {1: ("uid", "text"), 2: ("resourceVersion", "text")},
}
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def decode(body: bytes) -> dict[str, Any]:
    """The object in an envelope.

    Raises:
        ApiFailure: it is malformed (400), or of a kind that is not read here (415).
    """
    envelope = _message("Unknown", body.removeprefix(MAGIC))
    kind = envelope.get("type", {}).get("kind", "")
    if kind.endswith("Review"):
        # Whatever is asked, the answer is the same: there is no authorization here.
        return dict(envelope["type"])
    if kind not in _MESSAGES:
        raise unsupported(f"protobuf of kind {kind}")
    return {**envelope["type"], **_message(kind, envelope.get("raw", b""))}


def _message(name: str, body: bytes) -> dict[str, Any]:
    fields = _MESSAGES[name]
    content: dict[str, Any] = {}
    for number, value in _fields(body):
        if number not in fields:
            continue
        field, spelled = fields[number]
        container, _, of = spelled.rpartition(" ")
        if container == "map":
            entry = dict(_fields(value))
            key = entry.get(1, b"").decode()
            content.setdefault(field, {})[key] = _value(of, entry.get(2, b""))
        elif container == "list":
            content.setdefault(field, []).append(_value(of, value))
        elif value != b"" or of in _MESSAGES:
            content[field] = _value(of, value)
    return content


def _value(of: str, value: Any) -> Any:
    if of in _MESSAGES:
        return _message(of, value)
    if of == "text":
        return value.decode()
    if of == "base64":
        return base64.b64encode(value).decode()
    return bool(value) if of == "flag" else value


def _fields(body: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(body):
        tag, place = _varint(body, place)
        number, wire = tag >> 3, tag & 7
        value: Any
        if wire == _VARINT:
            value, place = _varint(body, place)
        elif wire in (_BYTES, _FIXED_32, _FIXED_64):
            length = {_FIXED_32: 4, _FIXED_64: 8}.get(wire, 0)
            if wire == _BYTES:
                length, place = _varint(body, place)
            if place + length > len(body):
                raise bad_request("the protobuf body is cut short")
            value, place = body[place : place + length], place + length
        else:
            raise bad_request(f"the protobuf body has a field of wire type {wire}")
        yield number, value


def _varint(body: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(body):
        byte = body[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
    raise bad_request("the protobuf body is cut short")
