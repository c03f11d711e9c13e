"""Sign-in by a program that a kubeconfig names: real programs, as EKS, GKE and AKS write them."""

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_platform.kubernetes import exec_credential_process
from ray_platform.kubernetes.kubeconfig_client import context_access
from ray_platform.text.errors import KubernetesError
from tests.unit.kubernetes.test_kubeconfig import Pair, encoded, entries, pair, written

V1 = "client.authentication.k8s.io/v1"
TOKEN = "k8s-aws-v1.not-to-be-shown"
#: Counts its runs, and answers what stands in `answer.json` beside it.
PROGRAM = """
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
seen = {"argv": sys.argv[1:], "info": info, "region": os.environ.get("AWS_REGION")}
with (here / "seen.jsonl").open("a") as file:
    print(json.dumps(seen), file=file)
sys.stdout.write((here / "answer.json").read_text())
"""


@pytest.fixture(scope="module")
def authority() -> Pair:
    return pair("authority")[0]


class Program:
    """A sign-in program in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sign_in.py").write_text(PROGRAM)

    def answers(self, version: str = V1, **status: Any) -> None:
        answer = {"apiVersion": version, "kind": "ExecCredential", "status": status}
        (self.folder / "answer.json").write_text(json.dumps(answer))

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "seen.jsonl").read_text().splitlines()]

    def kubeconfig(self, authority: Pair, **changes: Any) -> Path:
        of_cluster = {
            "server": "https://127.0.0.1:1",
            "certificate-authority-data": encoded(authority.certificate),
        }
        exec_ = {
            "apiVersion": V1,
            "command": sys.executable,
            "args": [str(self.folder / "sign_in.py"), "eks", "get-token"],
            "env": [{"name": "AWS_REGION", "value": "eu-west-1"}],
            "interactiveMode": "IfAvailable",
            **changes,
        }
        return written(self.folder / "config", entries(of_cluster, {"exec": exec_}))


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def in_minutes(minutes: float) -> str:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    return then.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_program_gives_the_token_and_is_asked_again_only_when_it_ends_or_is_refused(
    program: Program, authority: Pair
) -> None:
    program.answers(token=TOKEN, expirationTimestamp=in_minutes(14))
    access = context_access([program.kubeconfig(authority)], "kind-ray-platform")
    assert access.headers() == {"Authorization": f"Bearer {TOKEN}"}
    assert access.token(False) == TOKEN
    assert len(program.seen) == 1
    assert program.seen[0]["argv"] == ["eks", "get-token"]
    assert program.seen[0]["region"] == "eu-west-1"
    asked = program.seen[0]["info"]
    assert asked == {"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False}}
    program.answers(token="second", expirationTimestamp=in_minutes(0.1))
    assert access.token(True) == "second"
    program.answers(token="third")
    assert access.token(False) == "third"  # the second ends within the margin
    assert access.token(False) == "third"
    assert len(program.seen) == 3
    assert TOKEN not in repr(access)


def test_a_program_may_give_a_certificate(program: Program, authority: Pair) -> None:
    client = pair("client")[0]
    program.answers(clientCertificateData=client.certificate, clientKeyData=client.key)
    access = context_access([program.kubeconfig(authority)], "kind-ray-platform")
    assert (access.certificate, access.key) == (client.certificate, client.key)
    assert access.headers() == {}


def test_a_relative_command_starts_from_the_kubeconfigs_folder(
    program: Program, authority: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program.answers(token=TOKEN)
    (program.folder / "bin").mkdir()
    script = program.folder / "bin" / "sign-in"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {program.folder}/sign_in.py\n")
    script.chmod(0o700)
    monkeypatch.chdir("/")
    file = program.kubeconfig(authority, command="bin/sign-in", args=None)
    assert context_access([file], "kind-ray-platform").token(False) == TOKEN


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "missing": (
        {"command": "no-such-program", "installHint": "get it from example.com"},
        "cannot be started: No such file",
        "get it from example.com",
    ),
    "fails": (
        {"args": ["-c", "import sys; sys.exit('the SSO session has expired')"]},
        "exit code 1: the SSO session has expired",
        "kubectl --context kind-ray-platform",
    ),
    "text": ({"args": ["-c", f"print('{TOKEN}')"]}, "is not an ExecCredential", "kubectl"),
    "array": ({"args": ["-c", "print('[]')"]}, "is not an ExecCredential", "kubectl"),
    "terminal": ({"interactiveMode": "Always"}, "needs a terminal", "unattended"),
    "no command": ({"command": ""}, "names no command", "kubectl"),
    "bad env": ({"env": [7]}, "args or env are malformed", "kubectl"),
    "hangs": ({"args": ["-c", "import time; time.sleep(60)"]}, "did not end within", "kubectl"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_program_that_fails_is_one_message_without_what_it_printed(
    program: Program, authority: Pair, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_credential_process, "SECONDS", 1.0)
    changes, said, fix = BAD[case]
    file = program.kubeconfig(authority, **changes)
    with pytest.raises(KubernetesError, match=said) as refused:
        context_access([file], "kind-ray-platform")
    assert refused.value.where == str(file)
    assert fix in refused.value.fix
    assert TOKEN not in str(refused.value)


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "another version": (
        {"version": "client.authentication.k8s.io/v1beta1", "token": TOKEN},
        "answered 'client.authentication.k8s.io/v1beta1'",
    ),
    "nothing": ({}, "neither a token nor a client certificate"),
    "half": ({"clientKeyData": TOKEN}, "a client certificate or a key, not both"),
    "no time": ({"token": TOKEN, "expirationTimestamp": "soon"}, "is not an ExecCredential"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_does_not_serve_is_refused_without_its_secrets(
    program: Program, authority: Pair, case: str
) -> None:
    answer, said = ANSWERS[case]
    program.answers(**answer)
    with pytest.raises(KubernetesError, match=said) as refused:
        context_access([program.kubeconfig(authority)], "kind-ray-platform")
    assert TOKEN not in str(refused.value)
