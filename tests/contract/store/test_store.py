"""What every artifact store keeps to: a folder, an S3 bucket (on the emulator), and the tests' double."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_platform.store.artifact_store import FileStore, S3Store, Store, open_store
from ray_platform.store.checked_keys import CheckedStore
from ray_platform.text.errors import ArtifactError
from tests.support.fuse import Fuse
from tests.support.memory_store import MemoryStore

#: A folder store's own files have such names; as the beginning of keys they are good.
HIDDEN = (".hidden", "a/.guard")
BAD_KEYS = (
    *("", "/", "/etc/passwd", "a//b", "a/", "./a", "a/./b", "a/.", "..", "../a", "a/..", "a/../b"),
    "runs/0123/../../approvals/prod/yes.json",
    *("a\\b", "..\\a", "C:\\a", "a/\0", "a\0b.json"),
    *HIDDEN,
)
GOOD_KEYS = (
    *("a", "a.json", "a/b.json", "plans/dev/0123/record.json", "a/b..", "a/b.c.d"),
    *("pull_requests/prod/acme/.github/7.json", "runs/0123/my file.json", "runs/0123/größe.json"),
)


@pytest.fixture(params=["folder", "S3", "S3 without a prefix", "double"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each backend, empty."""
    if request.param == "folder":
        return FileStore(tmp_path / "artifacts")
    if request.param == "double":
        return MemoryStore({}, Fuse())
    emulator = request.getfixturevalue("s3_emulator")
    bucket = f"artifacts-{os.urandom(4).hex()}"
    emulator.create_bucket(Bucket=bucket)
    return S3Store(bucket, "some/prefix" if request.param == "S3" else "", emulator)


def test_each_backend_is_checked_by_the_same_base() -> None:
    assert {one.__name__ for one in CheckedStore.__subclasses__()} >= {
        "FileStore",
        "S3Store",
        "MemoryStore",
    }
    for one in (FileStore, S3Store, MemoryStore):
        public = {name for name in vars(one) if not name.startswith("_")}
        assert not public & set(CheckedStore.__dict__), f"{one.__name__} goes around the check"


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
def test_what_is_no_key_is_refused_by_every_method_and_touches_nothing(
    store: Store, key: str
) -> None:
    store.put("approvals/prod/yes.json", b"kept")
    calls: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.put(key, b"x"),
        lambda: store.add(key, b"x"),
        lambda: store.get_versioned(key),
        lambda: store.replace(key, b"x", None),
        lambda: store.replace(key, b"x", "some version"),
        lambda: store.remove(key),
    ]
    if key not in HIDDEN:
        calls.append(lambda: store.keys(key))
    if key:
        calls.append(lambda: store.url(key))
    for call in calls:
        with pytest.raises(ArtifactError, match="has no key") as refused:
            call()
        assert refused.value.where == repr(key) and refused.value.fix
    assert store.keys("approvals") == ["approvals/prod/yes.json"]
    assert store.get("approvals/prod/yes.json") == b"kept"


def test_a_refused_key_leaves_nothing_in_or_out_of_the_folder(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "home" / "artifacts")
    for key in BAD_KEYS:
        with pytest.raises(ArtifactError):
            store.put(key, b"x")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("key", GOOD_KEYS)
def test_what_is_stored_comes_back_and_is_listed(store: Store, key: str) -> None:
    assert (store.get(key), store.get_versioned(key)) == (None, None)
    store.put(key, b"one")
    store.put(key, b"two\0\xff")
    assert store.get(key) == b"two\0\xff"
    found = store.get_versioned(key)
    assert found is not None and found[0] == b"two\0\xff" and found[1]
    if "/" in key:
        assert store.keys(key.rsplit("/", 1)[0]) == store.keys(key.split("/", 1)[0]) == [key]
    store.remove(key)
    store.remove(key)
    assert store.get(key) is None


def test_an_empty_content_is_a_content(store: Store) -> None:
    store.put("a/empty", b"")
    assert store.get("a/empty") == b"" and store.keys("a") == ["a/empty"]
    assert not store.add("a/empty", b"x")


def test_keys_are_those_below_whole_parts_sorted(store: Store) -> None:
    wanted = ["plans/dev/1", "plans/dev/10", "plans/dev/2/a"]
    for key in (*reversed(wanted), "plans/dev2/1", "plans/de", "other/dev/1"):
        store.put(key, b"x")
    assert store.keys("plans/dev") == wanted
    assert store.keys("plans/nothing") == []
    assert store.keys("plans/dev/1") == []


def test_more_keys_than_a_page_holds_are_all_listed(store: Store) -> None:
    if isinstance(store, S3Store):
        paginator = store.client.get_paginator
        store.client.get_paginator = lambda name: _SmallPages(paginator(name))
    try:
        for number in range(7):
            store.put(f"many/{number}", b"x")
        assert store.keys("many") == [f"many/{number}" for number in range(7)]
    finally:
        if isinstance(store, S3Store):
            store.client.get_paginator = paginator


class _SmallPages:
    def __init__(self, paginator: object) -> None:
        self._paginator = paginator

    def paginate(self, **given: object) -> object:
        return self._paginator.paginate(PaginationConfig={"PageSize": 2}, **given)  # type: ignore[attr-defined]


def test_a_key_above_or_below_another_holds_nothing(store: Store) -> None:
    store.put("a/b", b"x")
    assert (store.get("a"), store.get("a/b/c")) == (None, None)
    store.remove("a")
    store.remove("a/b/c")
    assert store.get("a/b") == b"x"


def test_an_add_stores_only_where_nothing_is(store: Store) -> None:
    content = b"first"
    assert store.add("a/once", content)
    assert not store.add("a/once", content)
    assert not store.add("a/once", b"second")
    assert store.get("a/once") == b"first"


def test_a_replace_needs_the_version_that_is_there(store: Store) -> None:
    first = store.replace("a/lease", b"1", None)
    assert first is not None
    assert store.replace("a/lease", b"2", None) is None
    second = store.replace("a/lease", b"2", first)
    assert second is not None and second != first
    assert store.get_versioned("a/lease") == (b"2", second)
    assert store.replace("a/lease", b"3", first) is None
    assert store.replace("a/gone", b"3", first) is None
    store.remove("a/lease")
    assert store.replace("a/lease", b"3", second) is None
    assert store.keys("a") == []


def test_a_put_moves_the_version_on(store: Store) -> None:
    store.put("a/b", b"1")
    before = store.get_versioned("a/b")
    store.put("a/b", b"2")
    assert before is not None and store.replace("a/b", b"3", before[1]) is None


@pytest.mark.parametrize("way", ["add", "replace"])
def test_of_many_at_once_one_wins(store: Store, way: str) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("the double is of one thread")
    version = None
    if way == "replace":
        version = store.replace("a/turn", b"start", None)
        assert version is not None
    together, won = threading.Barrier(6), []

    def take(content: bytes) -> None:
        together.wait()
        if way == "add":
            if store.add("a/turn", content):
                won.append(content)
        elif store.replace("a/turn", content, version) is not None:
            won.append(content)

    threads = [threading.Thread(target=take, args=(f"{n}".encode(),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and store.get("a/turn") == won[0]
    assert store.keys("a") == ["a/turn"]


def test_the_address_names_the_key_and_opens_the_store_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a/b.json", b"x")
    assert store.url("a/b.json").endswith("/a/b.json")
    assert store.url("a/b.json").startswith(store.url("").rstrip("/"))
    if isinstance(store, MemoryStore):
        return
    if isinstance(store, S3Store):
        import boto3

        client = store.client
        monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    assert open_store(store.url(""), "us-east-1").get("a/b.json") == b"x"
