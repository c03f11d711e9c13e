"""Webhooks: signed, sent in order, each attempt in the delivery log; and the faults that tests ask for."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ray_platform_sandbox.github.clock import Clock
from ray_platform_sandbox.github.state import App

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_SECONDS = 10
#: GitHub keeps three days of deliveries; here the last so many.
KEPT = 1000


@dataclass
class Delivery:
    """One attempt to deliver an event. ``status_code`` 0: nothing answered."""

    id: int
    guid: str
    app_id: int
    installation_id: int
    repository_id: int
    event: str
    action: str | None
    url: str
    payload: dict[str, Any]
    redelivery: bool = False
    delivered_at: int = 0
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


class Webhooks:
    """The queue, the log and the faults. `send_all` runs in the server's event loop."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.log: list[Delivery] = []
        self.clear_faults()
        #: Told of each attempt once it is made.
        self.sent: Callable[[Delivery], None] = lambda delivery: None
        self._last_id = 0
        self._queue: list[tuple[Delivery, App]] = []
        self._wake = asyncio.Event()
        self._busy = False

    def clear_faults(self) -> None:
        """Deliver everything once and at once.

        ``drop_next`` attempts fail and stand in the log as failed; ``lose_next`` events are neither sent nor
        logged; ``double_next`` are sent twice; ``delay_seconds`` pass before each.
        """
        self.drop_next = self.lose_next = self.double_next = 0
        self.delay_seconds = 0.0

    def enqueue(
        self,
        app: App,
        installation_id: int,
        repository_id: int,
        event: str,
        action: str | None,
        payload: dict[str, Any],
    ) -> None:
        """Put an event in the queue, unless it is to be lost without a trace."""
        if self.lose_next:
            self.lose_next -= 1
            return
        self._last_id += 1
        # The payload as it is now, not as it is when its turn comes.
        frozen = json.loads(json.dumps(payload))
        delivery = Delivery(
            id=self._last_id,
            guid=str(uuid.uuid4()),
            app_id=app.id,
            installation_id=installation_id,
            repository_id=repository_id,
            event=event,
            action=action,
            url=app.webhook.url,
            payload=frozen,
        )
        self._queue.append((delivery, app))
        self._wake.set()

    def redeliver(self, delivery: Delivery, app: App) -> Delivery:
        """Send an event again, under the guid of the first attempt, as GitHub does."""
        self._last_id += 1
        again = Delivery(
            id=self._last_id,
            guid=delivery.guid,
            app_id=delivery.app_id,
            installation_id=delivery.installation_id,
            repository_id=delivery.repository_id,
            event=delivery.event,
            action=delivery.action,
            url=app.webhook.url,
            payload=delivery.payload,
            redelivery=True,
        )
        self._queue.append((again, app))
        self._wake.set()
        return again

    @property
    def settled(self) -> bool:
        """Whether nothing waits or is under way."""
        return not self._queue and not self._busy

    def restore(self, log: list[Delivery]) -> None:
        self.log = log[-KEPT:]
        self._last_id = max((delivery.id for delivery in log), default=0)

    async def send_all(self, session: "aiohttp.ClientSession") -> None:
        """Send what is queued, one after another, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                self._busy = True
                delivery, app = self._queue.pop(0)
                try:
                    await self._send(session, delivery, app)
                finally:
                    self._busy = False

    async def _send(self, session: "aiohttp.ClientSession", delivery: Delivery, app: App) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        dropped = self.drop_next > 0
        self.drop_next -= dropped
        await self._attempt(session, delivery, app, dropped=dropped)
        if not dropped and self.double_next:
            self.double_next -= 1
            self._last_id += 1
            twin = Delivery(**{**vars(delivery), "id": self._last_id})
            await self._attempt(session, twin, app, dropped=False)

    async def _attempt(
        self, session: "aiohttp.ClientSession", delivery: Delivery, app: App, *, dropped: bool
    ) -> None:
        import aiohttp

        body = json.dumps(delivery.payload, separators=(",", ":")).encode()
        delivery.request_headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/local",
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(app.id),
            "X-GitHub-Hook-Installation-Target-ID": str(app.id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
        if app.webhook.secret:
            secret = app.webhook.secret.encode()
            for name, algorithm in (("", hashlib.sha1), ("-256", hashlib.sha256)):
                signed = hmac.new(secret, body, algorithm).hexdigest()
                spelled = f"sha{name.removeprefix('-') or '1'}={signed}"
                delivery.request_headers[f"X-Hub-Signature{name}"] = spelled
        delivery.delivered_at = self.clock.now()
        loop = asyncio.get_running_loop()
        started = loop.time()
        if dropped:
            delivery.status, delivery.status_code = "failed to connect to host", 0
        else:
            try:
                async with session.post(
                    delivery.url, data=body, headers=delivery.request_headers
                ) as answer:
                    delivery.response_body = (await answer.text())[:1000]
                    delivery.response_headers = dict(answer.headers)
                    delivery.status_code = answer.status
                    delivery.status = (
                        "OK" if answer.ok else f"Invalid HTTP Response: {answer.status}"
                    )
            except TimeoutError:
                delivery.status, delivery.status_code = "timed out", 0
            except aiohttp.ClientError as error:
                delivery.status = f"failed to connect to host ({type(error).__name__})"
        delivery.duration = round(loop.time() - started, 3)
        self.log.append(delivery)
        del self.log[:-KEPT]
        self.sent(delivery)
