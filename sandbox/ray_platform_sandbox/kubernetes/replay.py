"""Replays recorded requests to a real Kubernetes API server through the local one, and prints where the
answers differ.

    python -m ray_platform_sandbox.kubernetes.replay FILE [--json]

FILE holds ``pairs`` of ``request`` (method, path, parameters, content_type, object) and ``response`` (code,
and ``status`` or ``object``). Code, reason and message are compared. Exit code 0: no difference but those
that ``reviewed_answers.json`` names; 2: there are others; 1: the file cannot be read.
"""

import argparse
import gzip
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ray_platform_sandbox.kubernetes.admission import LEVEL, Admission
from ray_platform_sandbox.kubernetes.api import Api, Request
from ray_platform_sandbox.kubernetes.failures import ApiFailure
from ray_platform_sandbox.kubernetes.journal import Journal
from ray_platform_sandbox.kubernetes.paths import parse_path
from ray_platform_sandbox.kubernetes.server import register_kuberay

_VIOLATES = re.compile(r'violates PodSecurity "([a-z]+):')
REVIEWED = Path(__file__).with_name("reviewed_answers.json")
Pair = Mapping[str, Any]


class Replay:
    """The local API, with the admission of pods, in a folder of its own."""

    def __init__(self, folder: Path, levels: Mapping[str, str]) -> None:
        self._levels = levels
        self._api = Api(Journal(folder), lambda event: None)
        self._api.store.collects_late = False
        register_kuberay(self._api)
        self._admission = Admission(self._api.store)

    def answer(self, asked: Mapping[str, Any]) -> tuple[int, str, str]:
        """Code, reason and message of the local API's answer; reason and message empty: it accepted."""
        target = parse_path(str(asked["path"]))
        kind = None
        if target is not None:
            kind = self._api.kinds.find(target.group, target.version, target.plural)
        if target is None or kind is None:
            return 404, "NotFound", "the server could not find the requested resource"
        self._make_namespace(target.namespace)
        query = {key: str(value) for key, value in (asked.get("parameters") or {}).items()}
        media = str(asked.get("content_type") or "application/json")
        request = Request(target, kind, query, asked.get("object"), media)
        try:
            return self._done(str(asked["method"]), request), "", ""
        except ApiFailure as failure:
            return failure.code, failure.reason, failure.message

    def _done(self, method: str, request: Request) -> int:
        is_new = self._api.store.get(request.key) is None
        if method == "POST":
            if request.kind.plural == "pods" and request.kind.group == "":
                body = self._admission.pod(dict(request.body), request.target.namespace)
                request = Request(request.target, request.kind, request.query, body)
            self._api.create(request)
            return 201
        if method == "PATCH":
            self._api.patch(request)
            return 201 if is_new else 200
        if method == "PUT":
            self._api.update(request)
        elif method == "DELETE":
            self._api.delete(request)
        else:
            self._api.get(request)
        return 200

    def make_room(self, asked: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """Take away what the real server had no longer: deletions between two requests are not recorded."""
        target = parse_path(str(asked["path"]))
        if target is None or asked["method"] != "POST" or int(response["code"]) == 409:
            return
        name = str(((asked.get("object") or {}).get("metadata") or {}).get("name", ""))
        key = (target.group, target.plural, target.namespace, name)
        if self._api.store.get(key) is not None:
            self._api.store.delete(key)

    def follow(self, asked: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """Go on from what the real server had after it, so that one difference is not many."""
        target = parse_path(str(asked["path"]))
        if target is None or "dryRun" in (asked.get("parameters") or {}) or target.subresource:
            return
        content = response.get("object") or asked.get("object") or {}
        metadata = content.get("metadata") if isinstance(content, Mapping) else None
        name = target.name or str((metadata or {}).get("name", ""))
        key = (target.group, target.plural, target.namespace, name)
        there = self._api.store.get(key) is not None
        accepted = int(response["code"]) < 300
        if accepted and asked["method"] in ("POST", "PATCH", "PUT") and response.get("object"):
            if not there:
                self._api.store.restore(key, json.loads(json.dumps(response["object"])))
        elif not accepted and asked["method"] == "POST" and there and int(response["code"]) != 409:
            self._api.store.delete(key)

    def _make_namespace(self, name: str) -> None:
        """A namespace of the recording, with the account that a controller makes in each."""
        if not name or self._api.store.get(("", "namespaces", "", name)) is not None:
            return
        labels = {LEVEL: self._levels[name]} if name in self._levels else {}
        metadata = {"name": name, "labels": labels}
        self._api.store.put(("", "namespaces", "", name), {"metadata": metadata})
        account = {"metadata": {"name": "default", "namespace": name}}
        self._api.store.put(("", "serviceaccounts", name, "default"), account)


def _levels(pairs: Sequence[Pair]) -> dict[str, str]:
    """The level of each namespace at the beginning, which no request sets: what its first refusal names."""
    found: dict[str, str] = {}
    for pair in pairs:
        target = parse_path(str(pair["request"]["path"]))
        named = _VIOLATES.search(str((pair["response"].get("status") or {}).get("message", "")))
        if target and target.namespace and named:
            found.setdefault(target.namespace, named[1])
    return found


def differences(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """Each pair whose answers differ, with the reason that the reviewed list gives; empty: none."""
    known = json.loads(REVIEWED.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        replay = Replay(Path(folder), _levels(pairs))
        for number, pair in enumerate(pairs):
            response = pair["response"]
            status = response.get("status") or {}
            recorded = (
                int(response["code"]),
                str(status.get("reason") or ""),
                str(status.get("message") or ""),
            )
            replay.make_room(pair["request"], response)
            replayed = replay.answer(pair["request"])
            replay.follow(pair["request"], response)
            if recorded == replayed:
                continue
            decided = (recorded[0] < 400) == (replayed[0] < 400)
            kind = "words" if decided and recorded[:2] == replayed[:2] else "decision"
            what = f"{pair['category']}: {kind}: {pair['what']}"
            yield {
                "pair": number,
                "what": what,
                "recorded": recorded,
                "replayed": replayed,
                "reviewed": next(
                    (one["reason"] for one in known if fnmatchcase(what, one["what"])), ""
                ),
            }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="replay", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    try:
        text = asked.file.read_bytes()
        content = json.loads(gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text)
        pairs: Sequence[Pair] = content["pairs"]
        found = list(differences(pairs))
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"{asked.file}: no recording of requests: {error!r}\n")
        return 1
    unreviewed = [one for one in found if not one["reviewed"]]
    if asked.json:
        answer = {"pairs": len(pairs), "differences": found, "unreviewed": len(unreviewed)}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        for one in found:
            mark = f"reviewed: {one['reviewed']}" if one["reviewed"] else "NOT REVIEWED"
            sys.stdout.write(
                f"{one['pair']}: {one['what']}: recorded {one['recorded']}, replayed "
                f"{one['replayed']} ({mark})\n"
            )
        sys.stdout.write(
            f"{len(pairs)} pairs, {len(found)} differences, {len(unreviewed)} not reviewed\n"
        )
    return 2 if unreviewed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
