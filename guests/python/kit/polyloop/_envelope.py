# SPDX-License-Identifier: Apache-2.0
"""The form of values that JSON alone cannot carry: docs/internals/values.md of the repository describes it."""

from __future__ import annotations

import struct
from typing import Any

#: The first byte: no JSON text begins with it.
MARK = 1
_VERSION = 1

#: Mark, version, nothing, bytes of the text, attachments, nothing.
_HEADER = struct.Struct("<BBHIII")
#: Where an attachment begins, and its bytes.
_ENTRY = struct.Struct("<QQ")

#: What attachments begin at a multiple of: those of numbers, and those of bytes.
NUMBERS_AT, BYTES_AT = 64, 8

#: The key of tags. A dict that has it travels as pairs.
TAG = "~"

#: The letter of `struct` and `memoryview` for each type of numbers, which is numpy's `dtype.str`.
LETTERS = {
    "|b1": "?",
    "|i1": "b",
    "|u1": "B",
    "<i2": "h",
    "<u2": "H",
    "<i4": "i",
    "<u4": "I",
    "<i8": "q",
    "<u8": "Q",
    "<f2": "e",
    "<f4": "f",
    "<f8": "d",
}


def pack(text: bytes, attachments: list[tuple[Any, int, int]]) -> bytes:
    """A payload of a text and its attachments: each a buffer, its bytes, and what it begins at a multiple of."""
    places, end = [], _HEADER.size + _ENTRY.size * len(attachments) + len(text)
    parts: list[Any] = [text]
    for data, length, multiple in attachments:
        gap = -end % multiple
        places.append(_ENTRY.pack(end + gap, length))
        # Zeros between them: nothing of this process's memory goes along.
        parts += (bytes(gap), data)
        end += gap + length
    return b"".join((_HEADER.pack(MARK, _VERSION, 0, len(text), len(attachments), 0), *places, *parts))


def unpack(payload: memoryview) -> tuple[str, list[memoryview]]:
    """The text and the attachments of a payload; each word is read once."""
    if len(payload) < _HEADER.size:
        raise ValueError("the envelope is shorter than its header")
    mark, version, _, length, count, _ = _HEADER.unpack_from(payload)
    if (mark, version) != (MARK, _VERSION):
        raise ValueError(f"the envelope is of version {version}, and this kit knows version {_VERSION}")
    begin = _HEADER.size + _ENTRY.size * count
    end = begin + length
    if end > len(payload):
        raise ValueError("the envelope's text ends beyond it")
    text = str(payload[begin:end], "utf-8")
    attachments = []
    for index in range(count):
        start, size = _ENTRY.unpack_from(payload, _HEADER.size + _ENTRY.size * index)
        if start < end or start + size > len(payload):
            raise ValueError(f"the envelope's attachment {index} does not lie where one may")
        end = start + size
        attachments.append(payload[start:end])
    return text, attachments
