"""A kubeconfig's context: what is read of it, and an API that takes nobody without a certificate."""

import base64
import datetime
import http.server
import ipaddress
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ray_platform.kubernetes.api_client import NAMESPACES, KubernetesApi
from ray_platform.kubernetes.kubeconfig_client import context_access, context_names
from ray_platform.text.errors import KubernetesError

CONTEXT = "kind-ray-platform"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str


def pair(subject: str, signer: tuple[x509.Name, Any] | None = None) -> tuple[Pair, Any]:
    """A certificate of that subject; signed by itself, or by a signer."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    issuer, signing = signer or (name, key)
    now = datetime.datetime.now(datetime.UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(addresses, critical=False)
        .sign(signing, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    text = key.private_bytes(encoding, form, serialization.NoEncryption()).decode()
    return Pair(made.public_bytes(encoding).decode(), text), (name, key)


@dataclass(frozen=True)
class Cluster:
    """An API that asks for a client's certificate, as kind's does, and answers who asked."""

    url: str
    authority: str
    client: Pair
    stranger: Pair


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    authority, signer = pair("authority")
    server, _ = pair("server", signer)
    client, _ = pair("kubernetes-admin", signer)
    stranger, _ = pair("stranger")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            peer: Any = self.connection.getpeercert()
            shown = dict(pairs[0] for pairs in peer["subject"])["commonName"]
            answer = {"user": shown, "authorization": self.headers.get("Authorization")}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    listening = Quiet(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    own = tmp_path_factory.mktemp("server") / "server.pem"
    own.write_text(server.certificate + server.key)
    context.load_cert_chain(own)
    listening.socket = context.wrap_socket(
        listening.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{listening.server_address[1]}"
    yield Cluster(url, authority.certificate, client, stranger)
    listening.shutdown()
    listening.server_close()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def entries(
    cluster: Mapping[str, Any], user: Mapping[str, Any], name: str = CONTEXT
) -> dict[str, Any]:
    """A kubeconfig with one context, as kind writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": dict(cluster)}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def of_kind(cluster: Cluster, client: Pair | None = None) -> dict[str, Any]:
    shown = client or cluster.client
    return entries(
        {"server": cluster.url, "certificate-authority-data": encoded(cluster.authority)},
        {
            "client-certificate-data": encoded(shown.certificate),
            "client-key-data": encoded(shown.key),
        },
    )


def written(path: Path, content: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(dict(content)))
    return path


def asked(access: Any) -> dict[str, Any]:
    answer = KubernetesApi(access, "test").get(NAMESPACES, "who-am-i")
    assert answer is not None
    return answer


def test_kind_s_client_certificate_signs_in_and_its_key_is_nowhere_afterwards(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    access = context_access([written(tmp_path / "config", of_kind(cluster))], CONTEXT)
    assert asked(access) == {"user": "kubernetes-admin", "authorization": None}
    assert list(scratch.iterdir()) == []
    assert "PRIVATE KEY" not in repr(access)


def test_helm_s_kubeconfig_carries_the_certificate_on(cluster: Cluster, tmp_path: Path) -> None:
    access = context_access([written(tmp_path / "config", of_kind(cluster))], CONTEXT)
    passed_on = tmp_path / "passed-on"
    passed_on.write_text(access.kubeconfig())
    (name,) = context_names([passed_on])
    assert asked(context_access([passed_on], name))["user"] == "kubernetes-admin"
    assert "token" not in yaml.safe_load(passed_on.read_text())["users"][0]["user"]


def test_a_certificate_of_somebody_else_is_not_taken(cluster: Cluster, tmp_path: Path) -> None:
    file = written(tmp_path / "config", of_kind(cluster, cluster.stranger))
    with pytest.raises(KubernetesError, match="does not answer"):
        asked(context_access([file], CONTEXT))


def test_files_are_found_from_the_kubeconfig_s_own_folder(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name, text in (
        ("ca.crt", cluster.authority),
        ("me.crt", cluster.client.certificate),
        ("me.key", cluster.client.key),
        ("token", "from-a-file\n"),
    ):
        (folder / name).write_text(text)
    content = entries(
        {"server": cluster.url, "certificate-authority": "ca.crt"},
        {
            "client-certificate": "me.crt",
            "client-key": str(folder / "me.key"),
            "tokenFile": "token",
            "token": "typed",
        },
    )
    access = context_access([written(folder / "config", content)], CONTEXT)
    assert asked(access) == {"user": "kubernetes-admin", "authorization": "Bearer from-a-file"}


def test_of_several_files_the_first_counts_and_a_missing_one_for_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    other = entries({"server": "https://127.0.0.1:1"}, {"token": "x"})
    paths = [
        tmp_path / "missing",
        written(tmp_path / "first", of_kind(cluster)),
        written(tmp_path / "second", {**other, **entries({}, {}, "more")}),
    ]
    assert context_access(paths, CONTEXT).endpoint == cluster.url
    assert context_names(paths) == (CONTEXT, "more")


def test_a_token_is_read_anew_when_it_was_refused(cluster: Cluster, tmp_path: Path) -> None:
    of_cluster = {"server": cluster.url, "certificate-authority-data": encoded(cluster.authority)}
    file = written(tmp_path / "config", entries(of_cluster, {"token": "old"}))
    access = context_access([file], CONTEXT)
    written(file, entries(of_cluster, {"token": "new"}))
    assert [access.token(refused) for refused in (False, True, False)] == ["old", "new", "new"]


def test_a_token_s_file_is_read_each_time_since_others_renew_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    of_cluster = {"server": cluster.url, "certificate-authority-data": encoded(cluster.authority)}
    (tmp_path / "token").write_text("old")
    file = written(tmp_path / "config", entries(of_cluster, {"tokenFile": "token"}))
    access = context_access([file], CONTEXT)
    (tmp_path / "token").write_text("new\n")
    assert access.token(False) == "new"
    (tmp_path / "token").unlink()
    with pytest.raises(KubernetesError, match=r"the token of context .* cannot be read: token"):
        access.token(False)


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "http": ({"server": "http://127.0.0.1:1"}, {}, "not https://"),
    "no authority": ({"certificate-authority-data": None}, {}, "which certificate of the server"),
    "unchecked": ({"insecure-skip-tls-verify": True}, {}, "which certificate of the server"),
    "old exec": (
        {},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "aws"}},
        "its apiVersion is 'client.authentication.k8s.io/v1alpha1'",
    ),
    "exec of text": ({}, {"exec": "aws"}, "exec of context 'kind-ray-platform' is not understood"),
    "provider": ({}, {"auth-provider": {"name": "gcp"}}, "signs in by auth-provider"),
    "password": ({}, {"username": "me", "password": "x"}, "signs in by username"),
    "somebody else": ({}, {"as": "admin"}, "signs in by as"),
    "half": ({}, {"client-key-data": None}, "a client certificate or a key, not both"),
    "nobody": (
        {},
        {"client-key-data": None, "client-certificate-data": None},
        "neither a token nor a client certificate",
    ),
    "no base64": ({}, {"client-key-data": "%%%"}, "client-key cannot be read"),
    "no PEM": ({}, {"client-key-data": encoded("no key")}, "is not understood"),
    "no file": (
        {"certificate-authority-data": None, "certificate-authority": "gone.crt"},
        {},
        "certificate-authority cannot be read: No such file",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_said_with_its_file_and_no_secret(
    cluster: Cluster, tmp_path: Path, case: str
) -> None:
    of_cluster, of_user, said = WRONG[case]
    content = of_kind(cluster)
    content["clusters"][0]["cluster"].update(of_cluster)
    content["users"][0]["user"].update(of_user)
    file = written(tmp_path / "config", content)
    with pytest.raises(KubernetesError, match=said) as refused:
        context_access([file], CONTEXT)
    assert refused.value.where == str(file)
    assert refused.value.fix
    assert encoded(cluster.client.key) not in str(refused.value)


def test_a_context_that_is_not_there_is_told_with_those_that_are(
    cluster: Cluster, tmp_path: Path
) -> None:
    file = written(tmp_path / "config", of_kind(cluster))
    with pytest.raises(
        KubernetesError, match=r"no context 'kind-other'; it has: kind-ray-platform"
    ):
        context_access([file], "kind-other")
    content = of_kind(cluster)
    content["contexts"][0]["context"]["user"] = "nobody"
    with pytest.raises(KubernetesError, match="names the user 'nobody', which is not there"):
        context_access([written(file, content)], CONTEXT)


@pytest.mark.parametrize(
    "text", ["clusters: [", "- a\n- b", "clusters: {}\nusers: 7", "users: [7]", "\x00"]
)
def test_a_malformed_file_is_said_without_its_text(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(KubernetesError, match="the kubeconfig is malformed") as refused:
        context_access([file], CONTEXT)
    assert refused.value.where == str(file)


def test_no_file_at_all_says_how_to_make_the_cluster(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="there is no kubeconfig file") as refused:
        context_access([tmp_path / "a", tmp_path / "b"], CONTEXT)
    assert "kind create cluster" in refused.value.fix
