"""The secrets of a server that is kept in a folder: the App's key, its webhook secret, people's tokens."""

import json
import os
import secrets
from pathlib import Path

from ray_platform_sandbox.github.access.keys import KeyPair, new_key_pair, read_key_pair

KEY, WEBHOOK, PEOPLE = "app-key.pem", "webhook-secret", "people.json"


class Secrets:
    """Files that only their owner may read, each made once, when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def app_key(self) -> KeyPair:
        return read_key_pair(self._kept(KEY, new_key_pair().private))

    def webhook_secret(self) -> str:
        return self._kept(WEBHOOK, secrets.token_hex(20))

    def people(self, logins: tuple[str, ...] = ()) -> dict[str, str]:
        """Tokens by login; people without one get one."""
        file = self.folder / PEOPLE
        held: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
        if missing := [login for login in logins if login not in held]:
            held |= {login: f"ghp_{secrets.token_hex(18)}" for login in missing}
            self._write(PEOPLE, json.dumps(held, indent=1))
        return held

    def _kept(self, name: str, fresh: str) -> str:
        file = self.folder / name
        if not file.exists():
            self._write(name, fresh)
        return file.read_text("utf-8")

    def _write(self, name: str, text: str) -> None:
        beside = self.folder / f"{name}.new"
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(self.folder / name)
