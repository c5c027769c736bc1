"""The options of a client, and what stands in for them in the environment."""

from __future__ import annotations

import ipaddress
import logging
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ._circuit import CircuitConfig
from ._credentials import NO_TOKEN, TOKEN, Credentials, TokenSource, tls_context
from ._guard import MAX_TIMEOUT, GuardSettings
from ._transport import Endpoint
from ._verdict import Verdict

DEFAULT_URL = "http://127.0.0.1:7440"
DEFAULT_TIMEOUT = 5.0
_API_KEY = re.compile("dc_agent_([a-z0-9][a-z0-9.-]{0,62})_[0-9a-f]{12}_[0-9a-f]{64}")
_AGENT_ID = re.compile("[a-z0-9][a-z0-9.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Options:
    """As given to `DataCrawl`, whose documentation they have."""

    url: str | None
    api_key: str | None
    timeout: float
    token: TokenSource | None
    client_certificate: tuple[str, str] | None
    agent_id: str | None
    ca_file: str | None
    sidecar: str | None
    circuit_failures: int
    probe_after: float
    on_verdict: Callable[[Verdict, str], object] | None
    logger: logging.Logger | None


@dataclass(frozen=True, slots=True)
class ClientSettings:
    endpoint: Endpoint
    credentials: Credentials
    guard: GuardSettings
    circuit: CircuitConfig


def read_options(options: Options, env: Mapping[str, str]) -> ClientSettings:
    """Raises ValueError naming every problem; never with a credential in it."""
    problems: list[str] = []
    named = options.sidecar or (None if options.url else env.get("DATACRAWL_SIDECAR"))
    if options.sidecar and options.url:
        problems.append("sidecar replaces url: give only one of them")
    endpoint = (
        _sidecar(named, problems)
        if named
        else _service(options.url or env.get("DATACRAWL_URL") or DEFAULT_URL, problems)
    )
    agent = _agent(options, env, endpoint, named is not None or endpoint.port == 0, problems)
    has_credential = agent.bearer is not None or agent.certificate is not None
    is_local = endpoint.port == 0 or _is_loopback(endpoint.host)
    if not has_credential and not is_local:
        problems.append("api_key (or DATACRAWL_API_KEY) must be dc_agent_<agent id>_<key id>_<secret>")
    ca_file = options.ca_file or env.get("DATACRAWL_CA_FILE") or None
    _check_tls(endpoint, agent.certificate, ca_file, problems)
    if not _is_number(options.timeout) or not 0 < options.timeout <= MAX_TIMEOUT:
        problems.append(f"timeout must be a number of seconds, above 0 and at most {MAX_TIMEOUT:g}")
    if not isinstance(options.circuit_failures, int) or options.circuit_failures < 1:
        problems.append("circuit_failures must be a whole number from 1")
    if not _is_number(options.probe_after) or not 0.001 <= options.probe_after <= 3600:
        problems.append("probe_after must be a number of seconds from 0.001 to 3600")
    if options.on_verdict is not None and not callable(options.on_verdict):
        problems.append("on_verdict must be a function")
    if problems:
        raise ValueError("; ".join(problems))
    return ClientSettings(
        endpoint=endpoint,
        credentials=Credentials(agent.bearer, agent.certificate, ca_file),
        guard=GuardSettings(
            agent_id=agent.agent_id,
            # The service answers nobody without a credential, so an address on this machine is then a sidecar's.
            sidecar=named is not None or endpoint.port == 0 or not has_credential,
            timeout=options.timeout,
            logger=options.logger or logging.getLogger("datacrawl"),
        ),
        circuit=CircuitConfig(failures=options.circuit_failures, probe_after_ms=options.probe_after * 1000),
    )


def _sidecar(address: str, problems: list[str]) -> Endpoint:
    url = address if "://" in address or address.startswith("unix:") else f"http://{address}"
    found: list[str] = []
    endpoint = _service(url, found)
    if found or endpoint.secure or (endpoint.port != 0 and not _is_loopback(endpoint.host)):
        problems.append(
            "sidecar (or DATACRAWL_SIDECAR) must be host:port of this machine, or unix: with an absolute path"
        )
    return endpoint


def _service(url: str, problems: list[str]) -> Endpoint:
    if isinstance(url, str) and url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            problems.append(
                "url (or DATACRAWL_URL) must name a Unix socket by its absolute path, as in unix:/run/datacrawl.sock"
            )
        return Endpoint(path, 0, secure=False)
    try:
        parts = urllib.parse.urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port if parts.port is not None else (443 if secure else 80)
        is_origin = parts.scheme in ("http", "https") and host != "" and port > 0 and "@" not in parts.netloc
        is_origin = is_origin and parts.path in ("", "/") and not parts.query and not parts.fragment
    except (ValueError, AttributeError, TypeError):
        host, port, secure, is_origin = "", 1, True, False
    if not is_origin:
        problems.append(
            "url (or DATACRAWL_URL) must be http:// or https:// with a host and a port, or unix: with a path, and nothing else"
        )
    elif not secure and not _is_loopback(host):
        problems.append("url (or DATACRAWL_URL) must be https://, since it is not this machine")
    return Endpoint(host, port, secure)


@dataclass(frozen=True, slots=True)
class _Agent:
    agent_id: str
    bearer: str | TokenSource | None
    certificate: tuple[str, str] | None


def _agent(
    options: Options, env: Mapping[str, str], endpoint: Endpoint, asks_sidecar: bool, problems: list[str]
) -> _Agent:
    """Who the agent is by the options or, where they hold no proof, by the environment."""
    api_key, token, certificate = options.api_key, options.token, options.client_certificate
    # A sidecar has a credential of its own; those of the environment are for the service.
    if api_key is None and token is None and certificate is None and not asks_sidecar:
        api_key, token, certificate = _from_environment(env, problems)
    agent_id = options.agent_id or (env.get("DATACRAWL_AGENT_ID") if options.api_key is None else None) or ""
    if api_key is not None and token is not None:
        problems.append("token (or DATACRAWL_TOKEN_FILE) replaces a key: give only one of them")
    if token is not None and not callable(token):
        problems.append("token must be a function that returns a token")
    if agent_id and not _AGENT_ID.fullmatch(agent_id):
        problems.append("agent_id (or DATACRAWL_AGENT_ID) must be the id of an agent")
    if api_key is not None:
        match = _API_KEY.fullmatch(api_key) if isinstance(api_key, str) else None
        if match is None:
            problems.append("api_key (or DATACRAWL_API_KEY) must be dc_agent_<agent id>_<key id>_<secret>")
        elif agent_id not in ("", match[1]):
            problems.append(f"agent_id (or DATACRAWL_AGENT_ID) must be {match[1]}, the agent of the key")
        else:
            agent_id = match[1]
    elif (token is not None or certificate is not None) and agent_id == "":
        problems.append("agent_id (or DATACRAWL_AGENT_ID) must be the agent that the token or the certificate names")
    if certificate is not None and not endpoint.secure:
        problems.append("client_certificate (or DATACRAWL_CLIENT_CERT_FILE) needs a url that begins with https://")
    return _Agent(agent_id, token if token is not None else api_key, certificate)


def _from_environment(
    env: Mapping[str, str], problems: list[str]
) -> tuple[str | None, TokenSource | None, tuple[str, str] | None]:
    certificate, key = env.get("DATACRAWL_CLIENT_CERT_FILE"), env.get("DATACRAWL_CLIENT_KEY_FILE")
    token: TokenSource | None = None
    if path := env.get("DATACRAWL_TOKEN_FILE"):
        file = Path(path)
        token = file.read_text
        try:
            if not TOKEN.fullmatch(file.read_text().strip()):
                problems.append(f"token (or DATACRAWL_TOKEN_FILE) is {path}, which holds {NO_TOKEN}")
        except (OSError, ValueError) as error:
            problems.append(f"token (or DATACRAWL_TOKEN_FILE) cannot be read ({type(error).__name__})")
    pair = (certificate or "", key or "") if certificate or key else None
    return env.get("DATACRAWL_API_KEY") or None, token, pair


def _check_tls(
    endpoint: Endpoint, certificate: tuple[str, str] | None, ca_file: str | None, problems: list[str]
) -> None:
    """The same that each call does with the files, so that what is wrong from the start is said at the start."""
    if not endpoint.secure:
        return
    try:
        tls_context(None, ca_file)
    except (OSError, ValueError) as error:
        problems.append(f"ca_file must be a file of certificates in PEM ({type(error).__name__})")
        return
    try:
        if certificate is not None:
            tls_context(certificate, ca_file)
    except (OSError, ValueError, TypeError) as error:
        problems.append(
            "client_certificate (or DATACRAWL_CLIENT_CERT_FILE and DATACRAWL_CLIENT_KEY_FILE) must be the paths of a certificate"
            f" and its key in PEM ({type(error).__name__})"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback and (address.version == 4 or address == ipaddress.ip_address("::1"))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
