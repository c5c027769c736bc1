"""What proves to the service who asks."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ._deadline import Deadline, DeadlinePassed
from ._io import Io

TokenSource: TypeAlias = "Callable[[], str | Awaitable[str]]"
"""Returns the agent's JWT. Called before each attempt, so it should cache the token until shortly before it expires."""

TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
NO_TOKEN = "no token: it must be up to 16384 visible characters of ASCII"  # noqa: S105


class Unsent(Exception):
    """The agent cannot say who it is. The message never contains what was read."""


class Credentials:
    """
    :param bearer: an API key, a source of tokens, or None
    :param certificate: the paths of a client certificate and its key, read again when they change
    :param ca_file: authorities to trust instead of the system's
    """

    def __init__(
        self, bearer: str | TokenSource | None, certificate: tuple[str, str] | None, ca_file: str | None
    ) -> None:
        self._bearer = bearer
        self._certificate = certificate
        self._ca_file = ca_file
        self._context: tuple[object, ssl.SSLContext] | None = None

    async def authorization(self, io: Io, deadline: Deadline) -> str | None:
        """The header. Raises Unsent."""
        if self._bearer is None or isinstance(self._bearer, str):
            return None if self._bearer is None else f"Bearer {self._bearer}"
        try:
            # Half of the call's time: an agent that gets no token in time must not look like a service that does not answer.
            token = await io.call(self._bearer, deadline.within(deadline.remaining() / 2))
        except DeadlinePassed:
            raise Unsent("the token did not come in time") from None
        except Exception as error:
            # Not its message: the text of other code's errors may contain the token.
            raise Unsent(f"the token cannot be had ({type(error).__name__})") from error
        text = token.strip() if isinstance(token, str) else ""
        if not TOKEN.fullmatch(text):
            raise Unsent(f"the option token, or DATACRAWL_TOKEN_FILE, gave {NO_TOKEN}")
        return f"Bearer {text}"

    def context(self) -> ssl.SSLContext:
        """
        The same object as long as the files of the certificate are the same. While they cannot be read, or do not belong together (one
        has been replaced and the other not yet), the last one. Raises Unsent.
        """
        try:
            version = [_version(path) for path in self._certificate or ()]
            if self._context is None or self._context[0] != version:
                self._context = (version, tls_context(self._certificate, self._ca_file))
        except (OSError, ValueError) as error:
            if self._context is None:
                raise Unsent(f"the certificate cannot be used ({type(error).__name__})") from error
        return self._context[1]


def tls_context(certificate: tuple[str, str] | None, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        # The password is there so that nothing asks for one on the terminal.
        context.load_cert_chain(*certificate, password="")
    return context


def _version(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino
