"""Runs jobs on a Ray cluster through its job server; in a Dagster Pipes session: `ray_pipes`."""

import functools
import os
import shlex
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ray_platform.ray.job_log_client import followed
from ray_platform.text.errors import RayError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

POLL_SECONDS = 0.5
RETRIES = 5
RETRY_SECONDS = 1.0
#: How long one answer of the head may take.
REQUEST_SECONDS = 30.0
BAD_GATEWAY = 502
LOG_LINES = 20

T = TypeVar("T")


def use_token(token_path: Path | None) -> None:
    """Let Ray's own client in this process authenticate with the token in that file.

    Ray knows no other way than its environment variables.
    """
    if token_path is not None:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_path)
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")
        # Ray remembers the first token that it read, which may be of another cluster.
        AuthenticationTokenLoader.instance().reset_cache()


def job_client(address: str, *, patience_seconds: float = 0.0) -> "JobSubmissionClient":
    """Ray's own client of a job server, which by itself would wait for an answer for ever.

    Args:
        address: As in ``http://127.0.0.1:8265``.
        patience_seconds: How long a head that does not answer a question is asked again, and a log
            that breaks off is followed on.

    Raises:
        ConnectionError: it does not answer.
    """
    import requests
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **more: Any) -> Any:
            more.setdefault("timeout", REQUEST_SECONDS)
            deadline = time.monotonic() + patience_seconds
            while True:
                try:
                    answer = super()._do_request(method, endpoint, **more)
                    if answer.status_code == BAD_GATEWAY:
                        # Of a port forward, as of any proxy: the head was not reached.
                        raise requests.ConnectionError(answer.text)
                    return answer
                except (requests.ConnectionError, requests.Timeout):
                    # What changes something may have been done although its answer was lost.
                    if method != "GET" or time.monotonic() >= deadline:
                        raise
                    time.sleep(RETRY_SECONDS)

        def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
            tail = functools.partial(super().tail_job_logs, job_id)
            return followed(tail, patience_seconds=patience_seconds)

    return Client(address)


def entrypoint(argv: Sequence[str]) -> str:
    """The shell line of a job, each argument quoted."""
    return shlex.join(argv)


class RayJobs:
    """The job server of one cluster.

    Args:
        address: As in ``http://127.0.0.1:8265``.
        token_path: The file that holds the cluster's token; None: it asks for none.
    """

    def __init__(self, address: str, token_path: Path | None = None) -> None:
        self.address = address
        self.token_path = token_path
        self._client: JobSubmissionClient | None = None

    def submit(
        self,
        argv: Sequence[str],
        *,
        submission_id: str,
        working_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Start a job; one with the same id that is there already is kept, so that a retry is safe.

        Args:
            argv: Program and arguments, run in ``working_dir``'s copy on the cluster.
            submission_id: Names the job.
            working_dir: A folder that is uploaded.
            env: Further environment variables.
            metadata: Shown beside the job.

        Raises:
            RayError: the cluster does not take it.
        """
        runtime_env: dict[str, Any] = {"env_vars": dict(env or {})}
        if working_dir is not None:
            runtime_env["working_dir"] = str(working_dir)

        def once() -> str:
            client = self._connected()
            if any(job.submission_id == submission_id for job in client.list_jobs()):
                return submission_id
            return str(
                client.submit_job(
                    entrypoint=entrypoint(argv),
                    submission_id=submission_id,
                    runtime_env=runtime_env,
                    metadata=dict(metadata or {}),
                )
            )

        return self._retried(once, f"job {submission_id} was not taken")

    def status(self, submission_id: str) -> str:
        """``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``.

        Raises:
            RayError: no such job, or no answer.
        """
        return self._retried(
            lambda: str(self._connected().get_job_status(submission_id).value),
            f"the status of job {submission_id} cannot be read",
        )

    def logs(self, submission_id: str) -> str:
        """Everything that the job has written so far.

        Raises:
            RayError: no such job, or no answer.
        """
        return self._retried(
            lambda: str(self._connected().get_job_logs(submission_id)),
            f"the log of job {submission_id} cannot be read",
        )

    def wait(
        self,
        submission_id: str,
        *,
        timeout_seconds: float,
        on_line: Callable[[str], None] | None = None,
    ) -> str:
        """The job's log, once it has succeeded; ``on_line`` gets each whole line as it comes.

        Raises:
            RayError: it failed, was stopped, or takes longer; with its last lines.
        """
        deadline = time.monotonic() + timeout_seconds
        told = 0
        while True:
            status = self.status(submission_id)
            done = status in ("SUCCEEDED", "FAILED", "STOPPED")
            text = self.logs(submission_id) if on_line or done else ""
            if on_line:
                end = len(text) if done else text.rfind("\n") + 1
                for line in text[told:end].splitlines():
                    on_line(line)
                told = max(told, end)
            if status == "SUCCEEDED":
                return text
            if done:
                raise RayError(
                    f"job {submission_id} {status.lower()}\n{_tail(text)}",
                    where=self.address,
                    fix="mend what its last lines say",
                )
            if time.monotonic() >= deadline:
                raise RayError(
                    f"job {submission_id} is {status.lower()} after {timeout_seconds:.0f} s\n"
                    + _tail(self.logs(submission_id)),
                    where=self.address,
                    fix="read its log in the dashboard",
                )
            time.sleep(POLL_SECONDS)

    def stop(self, submission_id: str) -> bool:
        """Ask the job to end; whether it was running.

        Raises:
            RayError: no such job, or no answer.
        """
        return self._retried(
            lambda: bool(self._connected().stop_job(submission_id)),
            f"job {submission_id} cannot be stopped",
        )

    def running(self) -> tuple[str, ...]:
        """The ids of the jobs that have not ended.

        Raises:
            RayError: no answer.
        """
        return self._retried(
            lambda: tuple(
                str(job.submission_id or job.job_id)
                for job in self._connected().list_jobs()
                if not job.status.is_terminal()
            ),
            "the jobs cannot be listed",
        )

    def known(self) -> tuple[str, ...]:
        """The ids of all jobs that the cluster has, also those that have ended.

        Raises:
            RayError: no answer.
        """
        return self._retried(
            lambda: tuple(
                str(job.submission_id or job.job_id) for job in self._connected().list_jobs()
            ),
            "the jobs cannot be listed",
        )

    def _connected(self) -> "JobSubmissionClient":
        if self._client is None:
            use_token(self.token_path)
            self._client = job_client(self.address)
        return self._client

    def _retried(self, call: Callable[[], T], failed: str) -> T:
        import requests

        for attempt in range(RETRIES):
            try:
                return call()
            except (ConnectionError, requests.ConnectionError, requests.Timeout) as error:
                # The head may be busy starting workers.
                last: Exception = error
                time.sleep(RETRY_SECONDS * attempt)
            except Exception as error:  # Ray's client raises RuntimeError with the whole answer
                last = error
                break
        raise RayError(
            f"{failed}: {_short(last)}",
            where=self.address,
            fix="see that the cluster runs: `ray-platform status`",
        ) from last


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _tail(text: str) -> str:
    lines = text.splitlines()[-LOG_LINES:]
    return "\n".join(f"  | {line[:300]}" for line in lines) or "  (its log is empty)"
