"""Calls to a GitHub that fails, limits or answers nonsense: tried again where that is safe, else told."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ray_platform_sandbox.github.access.keys import new_key_pair

from ray_platform.config.github_app import GitHubApp
from ray_platform.config.repository import Repository
from ray_platform.github.app_client import AppClient
from ray_platform.github.calls_client import Calls
from ray_platform.github.github_client import GitHubRepository
from ray_platform.text.errors import ForgeError, RateLimited

pytestmark = pytest.mark.real


@dataclass
class Script:
    """What a server answers, one after another, and what it was asked."""

    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def script() -> Iterator[Script]:
    made = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.command)
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, headers, body = made.answers.pop(0)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def calls_to(url: str, slept: list[float]) -> Calls:
    from githubkit import UnauthAuthStrategy
    from githubkit.cache import MemCacheStrategy

    return Calls(UnauthAuthStrategy(), url, tokens=MemCacheStrategy(), sleep=slept.append)


def read(calls: Calls) -> Any:
    return calls.read("read it", "a/b", lambda rest: rest.pulls.get("a", "b", 1))


def post(calls: Calls) -> Any:
    return calls.write(
        "write it", "a/b", lambda rest: rest.issues.create_comment("a", "b", 1, body="hello")
    )


BROKEN = (502, {}, {"message": "Server Error"})


def test_a_read_is_tried_three_times_with_pauses_and_then_given_up(script: Script) -> None:
    slept: list[float] = []
    script.answers = [BROKEN, BROKEN, (200, {}, {"number": 1})]
    assert read(calls_to(script.url, slept)) == {"number": 1}
    script.answers = [BROKEN] * 3
    with pytest.raises(ForgeError, match="GitHub failed with 502: could not read it"):
        read(calls_to(script.url, slept))
    assert len(script.asked) == 6 and len(slept) == 4 and sum(slept) < 5


def test_what_writes_is_never_sent_twice_where_it_may_have_been_done(script: Script) -> None:
    slept: list[float] = []
    script.answers = [BROKEN]
    with pytest.raises(ForgeError, match="502"):
        post(calls_to(script.url, slept))
    assert script.asked == ["POST"] and slept == []


def test_a_server_that_is_not_there_is_told_after_three_tries() -> None:
    slept: list[float] = []
    with pytest.raises(ForgeError, match="GitHub does not answer: could not write it"):
        post(calls_to("http://127.0.0.1:6459", slept))
    assert len(slept) == 2


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[1, 2]", b'{"number": 1}', b"null"])
def test_an_answer_that_is_not_githubs_is_told(script: Script, body: bytes) -> None:
    installation = {"id": 1, "app_id": 7, "app_slug": "ray-platform", "account": {"login": "acme"}}
    token = {"token": "ghs_" + "x" * 36, "expires_at": "2036-01-01T00:00:00Z", "permissions": {}}
    script.answers = [(200, {}, installation), (201, {}, token), (200, {}, body)]
    app = GitHubApp("7", script.url, (), private_key=new_key_pair().private)
    with pytest.raises(ForgeError, match=r"GitHub's answer (cannot be read|lacks)"):
        GitHubRepository(AppClient(app), Repository("acme", "infra")).pull_request(1)


def test_a_limit_is_read_by_githubs_clock_and_not_by_ours(script: Script) -> None:
    headers = {
        "Date": "Sun, 01 Mar 2026 10:00:00 GMT",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1772359500",  # five minutes after that date
    }
    script.answers = [(403, headers, {"message": "API rate limit exceeded"})]
    slept: list[float] = []
    with pytest.raises(RateLimited) as refused:
        read(calls_to(script.url, slept))
    assert refused.value.wait_seconds == pytest.approx(300, abs=2) and slept == []


def test_a_limit_with_a_header_that_is_no_number_is_still_one_error(script: Script) -> None:
    script.answers = [(403, {"retry-after": "Sun, 01 Mar 2026 10:00:00 GMT"}, {"message": "wait"})]
    with pytest.raises(ForgeError, match="cannot be read"):
        read(calls_to(script.url, []))
