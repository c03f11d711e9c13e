"""A head without Ray: answers what the platform asks of one, and its jobs are what a test says."""

import http.server
import json
import threading
from typing import Any


class Head:
    """The job server and dashboard of one cluster, on a free loopback port.

    ``jobs`` are ids and states; a job that is handed in ends well at once, unless ``broken``. A ``mute`` one
    answers nothing. tests/contract/ray_jobs holds it to a real head.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.broken = self.mute = False
        head = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(head.get(self.path))

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer(head.post(self.path, json.loads(content or b"{}")))

            def answer(self, content: Any) -> None:
                status = 200
                if content is None:
                    status, content = 404, "no such job"
                body = json.dumps(content).encode()
                self.send_response(503 if head.mute else status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = str(self._server.server_port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> Any:
        if path.startswith("/api/version"):
            return {"version": "4", "ray_version": "2.60.0", "ray_commit": "x"}
        if path.startswith("/api/v0/nodes"):
            node = {"node_id": "h", "is_head_node": True, "state": "ALIVE", "start_time_ms": 1}
            return {"data": {"result": {"result": [node]}}}
        job = path.removeprefix("/api/jobs/").removesuffix("/logs")
        if not job:
            return [_job(name, state) for name, state in self.jobs.items()]
        if job not in self.jobs:
            return None
        return {"logs": "no Ray here"} if path.endswith("/logs") else _job(job, self.jobs[job])

    def post(self, path: str, content: dict[str, Any]) -> Any:
        if path.endswith("/stop"):
            job = path.split("/")[-2]
            if job not in self.jobs:
                return None
            runs = self.jobs[job] in ("PENDING", "RUNNING")
            if runs:
                self.jobs[job] = "STOPPED"
            return {"stopped": runs}
        self.jobs[content["submission_id"]] = "FAILED" if self.broken else "SUCCEEDED"
        return {"submission_id": content["submission_id"], "job_id": content["submission_id"]}


def _job(name: str, state: str) -> dict[str, Any]:
    return {"type": "SUBMISSION", "submission_id": name, "status": state, "entrypoint": "x"}
