# SPDX-License-Identifier: Apache-2.0
"""The form of values that JSON alone cannot carry, and what is made of it: the other way of _values.py.

docs/internals/values.md of the repository describes it.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, Callable

from . import Error

try:
    from . import _native
except ImportError:
    # Installed beside a guest, for type checkers and tests: there is no loader.
    _native = None  # type: ignore[assignment]

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


#: Integers beyond it are floats where they stand in JSON, as their writer's are.
SAFE = 2**53 - 1


def number(digits: str) -> int | float:
    """An integer in JSON; exact ones beyond 2^53 - 1 travel as tags, what else is large is a float there."""
    if len(digits) > 20 or digits == "-0":
        return real(digits)
    value = int(digits)
    return value if -SAFE <= value <= SAFE else float(digits)


def real(digits: str) -> float:
    """A number with a fraction or an exponent; not one that would become another."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is more than a float holds")
    return value


def constant(name: str) -> Any:
    """What some take for JSON, and nobody here writes."""
    raise ValueError(f"{name} is not JSON")


def revive(payload: memoryview) -> Any:
    """The value in an envelope. Bytes and arrays in it are views of the payload."""
    text, attachments = unpack(payload)
    hook = _Reviver(attachments).hook
    return json.loads(text, object_hook=hook, parse_int=number, parse_float=real, parse_constant=constant)


def _unfit(message: str) -> Error:
    return Error(message, code="invalid-argument")


class Keywords(dict[str, Any]):
    """Arguments by name: the last of a call's arguments, if it has any."""


def apply(function: Callable[..., Any], arguments: Sequence[Any], *stream: Any) -> Any:
    """Calls a function with the arguments of a request, and a stream behind them if there is one."""
    if arguments and type(arguments[-1]) is Keywords:
        return function(*arguments[:-1], *stream, **arguments[-1])
    return function(*arguments, *stream)


class _Reviver:
    def __init__(self, attachments: list[memoryview]) -> None:
        self._attachments = attachments

    def hook(self, made: dict[str, Any]) -> Any:
        """An object of the text; those within it have been here already."""
        if TAG not in made:
            return made
        parts = made[TAG]
        if len(made) != 1 or type(parts) is not list or not parts or type(parts[0]) is not str:
            raise ValueError("a tag of the envelope is none")
        make = _KINDS.get(parts[0])
        if make is None:
            raise ValueError(f"the envelope has a value of a kind that this kit does not know: {parts[0][:20]!r}")
        return make(self, *parts[1:])

    def bytes(self, index: Any) -> memoryview:
        if type(index) is not int or not 0 <= index < len(self._attachments):
            raise ValueError("the envelope has no such attachment")
        return self._attachments[index]

    def array(self, index: Any, kind: Any, shape: Any) -> Any:
        data, letter = self.bytes(index), LETTERS.get(kind)
        if letter is None or type(shape) is not list or not all(type(one) is int and one >= 0 for one in shape):
            raise ValueError("an array of the envelope has no type or no shape")
        if math.prod(shape) * struct.calcsize(f"<{letter}") != len(data):
            raise ValueError("an array of the envelope has other bytes than its shape says")
        # If the guest has imported it: a guest that has not would not know what to do with its arrays.
        make = getattr(sys.modules.get("numpy"), "ndarray", None)
        return _view(data, letter, shape) if make is None else make(shape, kind, data)

    def packed(self, index: Any) -> list[Any]:
        data = self.bytes(index)
        if len(data) % 8:
            raise ValueError("a list of the envelope is no whole number of floats")
        if _native is not None:
            return _native.unpack(data)
        return [_unpacked(one) for one in struct.unpack(f"<{len(data) // 8}d", data)]

    def map(self, pairs: Any) -> dict[Any, Any]:
        keys, values = _pairs(pairs)
        made = _hashed(keys, lambda: dict(zip(keys, values)), "Map", "key")
        assert isinstance(made, dict)
        return made

    def set(self, items: Any) -> set[Any]:
        if type(items) is not list:
            raise ValueError("a set of the envelope has no list")
        made = _hashed(items, lambda: set(items), "Set", "item")
        assert isinstance(made, set)
        return made

    def object(self, pairs: Any) -> dict[Any, Any]:
        return dict(zip(*_pairs(pairs)))

    def keywords(self, pairs: Any) -> Keywords:
        names, values = _pairs(pairs)
        if not all(type(name) is str for name in names):
            raise ValueError("a keyword of the envelope is no text")
        return Keywords(zip(names, values))

    def integer(self, digits: Any) -> int:
        if type(digits) is not str or not digits.lstrip("-").isalnum():
            raise ValueError("an integer of the envelope is none")
        return int(digits, 16)

    def number(self, text: Any) -> float:
        if text not in ("NaN", "Infinity", "-Infinity", "-0"):
            raise ValueError("a number of the envelope is none")
        return float(text)

    def date(self, milliseconds: Any, microseconds: Any = 0) -> Any:
        if type(milliseconds) is not int or type(microseconds) is not int or not 0 <= microseconds < 1000:
            raise ValueError("a date of the envelope is none")
        from datetime import datetime, timedelta, timezone

        epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
        try:
            return epoch + timedelta(milliseconds=milliseconds, microseconds=microseconds)
        except OverflowError:
            message = "a Date of a year that Python's datetime does not have (1 to 9999): pass its number"
            raise _unfit(message) from None

    def nothing(self) -> None:
        return None


_KINDS: dict[str, Callable[..., Any]] = {
    "b": _Reviver.bytes,
    "a": _Reviver.array,
    "l": _Reviver.packed,
    "i": _Reviver.integer,
    "n": _Reviver.number,
    "d": _Reviver.date,
    "m": _Reviver.map,
    "k": _Reviver.keywords,
    "s": _Reviver.set,
    "o": _Reviver.object,
    "u": _Reviver.nothing,
}


def _view(data: memoryview, letter: str, shape: list[int]) -> Any:
    """The numbers without numpy: a view, of as many dimensions."""
    if sys.byteorder != "little":
        raise _unfit("an array of numbers for a guest on a big-endian machine that has not imported numpy")
    try:
        return data.cast(letter) if len(shape) == 1 else data.cast(letter, shape)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        # Of 16-bit floats before Python 3.12, and of lengths of 0 in several dimensions.
        message = f"an array ({letter!r}, {shape}) that this Python has no view of: import numpy in the guest"
        raise _unfit(message) from None


def _unpacked(value: float) -> int | float:
    """As JSON has it: without a fraction it is an integer."""
    if value.is_integer() and -SAFE <= value <= SAFE and (value or math.copysign(1, value) > 0):
        return int(value)
    return value


def _pairs(pairs: Any) -> tuple[list[Any], list[Any]]:
    if type(pairs) is not list or len(pairs) % 2:
        raise ValueError("the envelope has a key without a value")
    return pairs[::2], pairs[1::2]


def _hashed(items: list[Any], make: Callable[[], Any], what: str, which: str) -> Any:
    """What `make` makes of items, if Python tells them apart as JavaScript does."""
    try:
        made = make()
    except TypeError:
        kind = next(type(one).__name__ for one in items if type(one).__hash__ is None)
        raise _unfit(f"a {what} with a {which} that is a {kind} here: pass {which}s that Python can hash") from None
    if len(made) != len(items):
        raise _unfit(f"a {what} with {which}s that are the same in Python, as 1 and true: pass an array of them")
    return made
