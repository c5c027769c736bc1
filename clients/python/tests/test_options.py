"""The options of a client, TLS and credentials."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest
from conftest import Both
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from server import AGENT, API_KEY, allow, serving

from datacrawl import DataCrawl

Pair = tuple[str, str]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "http://authz.internal:7440"}, "must be https://"),
        ({"url": "http://192.0.2.1:7440"}, "must be https://"),
        ({"url": "http://[::]:7440"}, "must be https://"),
        ({"url": "ftp://127.0.0.1:7440"}, "must be http"),
        ({"url": "http://127.0.0.1:7440/path"}, "must be http"),
        ({"url": "http://127.0.0.1:7440?a=b"}, "must be http"),
        ({"url": "http://user:s3cret@127.0.0.1:7440"}, "must be http"),
        ({"url": "http://127.0.0.1:99999"}, "must be http"),
        ({"url": "7440"}, "must be http"),
        ({"url": "unix:relative"}, "absolute path"),
        ({"url": "https://authz.internal:7440"}, "api_key .* must be dc_agent_"),
        ({"sidecar": "authz.internal:7443"}, "sidecar .* must be host:port of this machine"),
        ({"sidecar": "https://127.0.0.1:7443"}, "sidecar .* must be host:port of this machine"),
        ({"sidecar": "unix:relative"}, "sidecar .* must be host:port of this machine"),
        ({"sidecar": "127.0.0.1:7443", "url": "http://127.0.0.1:7440"}, "sidecar replaces url"),
        ({"api_key": "s3cret"}, "api_key .* must be dc_agent_"),
        ({"api_key": 7}, "api_key .* must be dc_agent_"),
        ({"agent_id": "other", "api_key": API_KEY}, "must be demo"),
        ({"token": "s3cret", "agent_id": AGENT}, "token must be a function"),
        ({"token": lambda: "", "api_key": API_KEY}, "give only one"),
        ({"token": lambda: ""}, "agent_id .* must be the agent"),
        ({"client_certificate": ("a", "b"), "agent_id": AGENT}, "needs a url that begins with https"),
        ({"url": "https://authz:1", "client_certificate": ("a", "b"), "agent_id": AGENT}, "paths of a certificate"),
        ({"url": "https://authz:1", "ca_file": "/nowhere"}, "ca_file must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": 601}, "timeout must be"),
        ({"timeout": True}, "timeout must be"),
        ({"circuit_failures": 0}, "circuit_failures must be"),
        ({"probe_after": 0}, "probe_after must be"),
        ({"on_verdict": 7}, "on_verdict must be"),
    ],
    ids=str,
)
def test_says_what_is_wrong_with_an_option(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        DataCrawl(**options)
    assert "s3cret" not in str(raised.value)


def test_names_every_wrong_option_at_once() -> None:
    with pytest.raises(ValueError, match=r"url .*; api_key .*; timeout .*; circuit_failures"):
        DataCrawl("http://authz", "key", 0, circuit_failures=0)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://127.1.2.3:1", "http://localhost:1", "http://[::1]:1", "https://authz:1"]
)
def test_plain_text_is_for_this_machine_alone(url: str) -> None:
    DataCrawl(url, API_KEY).close()


def test_takes_what_is_missing_from_the_environment(
    client: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(allow) as server:
        monkeypatch.setenv("DATACRAWL_URL", server.url)
        monkeypatch.setenv("DATACRAWL_API_KEY", API_KEY)
        assert client().authorize(tool="mail").allowed
        monkeypatch.delenv("DATACRAWL_API_KEY")
        (tmp_path / "token").write_text("first\n")
        monkeypatch.setenv("DATACRAWL_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("DATACRAWL_AGENT_ID", AGENT)
        dc = client()
        assert dc.authorize(tool="mail").allowed
        (tmp_path / "token").write_text("second")
        assert dc.authorize(tool="mail").allowed
        assert [asked.headers["authorization"] for asked in server.asked] == [
            f"Bearer {API_KEY}",
            "Bearer first",
            "Bearer second",
        ]
        (tmp_path / "token").write_text("")
        assert dc.authorize(tool="mail").code == "BAD_CREDENTIAL"
        with pytest.raises(ValueError, match="holds no token"):
            client()


def test_without_a_credential_says_what_to_set(client: Both) -> None:
    assert "DATACRAWL_API_KEY" in client("http://127.0.0.1:1").authorize(tool="mail").message


CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Issues certificates into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        certificate = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None), [])
        self.file = self._write("authority.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, names: list[x509.GeneralName]) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, x509.BasicConstraints(ca=False, path_length=None), names)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = certificate.public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.pem", public), self._write(f"{name}.key", pem)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.timezone.utc)
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        builder = builder.add_extension(constraints, critical=True)
        # Python 3.13 asks for them.
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(authority, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if constraints.ca:
            builder = builder.add_extension(CA_USAGE, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, data: bytes) -> str:
        path = self._directory / name
        path.write_bytes(data)
        return str(path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server_context(pair: Pair, authority: Authority, alpn: str = "h2") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols([alpn])
    return context


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def test_asks_over_tls_with_a_client_certificate_that_may_be_replaced(client: Both, authority: Authority) -> None:
    context = server_context(authority.issue("server", [LOOPBACK]), authority)
    agent = authority.issue("agent", [])
    with serving(allow, context) as server:
        dc = client(server.url, client_certificate=agent, agent_id=AGENT, ca_file=authority.file)
        assert dc.authorize(tool="mail").allowed
        assert dc.authorize(tool="mail").allowed
        assert server.connections == 1
        authority.issue("agent", [])
        assert dc.authorize(tool="mail").allowed
        assert server.connections == 2
        Path(agent[1]).write_text("half of a file")
        assert dc.authorize(tool="mail").allowed


@pytest.mark.parametrize(
    "fault", ["the authority is another one", "the name is another one", "the protocol is another one"]
)
def test_asks_nothing_where_the_server_is_not_the_right_one(
    client: Both, authority: Authority, tmp_path: Path, fault: str
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    issuer = other if "authority" in fault else authority
    name: x509.GeneralName = x509.DNSName("authz.internal") if "name" in fault else LOOPBACK
    context = server_context(issuer.issue("server", [name]), authority, "http/1.1" if "protocol" in fault else "h2")
    with serving(allow, context) as server:
        verdict = client(server.url, API_KEY, ca_file=authority.file).authorize(tool="mail", timeout=3)
        assert (verdict.decision, verdict.reason) == ("deny", "SERVICE_UNAVAILABLE")
        assert server.asked == []
