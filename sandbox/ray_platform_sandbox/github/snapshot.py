"""The state as a JSON file, written beside and renamed, so that it is whole whenever the server is killed."""

import json
import os
from pathlib import Path

from ray_platform_sandbox.github.state import State
from ray_platform_sandbox.github.webhooks import KEPT, Delivery

NAME, DELIVERIES = "state.json", "deliveries.jsonl"


def load(folder: Path) -> State:
    """The state of a folder; an empty one where there is none."""
    from pydantic import TypeAdapter

    file = folder / NAME
    return TypeAdapter(State).validate_json(file.read_bytes()) if file.exists() else State()


def save(folder: Path, state: State) -> None:
    from pydantic import TypeAdapter

    beside = folder / f"{NAME}.new"
    # Digests of tokens and webhook secrets are in it.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(TypeAdapter(State).dump_json(state, indent=1))
    beside.replace(folder / NAME)


def load_deliveries(folder: Path) -> list[Delivery]:
    """The delivery log; a last line that was cut short is dropped, and so are older ones than are kept."""
    file = folder / DELIVERIES
    if not file.exists():
        return []
    found = []
    lines = file.read_text(encoding="utf-8").splitlines()
    if len(lines) > KEPT:
        lines = lines[-KEPT:]
        beside = folder / f"{DELIVERIES}.new"
        beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        beside.replace(file)
    for line in lines:
        try:
            found.append(Delivery(**json.loads(line)))
        except ValueError:
            continue
    return found


def append_delivery(folder: Path, delivery: Delivery) -> None:
    with (folder / DELIVERIES).open("a", encoding="utf-8") as file:
        file.write(json.dumps(vars(delivery)) + "\n")
