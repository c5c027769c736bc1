"""A request as it will be asked: copied once, and within the limits that the service holds too."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ._canonical import canonical_json, derived_key
from ._json import MAX_BYTES, Json, NotJson, plain_copy, text_problem

MAX_NAME_BYTES = 256


class NotAQuestion(Exception):
    """A request that breaks the contract. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Question:
    agent_id: str
    """Empty if only the sidecar knows the agent."""
    tool: str
    payload: dict[str, Json]
    idempotency_key: str
    principal: str | None
    session_id: str | None


def read_question(
    agent_id: str, *, tool: object, payload: object, idempotency_key: object, principal: object, session_id: object
) -> Question:
    """Raises NotAQuestion, naming the field, for a request that the service would refuse."""
    tool = _name("tool", tool)
    key = None if idempotency_key is None else _name("idempotency_key", idempotency_key)
    on_behalf = None if principal is None else _claim("principal", principal)
    session = None if session_id is None else _claim("session_id", session_id)
    try:
        plain = plain_copy({} if payload is None else payload)
    except NotJson as error:
        raise NotAQuestion(f"{error}.") from None
    canonical = canonical_json(plain)
    size = len(canonical.encode())
    if size > MAX_BYTES:
        raise NotAQuestion(f"payload must be at most {MAX_BYTES} bytes of canonical JSON, is {size}.")
    if key is None:
        if agent_id == "":
            # A key without the agent in it would be another one than that of a client that asks the service itself.
            raise NotAQuestion(
                "The agent is not known: set api_key (or DATACRAWL_API_KEY). With a sidecar set agent_id (or DATACRAWL_AGENT_ID), "
                "which the derived idempotency key contains, or give an idempotency_key."
            )
        key = derived_key(agent_id=agent_id, tool=tool, canonical_payload=canonical, principal=on_behalf)
    return Question(agent_id, tool, plain, key, on_behalf, session)


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise NotAQuestion(f"{field} must be a str, is a {type(value).__name__}.")
    text = str.__str__(value)
    if text == "":
        raise NotAQuestion(f"{field} must not be empty.")
    problem = text_problem(text)
    if problem is not None:
        raise NotAQuestion(f"{field} {problem}.")
    size = len(text.encode())
    if size > MAX_NAME_BYTES:
        raise NotAQuestion(f"{field} must be at most {MAX_NAME_BYTES} bytes, is {size}.")
    return text


_name = _text


def _claim(field: str, value: object) -> str:
    text = _text(field, value)
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise NotAQuestion(f"{field} must not contain control characters.")
    return text
