"""Calls about Git's own objects: refs, commits, trees, blobs. A whole change can be made by them."""

import re
from typing import Any

from ray_platform_sandbox.github.call import Answer, Call, Route
from ray_platform_sandbox.github.clock import read, spell
from ray_platform_sandbox.github.git.history import Person
from ray_platform_sandbox.github.git.pushes import take_in
from ray_platform_sandbox.github.problems import Problem, invalid_request, not_found
from ray_platform_sandbox.github.shapes.repositories import git_commit, reference

_READ, _WRITE = ("contents:read",), ("contents:write",)
_REF = re.compile(r"refs/(heads|tags)/(?!.*(\.\.|//|@\{|\.lock(/|$)))[^\s~^:?*\[\\\x00-\x20\x7f]+")
_MODES = ("100644", "100755", "040000", "160000", "120000")


def get_ref(call: Call) -> Answer:
    name = f"refs/{call.values['ref']}"
    sha = call.repository.refs.get(name)
    if sha is None and name.startswith("refs/pull/"):
        sha = call.hub.store(call.repository).resolve(name)
    if sha is None:
        raise not_found()
    return Answer(reference(call.hub, call.repository, name, sha))


def create_ref(call: Call) -> Answer:
    name, sha = call.required("ref", str), call.required("sha", str)
    if not _REF.fullmatch(name) or name.endswith(("/", ".")):
        raise Problem(
            422, "Reference name must start with 'refs/' and contain at least two slashes."
        )
    if name in call.repository.refs:
        raise Problem(422, "Reference already exists")
    _point(call, name, sha, None)
    return Answer(reference(call.hub, call.repository, name, sha), 201)


def change_ref(call: Call) -> Answer:
    name, sha = f"refs/{call.values['ref']}", call.required("sha", str)
    old = call.repository.refs.get(name)
    if old is None:
        raise Problem(422, "Reference does not exist")
    store = call.hub.store(call.repository)
    if store.has(sha) and not store.is_ancestor(old, sha) and not call.given("force", bool):
        raise Problem(422, "Update is not a fast forward")
    _point(call, name, sha, old)
    return Answer(reference(call.hub, call.repository, name, sha))


def delete_ref(call: Call) -> Answer:
    name = f"refs/{call.values['ref']}"
    old = call.repository.refs.get(name)
    if old is None:
        raise Problem(422, "Reference does not exist")
    call.hub.store(call.repository).update(name, None, old)
    take_in(call.hub, call.repository, call.caller.login)
    return Answer(status=204)


def get_commit(call: Call) -> Answer:
    store, sha = call.hub.store(call.repository), call.values["commit_sha"]
    if not re.fullmatch(r"[0-9a-f]{40}", sha) or not store.has(sha):
        raise not_found()
    return Answer(git_commit(call.hub, call.repository, store.commit(sha)))


def create_commit(call: Call) -> Answer:
    store = call.hub.store(call.repository)
    tree, parents = call.required("tree", str), call.given("parents", list) or []
    if store.kind(tree) != "tree":
        raise Problem(422, "Tree SHA does not exist")
    if not all(isinstance(one, str) and store.has(one) for one in parents):
        raise Problem(422, "Parent SHA does not exist or is not a commit object")
    author, authored = _signature(call, "author", None)
    committer, committed = _signature(call, "committer", (author, authored))
    sha = store.make_commit(
        tree,
        parents,
        call.required("message", str),
        author=author,
        authored=authored,
        committer=committer,
        committed=committed,
    )
    return Answer(git_commit(call.hub, call.repository, store.commit(sha)), 201)


def create_tree(call: Call) -> Answer:
    store = call.hub.store(call.repository)
    entries: list[tuple[str, str, str | None]] = []
    for item in call.required("tree", list):
        entries.append(_entry(call, item))
    base = call.given("base_tree", str)
    if base is not None and store.kind(base) not in ("tree", "commit"):
        raise not_found()
    sha = store.make_tree(base, entries)
    at = call.hub.api(f"/repos/{call.repository.full_name}/git")
    shown = [
        {"path": path, "mode": mode, "type": "blob", "sha": blob, "url": f"{at}/blobs/{blob}"}
        for mode, path, blob in entries
        if blob
    ]
    return Answer({"sha": sha, "url": f"{at}/trees/{sha}", "tree": shown, "truncated": False}, 201)


def create_blob(call: Call) -> Answer:
    content = call.required("content", str)
    if call.choice("encoding", ("utf-8", "base64")) == "base64":
        raise invalid_request("This server takes text alone: encoding utf-8.")
    sha = call.hub.store(call.repository).make_blob(content)
    at = call.hub.api(f"/repos/{call.repository.full_name}/git/blobs/{sha}")
    return Answer({"url": at, "sha": sha}, 201)


def _entry(call: Call, item: Any) -> tuple[str, str, str | None]:
    if not isinstance(item, dict) or not isinstance(item.get("path"), str):
        raise invalid_request("Each entry of the tree needs a path.")
    path, mode = item["path"], item.get("mode", "100644")
    parts = path.split("/")
    if mode not in _MODES or not path or {"", ".", "..", ".git"} & {p.lower() for p in parts}:
        raise Problem(422, "tree.path contains a malformed path component")
    if "content" in item:
        return mode, path, call.hub.store(call.repository).make_blob(str(item["content"]))
    sha = item.get("sha")
    if sha is not None and call.hub.store(call.repository).kind(str(sha)) is None:
        raise Problem(422, f"tree.sha {sha} is not a valid blob")
    return mode, path, sha


def _signature(call: Call, name: str, default: tuple[Person, str] | None) -> tuple[Person, str]:
    given: dict[str, Any] | None = call.given(name, dict)
    if given is None and default:
        return default
    account = call.hub.account(call.caller.login)
    given = given or {}
    try:
        at = read(str(given["date"])) if given.get("date") else call.hub.clock.now()
    except ValueError as error:
        raise invalid_request(f"{name}.date is no ISO 8601 time.") from error
    person = Person(
        str(given.get("name") or account.name or account.login),
        str(given.get("email") or account.email),
    )
    return person, spell(at)


def _point(call: Call, name: str, sha: str, old: str | None) -> None:
    store = call.hub.store(call.repository)
    if not re.fullmatch(r"[0-9a-f]{40}", sha) or not store.has(sha):
        raise Problem(422, "Object does not exist")
    if not store.update(name, sha, old):
        raise Problem(422, "Reference cannot be updated")
    take_in(call.hub, call.repository, call.caller.login)


_AT = "/repos/{owner}/{repo}/git"
ROUTES = (
    Route("GET", f"{_AT}/ref/{{ref:.+}}", get_ref, _READ),
    Route("POST", f"{_AT}/refs", create_ref, _WRITE, "write"),
    Route("PATCH", f"{_AT}/refs/{{ref:.+}}", change_ref, _WRITE, "write"),
    Route("DELETE", f"{_AT}/refs/{{ref:.+}}", delete_ref, _WRITE, "write"),
    Route("GET", f"{_AT}/commits/{{commit_sha}}", get_commit, _READ),
    Route("POST", f"{_AT}/commits", create_commit, _WRITE, "write"),
    Route("POST", f"{_AT}/trees", create_tree, _WRITE, "write"),
    Route("POST", f"{_AT}/blobs", create_blob, _WRITE, "write"),
)
