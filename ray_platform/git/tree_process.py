"""The tree of a commit written into a folder as it is in Git, and proven to be the same.

``git archive`` and ``git checkout`` obey the ``.gitattributes`` of the very commit: ``export-ignore`` leaves
files out, ``export-subst`` writes a commit's message into them, filters and line ends change them. Here each
blob is written byte for byte, and the hash of what is on the disk is compared with the commit's tree.
"""

import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ray_platform.text.errors import GitError

_TIMEOUT_SECONDS = 300
_FILE, _PROGRAM, _LINK, _SUBMODULE, _TREE = "100644", "100755", "120000", "160000", "40000"
#: Written by very old versions of Git for group-writable files.
_OLD_FILE = "100664"


@dataclass(frozen=True)
class _Entry:
    mode: str
    id: str
    path: str


def write_tree(repository: Path, commit: str, folder: Path, env: Mapping[str, str]) -> None:
    """Write the tree of a commit into ``folder``, which must not exist.

    Submodules become empty folders, as Git itself leaves them.

    Args:
        repository: A repository, bare or not.
        commit: The commit's full name.
        folder: Made here, readable by this user alone.
        env: The environment of the git processes.

    Raises:
        GitError: the repository lacks the commit, a path or link leads out of the tree, or what was written
            is not what the commit says.
    """
    git = _Git(repository, {**env, "GIT_NO_REPLACE_OBJECTS": "1"})
    tree = (
        git.output("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
        .decode()
        .strip()
    )
    entries = list(_listed(git.output("ls-tree", "-r", "-z", "--full-tree", tree)))
    for entry in entries:
        _require_ordinary(repository, commit, entry)
    folder.mkdir(mode=0o700)
    try:
        for entry, content in git.blobs([item for item in entries if item.mode != _SUBMODULE]):
            if entry.mode != _LINK:
                _write(folder / entry.path, entry.mode, content)
        for entry in entries:
            if entry.mode == _SUBMODULE:
                (folder / entry.path).mkdir(parents=True)
        # Last, so that nothing is written through one.
        for entry, content in git.blobs([item for item in entries if item.mode == _LINK]):
            link = folder / entry.path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.fsdecode(content))
    except (FileExistsError, NotADirectoryError) as error:
        raise GitError(
            f"commit {commit[:12]} holds two things under one name: {error.filename!r}",
            where=str(repository),
            fix="remove one of them from the commit",
        ) from error
    _require_inside(repository, commit, folder, entries)
    submodules = {entry.path: entry.id for entry in entries if entry.mode == _SUBMODULE}
    written = _hash_of_folder(folder, "", submodules, len(tree))
    if written != tree:
        raise GitError(
            f"the files of commit {commit[:12]} are not what the commit says: {written} is not {tree}",
            where=str(folder),
            fix="run `git fsck` in the repository; see whether something else writes into that folder",
        )


class _Git:
    def __init__(self, repository: Path, env: Mapping[str, str]) -> None:
        self._repository = repository
        self._env = dict(env)

    def output(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(
                ["git", "-C", str(self._repository), *arguments],
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
                env=self._env,
                check=False,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed", fix="install git") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(
                f"git {arguments[0]} did not end within {_TIMEOUT_SECONDS} s",
                where=str(self._repository),
                fix="see whether another git process holds the repository",
            ) from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise GitError(f"git {arguments[0]} failed: {said}", where=str(self._repository))
        return done.stdout

    def blobs(self, entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, bytes]]:
        """Each entry with its content, one at a time."""
        with tempfile.TemporaryFile() as asked:
            asked.write("".join(f"{entry.id}\n" for entry in entries).encode())
            asked.seek(0)
            with subprocess.Popen(
                ["git", "-C", str(self._repository), "cat-file", "--batch"],
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._env,
            ) as child:
                out = child.stdout
                if out is None:
                    raise GitError("git cat-file has no output", where=str(self._repository))
                for entry in entries:
                    yield entry, self._blob(out, entry)

    def _blob(self, out: IO[bytes], entry: _Entry) -> bytes:
        read = out.readline().split()
        if len(read) != 3 or read[1] != b"blob":
            raise GitError(
                f"the repository lacks the content of {entry.path!r}",
                where=str(self._repository),
                fix="fetch it anew; run `git fsck`",
            )
        size = int(read[2])
        content = out.read(size + 1)[:-1]
        if len(content) != size:
            raise GitError(f"git ended within {entry.path!r}", where=str(self._repository))
        return content


def _listed(out: bytes) -> Iterator[_Entry]:
    for line in out.split(b"\0"):
        if line:
            head, _, path = line.partition(b"\t")
            mode, _, name = head.decode().split(" ")
            yield _Entry(mode, name, os.fsdecode(path))


def _require_ordinary(repository: Path, commit: str, entry: _Entry) -> None:
    parts = entry.path.split("/")
    odd = any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
    if odd or entry.mode not in (_FILE, _PROGRAM, _LINK, _SUBMODULE):
        raise GitError(
            f"commit {commit[:12]} holds a path that is not written: {entry.mode} {entry.path!r}",
            where=str(repository),
            fix="take it out of the commit"
            + (
                " (commit the file anew: its mode is an old one)" if entry.mode == _OLD_FILE else ""
            ),
        )


def _write(file: Path, mode: str, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(file, flags, 0o755 if mode == _PROGRAM else 0o644), "wb") as out:
        out.write(content)


def _require_inside(repository: Path, commit: str, folder: Path, entries: Sequence[_Entry]) -> None:
    inside = folder.resolve()
    for entry in entries:
        link = folder / entry.path
        if entry.mode != _LINK:
            continue
        if link.readlink().is_absolute() or not link.resolve().is_relative_to(inside):
            raise GitError(
                f"commit {commit[:12]} holds what leads out of its own tree: {entry.path}",
                where=str(repository),
                fix="take the link out of the commit, or let it lead to a file beside it",
            )


def _hash_of_folder(root: Path, path: str, submodules: Mapping[str, str], digits: int) -> str:
    """The name that Git gives to a folder's tree, from what is on the disk."""
    rows = []
    for entry in (root / path).iterdir():
        below = f"{path}/{entry.name}" if path else entry.name
        status = entry.lstat()
        if stat.S_ISLNK(status.st_mode):
            mode, id_ = _LINK, _hash("blob", os.fsencode(entry.readlink()), digits)
        elif not stat.S_ISDIR(status.st_mode):
            mode = _PROGRAM if status.st_mode & stat.S_IXUSR else _FILE
            id_ = _hash("blob", entry.read_bytes(), digits)
        elif below in submodules and not any(entry.iterdir()):
            mode, id_ = _SUBMODULE, submodules[below]
        else:
            mode, id_ = _TREE, _hash_of_folder(root, below, submodules, digits)
        name = os.fsencode(entry.name)
        rows.append((name + (b"/" if mode == _TREE else b""), mode, name, id_))
    listed = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(id_)
        for _, mode, name, id_ in sorted(rows)
    )
    return _hash("tree", listed, digits)


def _hash(kind: str, content: bytes, digits: int) -> str:
    """Git's name of an object: SHA-1, or SHA-256 in a repository of that format."""
    whole = f"{kind} {len(content)}".encode() + b"\0" + content
    if digits == 64:
        return hashlib.sha256(whole).hexdigest()
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()
