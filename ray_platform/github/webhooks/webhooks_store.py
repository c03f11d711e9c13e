"""What webhooks leave behind: which repositories to look at, and which deliveries came.

::

    github-app/dirty/OWNER/NAME     a repository to look at with the next tick; the tick takes it away
    github-app/deliveries.sqlite    the deliveries that came, the newest ten thousand

A delivery is noted after its mark is written: a process killed in between marks once more when GitHub
sends it again, and never forgets.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.github.webhooks.deliveries import (
    DeliveryVerdict,
    WebhookDelivery,
    find_watched,
    is_signed,
    judge,
    read_delivery,
)
from ray_platform.text.errors import ForgeError

#: More than GitHub sends in the three days for which it can send one again.
MAX_REMEMBERED = 10_000

_MIN_SECRET_BYTES = 16

_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS looked (name TEXT PRIMARY KEY, at INTEGER NOT NULL);
"""


class DirtyMarks:
    """Which repositories a webhook told of since the last look at them."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "github-app" / "dirty"

    def mark(self, repository: Repository) -> None:
        path = self._path(repository)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def take(self, repository: Repository) -> bool:
        """Whether it is marked; the mark is gone then. Take it before the look, so that what comes
        during the look marks it again."""
        try:
            self._path(repository).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, repository: Repository) -> Path:
        return self._folder / repository.owner.lower() / repository.name.lower()


class Inbox:
    """The deliveries to one deployment: each counts once, also after a restart."""

    def __init__(self, home: Path, app: GitHubApp) -> None:
        self.marks = DirtyMarks(home)
        self._app = app
        self._file = home / "github-app" / "deliveries.sqlite"
        self._secret = read_webhook_secret(app)

    def receive(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[DeliveryVerdict, WebhookDelivery | None]:
        """Judge one delivery and act on it.

        Args:
            headers: Of the request, by their names in small letters.
            body: Its bytes as they came.
        """
        if not is_signed(self._secret, body, headers.get("x-hub-signature-256", "")):
            return DeliveryVerdict.FORGED, None
        delivery = read_delivery(
            headers.get("x-github-delivery", ""), headers.get("x-github-event", ""), body
        )
        if delivery is None:
            return DeliveryVerdict.MALFORMED, None
        with self._database() as database:
            if verdict := _seen(database, delivery):
                return verdict, delivery
            verdict = judge(delivery, self._app.repositories)
            if verdict is DeliveryVerdict.MARKED and delivery.repository:
                known = find_watched(delivery.repository, self._app.repositories)
                self.marks.mark(known or delivery.repository)
            if verdict is not DeliveryVerdict.MALFORMED:
                _note(database, delivery)
        return verdict, delivery

    def looked_until(self) -> int:
        """The number of the newest delivery in GitHub's log that was looked at; 0 before the first look."""
        with self._database() as database:
            row = database.execute("SELECT at FROM looked WHERE name = 'log'").fetchone()
        return int(row[0]) if row else 0

    def note_looked(self, until: int) -> None:
        with self._database() as database:
            database.execute(
                "INSERT INTO looked VALUES ('log', ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                (until,),
            )

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=10)) as database:
            database.executescript(_TABLES)
            with database:
                yield database


def read_webhook_secret(app: GitHubApp) -> bytes:
    """The secret that webhooks are signed with.

    Raises:
        ForgeError: there is none, or one that could be guessed.
    """
    path = app.webhook_secret_file
    if path is None:
        raise ForgeError(
            "webhooks have no secret",
            where="RAY_PLATFORM_GITHUB_WEBHOOK_FILE is not set",
            fix="create a secret: docs/how-to/set-up-the-github-app.md, step 4; set the same text in the App",
        )
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ForgeError(
            f"the webhooks' secret cannot be read: {error.strerror}",
            where=str(path),
            fix="let the user who runs the receiver read it",
        ) from None
    if len(secret) < _MIN_SECRET_BYTES:
        raise ForgeError(
            f"the webhooks' secret is shorter than {_MIN_SECRET_BYTES} characters",
            where=str(path),
            fix="openssl rand -hex 32 makes a good one; set it in the App too",
        )
    return secret


def _seen(database: sqlite3.Connection, delivery: WebhookDelivery) -> DeliveryVerdict | None:
    database.execute("BEGIN IMMEDIATE")
    if database.execute("SELECT 1 FROM deliveries WHERE id = ?", (delivery.id,)).fetchone():
        return DeliveryVerdict.SEEN
    row = database.execute(
        "SELECT 1 FROM deliveries WHERE digest = ?", (delivery.digest,)
    ).fetchone()
    return DeliveryVerdict.REPLAYED if row else None


def _note(database: sqlite3.Connection, delivery: WebhookDelivery) -> None:
    database.execute(
        "INSERT INTO deliveries (id, digest) VALUES (?, ?)", (delivery.id, delivery.digest)
    )
    database.execute(
        "DELETE FROM deliveries WHERE number <= (SELECT max(number) FROM deliveries) - ?",
        (MAX_REMEMBERED,),
    )
