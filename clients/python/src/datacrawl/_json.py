"""JSON values, and plain copies of what callers pass as such."""

from __future__ import annotations

import math
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value that JSON can hold."""

MAX_DEPTH = 32
MAX_BYTES = 256 * 1024
_MAX_EXACT_INTEGER = 2**53 - 1


class NotJson(Exception):
    """A value that is not JSON, or over a limit. The message is a sentence without its period."""


def plain_copy(value: object, path: str = "payload") -> dict[str, Json]:
    """
    A copy of a payload in plain JSON types, each value of which was read exactly once. Subclasses (an enum of strings, NumPy's
    float64) become what they are a subclass of: what is asked about is what is then seen.
    """
    if not isinstance(value, dict):
        raise NotJson(f"{path} must be a dict, is a {_name_of(value)}")
    return _copy_dict(value, path, _Budget(), MAX_DEPTH)


class _Budget:
    """Bounds the work on values that are small in memory and large as JSON: each takes at least one byte."""

    def __init__(self) -> None:
        self.left = MAX_BYTES

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise NotJson(f"payload must be at most {MAX_BYTES} bytes of JSON")


def _copy(value: object, path: str, budget: _Budget, depth: int) -> Json:
    if value is None or value is True or value is False:
        budget.take(1)
        return value
    if isinstance(value, str):
        return _copy_text(value, path, budget)
    if isinstance(value, int):
        budget.take(1)
        return _exact(int.__index__(value), path)
    if isinstance(value, float):
        budget.take(1)
        return _copy_float(float.__float__(value), path)
    if isinstance(value, dict):
        return _copy_dict(value, path, budget, depth)
    if isinstance(value, (list, tuple)):
        return _copy_list(value, path, budget, depth)
    raise NotJson(f"{path} must be a JSON value, is a {_name_of(value)}")


def _copy_text(value: str, path: str, budget: _Budget) -> str:
    text = str.__str__(value)
    budget.take(len(text) + 2)
    problem = text_problem(text)
    if problem is not None:
        raise NotJson(f"{path} {problem}")
    return text


def _copy_float(number: float, path: str) -> float:
    if not math.isfinite(number):
        raise NotJson(f"{path} must be a finite number, is {number}")
    if number.is_integer():
        _exact(int(number), path)
    return number


def _exact(number: int, path: str) -> int:
    """Beyond ±(2⁵³ − 1) one double stands for several integers: what is judged and what is then done could be different numbers."""
    if abs(number) > _MAX_EXACT_INTEGER:
        raise NotJson(
            f"{path} is beyond ±{_MAX_EXACT_INTEGER}, the integers that a double holds exactly; send it as a string"
        )
    return number


def _copy_list(items: list[object] | tuple[object, ...], path: str, budget: _Budget, depth: int) -> list[Json]:
    _descend(path, budget, depth)
    items = list.copy(items) if isinstance(items, list) else list(tuple.__iter__(items))
    return [_copy(item, f"{path}[{index}]", budget, depth - 1) for index, item in enumerate(items)]


def _copy_dict(members: dict[object, object], path: str, budget: _Budget, depth: int) -> dict[str, Json]:
    _descend(path, budget, depth)
    copy: dict[str, Json] = {}
    for name, member in dict.items(members):
        if not isinstance(name, str):
            raise NotJson(f"{path} has a name that is a {_name_of(name)}, not a str")
        plain = _copy_text(name, f"a name in {path}", budget)
        copy[plain] = _copy(member, f"{path}.{plain}", budget, depth - 1)
    return copy


def _descend(path: str, budget: _Budget, depth: int) -> None:
    if depth < 1:
        raise NotJson(f"{path[:200]} is nested too deep, or contains itself")
    budget.take(1)


def text_problem(text: str) -> str | None:
    """Why `text` cannot be sent, as the end of a sentence; None if it can."""
    if "\0" in text:
        return "must not contain NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must not contain a lone surrogate"
    return None


def _name_of(value: object) -> str:
    return type(value).__name__
