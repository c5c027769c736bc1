"""
The protobuf wire format, read strictly: what two parsers could read differently is an error.

Written here because the protobuf runtime takes the last of repeated fields, skips a known field of another wire type, and cuts
2**32 + 1 to 1. Each of these turns a spoiled answer into an allow.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, TypeAlias

from ._json import Json

Kind: TypeAlias = Literal["number", "string", "bytes", "timestamp"]
Fields: TypeAlias = Mapping[int, tuple[str, Kind]]
"""A message's fields by number: what each is called, and what it holds."""

Value: TypeAlias = "int | str | bytes"

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MAX_UINT32 = 0xFFFFFFFF
_MAX_MICROS = 2**53 - 1


class Undecodable(Exception):
    """The bytes are not the message. The text ends a sentence that begins with "the answer"."""


def decode(message: bytes, fields: Fields) -> dict[str, Value]:
    """
    The known fields that are there, each once and of its wire type. A timestamp is microseconds. Unknown fields are skipped, so that
    the contract can grow.
    """
    values: dict[str, Value] = {}
    reader = _Reader(message)
    while reader.more:
        number, wire_type = reader.tag()
        known = fields.get(number)
        if known is None:
            reader.skip(wire_type)
            continue
        name, kind = known
        if wire_type != (VARINT if kind == "number" else BYTES):
            raise Undecodable(f"has {name} with wire type {wire_type}")
        if name in values:
            raise Undecodable(f"has {name} twice")
        if kind == "number":
            values[name] = reader.varint()
        elif kind == "bytes":
            values[name] = reader.data()
        elif kind == "string":
            values[name] = _text(reader.data())
        else:
            values[name] = _timestamp(reader.data(), name)
    return values


def unknown_fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """All fields of a message whose shape is not known, varints and bytes alone."""
    found: list[tuple[int, int | bytes]] = []
    reader = _Reader(message)
    while reader.more:
        number, wire_type = reader.tag()
        if wire_type == BYTES:
            found.append((number, reader.data()))
        elif wire_type == VARINT:
            found.append((number, reader.varint()))
        else:
            reader.skip(wire_type)
    return found


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Undecodable("is not valid UTF-8") from None


def _timestamp(data: bytes, name: str) -> int:
    """A google.protobuf.Timestamp from 1970 on, in microseconds."""
    reader, parts = _Reader(data), {1: -1, 2: -1}
    while reader.more:
        number, wire_type = reader.tag()
        if number in parts:
            if wire_type != VARINT or parts[number] != -1:
                raise Undecodable("occurs twice or has another type on the wire")
            parts[number] = reader.varint()
        else:
            reader.skip(wire_type)
    seconds, nanos = max(parts[1], 0), max(parts[2], 0)
    micros = seconds * 1_000_000 + nanos // 1000
    if nanos > 999_999_999 or micros > _MAX_MICROS:
        raise Undecodable(f"has a {name} that is out of range")
    return micros


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def tag(self) -> tuple[int, int]:
        tag = self._uint32("a tag")
        if tag < 8:
            raise Undecodable("has a field numbered 0")
        return tag >> 3, tag & 7

    def varint(self) -> int:
        value = 0
        for index in range(10):
            if self._at >= len(self._data):
                raise Undecodable("is cut short")
            byte = self._data[self._at]
            self._at += 1
            if index == 9 and byte > 1:
                break
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise Undecodable("has a varint that is longer than its shortest form")
                return value
        raise Undecodable("has a varint of more than 64 bits")

    def data(self) -> bytes:
        length = self._uint32("a length")
        return self._take(length)

    def skip(self, wire_type: int) -> None:
        if wire_type == VARINT:
            self.varint()
        elif wire_type == BYTES:
            self.data()
        elif wire_type == FIXED64:
            self._take(8)
        elif wire_type == FIXED32:
            self._take(4)
        else:
            raise Undecodable(f"has a field of wire type {wire_type}")

    def _uint32(self, what: str) -> int:
        value = self.varint()
        if value > _MAX_UINT32:
            raise Undecodable(f"has {what} out of range")
        return value

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise Undecodable("is cut short")
        taken = self._data[self._at : end]
        self._at = end
        return taken


def encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_bytes(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | BYTES) + encode_varint(len(data)) + data


def encode_text(number: int, text: str) -> bytes:
    """As proto3 does: a text that is empty is absent."""
    return encode_bytes(number, text.encode()) if text else b""


def encode_number(number: int, value: int) -> bytes:
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def encode_struct(members: Mapping[str, Json]) -> bytes:
    """A google.protobuf.Struct."""
    entries = [encode_bytes(1, name.encode()) + encode_bytes(2, _value(member)) for name, member in members.items()]
    return b"".join([encode_bytes(1, entry) for entry in entries])


def _value(value: Json) -> bytes:
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return b"\x20\x01" if value else b"\x20\x00"
    if isinstance(value, (int, float)):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, str):
        return encode_bytes(3, value.encode())
    if isinstance(value, dict):
        return encode_bytes(5, encode_struct(value))
    return encode_bytes(6, b"".join([encode_bytes(1, _value(item)) for item in value]))
