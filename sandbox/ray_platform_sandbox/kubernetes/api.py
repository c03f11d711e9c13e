"""The verbs of the API on its objects: get, list, create, update, patch, delete."""

import copy
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ray_platform_sandbox.kubernetes.failures import (
    ApiFailure,
    already_exists,
    bad_request,
    invalid,
    modified_meanwhile,
    not_found,
    unsupported,
)
from ray_platform_sandbox.kubernetes.fields.merging import (
    json_patch,
    merge_patch,
    strategic_merge_patch,
)
from ray_platform_sandbox.kubernetes.fields.ownership import (
    APPLY,
    UPDATE,
    Manager,
    Write,
    apply_configuration,
    record_update,
)
from ray_platform_sandbox.kubernetes.journal import Journal, Key
from ray_platform_sandbox.kubernetes.paths import Target
from ray_platform_sandbox.kubernetes.schema.builtin_rules import fill_in
from ray_platform_sandbox.kubernetes.schema.kinds import CRD_GROUP, CRD_PLURAL, Kind, Kinds
from ray_platform_sandbox.kubernetes.schema.schemas import complete, problems
from ray_platform_sandbox.kubernetes.schema.shapes import Shape
from ray_platform_sandbox.kubernetes.selectors import fields_match, labels_match
from ray_platform_sandbox.kubernetes.store import DELETED, Event, Store, now

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:_]*[a-z0-9])?")
_FIRST_NAMESPACES = ("default", "kube-system")
_CRDS = (CRD_GROUP, CRD_PLURAL)
Content = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One request on a collection or an object, its body read."""

    target: Target
    kind: Kind
    query: Mapping[str, str]
    body: Any = None
    media_type: str = "application/json"
    client: str = "unknown"

    @property
    def key(self) -> Key:
        return (self.kind.stored_group, self.kind.plural, self.target.namespace, self.target.name)

    @property
    def is_dry(self) -> bool:
        return "dryRun" in self.query

    def manager(self, operation: str) -> Manager:
        name = self.query.get("fieldManager") or self.client.partition("/")[0] or "unknown"
        return Manager(name, operation, self.kind.api_version, self.target.subresource)


class Api:
    """The objects of one cluster, by its verbs.

    Args:
        journal: Where they are kept.
        changed: Called after each change.
    """

    def __init__(self, journal: Journal, changed: Callable[[Event], None]) -> None:
        self.kinds = Kinds()
        self._heard = changed
        self.store = Store(journal, self._changed)
        for crd in self.store.of(*_CRDS):
            self.kinds.register(crd)
        for name in _FIRST_NAMESPACES:
            if self.store.get(("", "namespaces", "", name)) is None:
                content = {"metadata": {"name": name}, "status": {"phase": "Active"}}
                self.store.put(("", "namespaces", "", name), content)

    def _changed(self, event: Event) -> None:
        if event.key[:2] == _CRDS:
            if event.type == DELETED:
                self.kinds.forget(event.content)
                spec = event.content["spec"]
                group, plural = spec["group"], spec["names"]["plural"]
                for content in list(self.store.of(group, plural)):
                    self.store.delete(_key(group, plural, content))
            else:
                self.kinds.register(event.content)
        self._heard(event)

    def get(self, request: Request) -> Content:
        """One object.

        Raises:
            ApiFailure: there is none.
        """
        content = self.store.get(request.key)
        if content is None:
            raise not_found(request.kind.resource, request.target.name)
        return content

    def list(self, request: Request) -> Iterator[Content]:
        """The objects that the query selects."""
        selects = self.selection(request)
        of = self.store.of(request.kind.stored_group, request.kind.plural, request.target.namespace)
        return filter(selects, of)

    def selection(self, request: Request) -> Callable[[Content], bool]:
        """Whether an object is among those that the query selects."""
        labels = request.query.get("labelSelector", "")
        fields = request.query.get("fieldSelector", "")
        named = request.target.name

        def selects(content: Content) -> bool:
            metadata = content["metadata"]
            return (
                (not named or metadata["name"] == named)
                and labels_match(labels, metadata.get("labels") or {})
                and fields_match(fields, content)
            )

        return selects

    def create(self, request: Request) -> Content:
        """A new object; a review is answered with yes, since there is no authorization here.

        Raises:
            ApiFailure: it exists, its namespace does not, or it is invalid.
        """
        body, kind = _object(request.body), request.kind
        if kind.is_review:
            status = {"allowed": True, "authenticated": True, "user": {"username": "local"}}
            return {**body, "status": status}
        if body.get("kind", kind.kind) != kind.kind:
            raise bad_request(f"kind {body['kind']!r} does not match {kind.kind!r}")
        metadata = body.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + secrets.token_hex(3)[:5]
        name = str(metadata.get("name") or "")
        key = (kind.stored_group, kind.plural, request.target.namespace, name)
        if self.store.get(key) is not None:
            raise already_exists(kind.resource, name)
        metadata.pop("resourceVersion", None)
        return self._write(request, key, body, None)

    def update(self, request: Request) -> Content:
        """An object in place of the one that stands.

        Raises:
            ApiFailure: there is none, it has been modified meanwhile, or it is invalid.
        """
        old = self.get(request)
        body = _object(request.body)
        if (body.get("metadata") or {}).get("name", request.target.name) != request.target.name:
            raise bad_request("the name of the object does not match the name on the URL")
        return self._write(request, request.key, body, old)

    def patch(self, request: Request) -> Content:
        """What a patch makes of an object; a server-side apply creates it where there is none.

        Raises:
            ApiFailure: there is nothing to patch, the patch does not fit, another manager owns a
                field (server-side apply), or the outcome is invalid.
        """
        if request.media_type == APPLY_PATCH:
            return self._apply(request)
        old = self.get(request)
        content = copy.deepcopy(dict(old))
        if request.media_type == JSON_PATCH:
            patched = json_patch(content, request.body)
        elif request.media_type == MERGE_PATCH:
            patched = merge_patch(content, request.body)
        elif request.media_type == STRATEGIC_PATCH and request.kind.schema is None:
            patched = strategic_merge_patch(content, request.body)
        else:
            raise unsupported(f"{request.media_type} for {request.kind.kind}")
        return self._write(request, request.key, patched, old)

    def _apply(self, request: Request) -> Content:
        if not request.query.get("fieldManager"):
            raise bad_request("fieldManager is required for apply patch")
        body = _object(request.body)
        if (body.get("metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        old = self.store.get(request.key)
        configuration = copy.deepcopy(body)
        if not request.target.subresource and "status" in request.kind.subresources:
            configuration.pop("status", None)
        if request.kind.schema is not None:
            _, unknown = complete(configuration, request.kind.schema)
            if unknown:
                raise ApiFailure(
                    500, "InternalError", f"{unknown[0]}: field not declared in schema"
                )
        sent = (configuration.get("metadata") or {}).pop("resourceVersion", None)
        write = Write(request.manager(APPLY), now(), Shape(request.kind.schema))
        merged = apply_configuration(
            old or {}, configuration, write, force=_is_true(request.query.get("force"))
        )
        if sent:
            merged["metadata"]["resourceVersion"] = sent
        return self._write(request, request.key, merged, old, applied=True)

    def delete(self, request: Request) -> Content:
        """Delete an object with what it owns (or, by ``Orphan``, without); answers what it was.

        Raises:
            ApiFailure: there is none, or it is not the one that the preconditions name.
        """
        old = self.get(request)
        options = request.body if isinstance(request.body, Mapping) else {}
        for field, wanted in (options.get("preconditions") or {}).items():
            if wanted and old["metadata"].get(field) != wanted:
                raise modified_meanwhile(request.kind.resource, request.target.name)
        policy = options.get("propagationPolicy") or request.query.get("propagationPolicy")
        if request.is_dry or options.get("dryRun"):
            return old
        return self.store.delete(request.key, orphan=policy == "Orphan")

    def delete_collection(self, request: Request) -> None:
        """Delete what the query selects."""
        for content in list(self.list(request)):
            key = _key(request.kind.stored_group, request.kind.plural, content)
            if self.store.get(key) is not None and not request.is_dry:
                self.store.delete(key)

    def _write(
        self,
        request: Request,
        key: Key,
        content: dict[str, Any],
        old: Content | None,
        *,
        applied: bool = False,
    ) -> Content:
        kind, namespace, name = request.kind, key[2], key[3]
        if kind.group != kind.stored_group:
            raise unsupported(f"a write through {kind.api_version}")
        metadata = content.setdefault("metadata", {})
        if old is not None:
            sent = metadata.get("resourceVersion")
            if sent and sent != old["metadata"]["resourceVersion"]:
                raise modified_meanwhile(kind.resource, name)
        elif namespace and self.store.get(("", "namespaces", "", namespace)) is None:
            raise not_found("namespaces", namespace)
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise invalid(kind.kind, name, f"metadata.name: Invalid value: {name!r}")
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                f"the namespace of the object ({metadata['namespace']}) does not match the "
                f"namespace on the request ({namespace})"
            )
        metadata["name"] = name
        if namespace:
            metadata["namespace"] = namespace
        content = {**content, "apiVersion": kind.api_version, "kind": kind.kind}
        content = self._of_subresource(request, content, old)
        content = self._checked(request, content)
        content = fill_in(kind, content)
        if not applied:
            write = Write(request.manager(UPDATE), now(), Shape(kind.schema))
            content = record_update(old, content, write)
        if request.is_dry:
            return content
        return self.store.put(key, content, of_spec=request.target.subresource != "status")

    def _of_subresource(
        self, request: Request, content: dict[str, Any], old: Content | None
    ) -> dict[str, Any]:
        """A write through ``status`` changes status alone, any other write all but status."""
        if request.target.subresource == "status" and old is not None:
            kept = copy.deepcopy(dict(old))
            kept["metadata"]["managedFields"] = content["metadata"].get("managedFields", [])
            return {**kept, "status": content.get("status", {})}
        if "status" in request.kind.subresources and request.kind.plural != "namespaces":
            content.pop("status", None)
            if old is not None and "status" in old:
                content["status"] = copy.deepcopy(old["status"])
        return content

    def _checked(self, request: Request, content: dict[str, Any]) -> dict[str, Any]:
        kind = request.kind
        if kind.schema is None:
            return content
        completed, unknown = complete(content, kind.schema)
        if unknown and request.query.get("fieldValidation") == "Strict":
            listed = ", ".join(f'unknown field "{path[1:]}"' for path in unknown)
            raise bad_request(f"strict decoding error: {listed}")
        if found := problems(completed, kind.schema):
            raise invalid(kind.kind, content["metadata"]["name"], "; ".join(found))
        return completed


def _key(group: str, plural: str, content: Content) -> Key:
    metadata = content["metadata"]
    return (group, plural, metadata.get("namespace", ""), metadata["name"])


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise bad_request("the body is no object")
    return copy.deepcopy(body)


def _is_true(text: str | None) -> bool:
    return (text or "").lower() in ("1", "true")
