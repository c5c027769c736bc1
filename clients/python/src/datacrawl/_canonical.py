"""RFC 8785 JSON: names sorted by UTF-16 code units, numbers as ECMAScript writes them: equal values have one text and one digest."""

from __future__ import annotations

import hashlib
import json
import math

from ._json import Json

MAX_EXACT_INTEGER = 2**53 - 1


def canonical_json(value: Json) -> str:
    """The canonical text of `value`, a plain value: finite numbers, well-formed strings."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return canonical_string(value)
    if isinstance(value, (int, float)):
        return canonical_number(value)
    if isinstance(value, list):
        return "[" + ",".join([canonical_json(item) for item in value]) + "]"
    names = sorted(value, key=_utf16)
    return "{" + ",".join([canonical_string(name) + ":" + canonical_json(value[name]) for name in names]) + "}"


def canonical_string(text: str) -> str:
    # The standard encoder escapes exactly what RFC 8785 does, and in the same forms.
    return json.dumps(text, ensure_ascii=False)


def canonical_number(number: int | float) -> str:
    """As ECMAScript's Number::toString writes the double `number`."""
    double = float(number)
    if not math.isfinite(double):
        raise ValueError(f"{double} is not a finite number")
    if double == 0:
        return "0"
    # Both languages write the shortest digits that read back as the same double, in other notations.
    mantissa, _, exponent = repr(abs(double)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The decimal point is after this many of the digits.
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    sign = "-" if double < 0 else ""
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    first, rest = digits[0], digits[1:]
    return f"{sign}{first}{'.' if rest else ''}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def derived_key(*, agent_id: str, tool: str, canonical_payload: str, principal: str | None) -> str:
    """The idempotency key of an action that its caller did not name: equal requests of one agent are one action for 24 hours."""
    behalf = "" if principal is None else f'"principal":{canonical_string(principal)},'
    agent, tool = canonical_string(agent_id), canonical_string(tool)
    text = f'{{"agent":{agent},"payload":{canonical_payload},{behalf}"tool":{tool}}}'
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")
