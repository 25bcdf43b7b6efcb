# SPDX-License-Identifier: Apache-2.0
"""Values as they travel to the host: JSON if that carries them, else JSON with tags, and bytes attached to it.

docs/reference/values.md of the repository says what arrives as what. What nothing carries is refused,
with where it stands and what to do.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
from collections.abc import Iterable
from typing import Any, Callable

from . import _envelope, _kinds
from ._envelope import BYTES_AT, LETTERS, NUMBERS_AT, SAFE, TAG, pack

try:
    from . import _native
except ImportError:
    # Installed beside a guest, for type checkers and tests: there is no loader.
    _native = None  # type: ignore[assignment]

#: Levels that a value may be nested: serde_json reads no more.
DEEPEST = 127
#: Lists of numbers from this length on travel packed if they begin with a fraction.
SHORTEST_PACKED = 64

_IDENTIFIER = re.compile(r"[^\W\d]\w*\Z")

#: Texts as they are, and, for lone surrogates, escaped.
_json, _escaped = (
    json.JSONEncoder(ensure_ascii=escapes, check_circular=False, allow_nan=False, separators=(",", ":"))
    for escapes in (False, True)
)


class Unfit(TypeError):
    """A value that nothing carries."""


def encode(value: Any) -> bytes:
    """A value as it travels."""
    skeleton = Skeleton()
    tree = skeleton.of(value)
    try:
        text = _json.encode(tree).encode()
    except UnicodeEncodeError:
        text = _escaped.encode(tree).encode()
    return pack(text, skeleton.attachments) if skeleton.is_tagged else text


class Skeleton:
    """Makes plain JSON of a value, with tags for what is not."""

    def __init__(self) -> None:
        #: Buffers with their bytes, and what they begin at a multiple of.
        self.attachments: list[tuple[Any, int, int]] = []
        #: Whether there are tags: without any the text is JSON that anybody reads.
        self.is_tagged = False
        self._path: list[object] = []
        self._ancestors: set[int] = set()

    def of(self, value: Any) -> Any:
        """What stands for a value in the text."""
        kind = type(value)
        if kind is int and -SAFE <= value <= SAFE:
            return value
        make = _makers.get(kind)
        return make(self, value) if make else self._other(value)

    def _other(self, value: Any) -> Any:
        make = _kinds.find(value)
        if make is not None:
            return make(self, value)
        for base in _bases:
            if isinstance(value, base):
                return _makers[base](self, value)
        what, advice = _kinds.refusal(value)
        raise self.unfit(what, advice)

    def unfit(self, what: str, advice: str) -> Unfit:
        """The error for the value that is looked at."""
        path = "".join(map(_step, self._path))
        return Unfit(f"{what} at {path}: {advice}" if path else f"{what}: {advice}")

    def below(self, key: object, value: Any) -> Any:
        """What stands for a part of a value."""
        self._path.append(key)
        made = self.of(value)
        self._path.pop()
        return made

    def tag(self, kind: str, *parts: Any) -> dict[str, Any]:
        """A value that JSON does not have."""
        self.is_tagged = True
        return {TAG: [kind, *parts]}

    def attach(self, data: Any, length: int, multiple: int = NUMBERS_AT) -> int:
        """The number of what travels beside the text."""
        self.attachments.append((data, length, multiple))
        return len(self.attachments) - 1

    def same(self, value: Any) -> Any:
        return value

    def text(self, value: str) -> str:
        # Of classes derived from it, too; whatever those say of themselves.
        return str.__str__(value)

    def integer(self, value: int) -> Any:
        value = int.__index__(value)
        if -SAFE <= value <= SAFE:
            return value
        return self.tag("i", f"{value:x}")

    def real(self, value: float) -> Any:
        value = float.__float__(value)
        if math.isfinite(value):
            return value
        return self.tag("n", "NaN" if value != value else "Infinity" if value > 0 else "-Infinity")

    def sequence(self, values: list[Any] | tuple[Any, ...]) -> Any:
        packed = _pack(values)
        if packed is not None:
            return self.tag("l", self.attach(packed, len(packed)))
        return self.items(values, values)

    def items(self, values: Iterable[Any], holder: object) -> list[Any]:
        """What stands for the parts of something, in turn."""
        self.enter(holder)
        made = [value if type(value) in _leaves else self.below(index, value) for index, value in enumerate(values)]
        self.leave(holder)
        return made

    def members(self, values: Iterable[Any]) -> Any:
        return self.tag("s", self.items(values, values))

    def mapping(self, value: dict[Any, Any]) -> Any:
        self.enter(value)
        made = {}
        for key, one in dict.items(value):
            if type(key) is not str:
                if not isinstance(key, str):
                    self.leave(value)
                    return self.map(value)
                key = str.__str__(key)
            made[key] = one if type(one) in _leaves else self.below(key, one)
        self.leave(value)
        if len(made) != len(value):
            raise self.unfit("a dict with keys that are the same text", "return other keys")
        if TAG in made:
            return self.tag("o", [part for pair in made.items() for part in pair])
        return made

    def map(self, value: dict[Any, Any]) -> Any:
        """A dict with keys that are not text."""
        self.enter(value)
        parts = []
        for index, (key, one) in enumerate(dict.items(value)):
            parts.append(self.below(f"key {index}", key))
            parts.append(self.below(key if isinstance(key, (str, int)) else f"value {index}", one))
        self.leave(value)
        return self.tag("m", parts)

    def run(self, value: Any) -> Any:
        view = memoryview(value)
        return self.tag("b", self.attach(view, view.nbytes, BYTES_AT))

    def view(self, value: memoryview) -> Any:
        """Bytes, or an array if its numbers are something else."""
        data = value if value.c_contiguous else value.tobytes()
        if value.ndim == 1 and value.format in ("B", "c"):
            return self.tag("b", self.attach(data, value.nbytes, BYTES_AT))
        kind = _kinds.number_type(value.format, value.itemsize)
        if kind is None:
            raise self.unfit(f"a memoryview of format {value.format!r}", "return bytes(...) of it")
        return self.numbers(kind, data, value.nbytes, [] if value.shape is None else list(value.shape))

    def numbers(self, kind: str, data: Any, length: int, shape: list[int]) -> Any:
        """An array; its numbers lie as their type says, the last dimension together."""
        assert kind in LETTERS
        return self.tag("a", self.attach(data, length), kind, shape)

    def enter(self, value: object) -> None:
        """Begins a value that has parts."""
        if id(value) in self._ancestors:
            raise self.unfit("a cycle", "return a value that does not hold itself")
        if len(self._path) >= DEEPEST:
            raise self.unfit(f"a value below {DEEPEST} others", "nest less deeply")
        self._ancestors.add(id(value))

    def leave(self, value: object) -> None:
        self._ancestors.discard(id(value))


_makers: dict[type, Callable[[Skeleton, Any], Any]] = {
    type(None): Skeleton.same,
    bool: Skeleton.same,
    str: Skeleton.text,
    int: Skeleton.integer,
    float: Skeleton.real,
    dict: Skeleton.mapping,
    list: Skeleton.sequence,
    tuple: Skeleton.sequence,
    set: Skeleton.members,
    frozenset: Skeleton.members,
    bytes: Skeleton.run,
    bytearray: Skeleton.run,
    memoryview: Skeleton.view,
}

#: What is itself: looked at where it stands, since calls would cost more than all the rest.
_leaves = {type(None), bool, str}

#: What classes may be derived from.
_bases = (str, int, float, dict, list, tuple, set, frozenset, bytes, bytearray)


def _packed(values: list[Any] | tuple[Any, ...]) -> bytes | None:
    """A long list of numbers that begins with a fraction, and so is likely one of measurements."""
    if len(values) < SHORTEST_PACKED or type(values[0]) is not float or values[0].is_integer():
        return None
    for one in values:
        if type(one) is not float and (type(one) is not int or not -SAFE <= one <= SAFE):
            return None
    return struct.pack(f"<{len(values)}d", *values)


_pack: Callable[[Any], bytes | None] = _packed if _native is None else _native.pack


def _step(key: object) -> str:
    """The way from a value to one in it."""
    if isinstance(key, str):
        return f".{key}" if _IDENTIFIER.match(key) else f"[{json.dumps(key[:50])}]"
    return f"[{key}]"


class Codec:
    """What the loader needs of a codec."""

    def __init__(
        self,
        *,
        decode: Callable[[Any], Any],
        encode: Callable[[Any], Any],
        revive: Callable[[Any], Any] | None = None,
    ) -> None:
        #: Of a text if there is `revive`, else of a view of bytes.
        self.decode = decode
        self.encode = encode
        #: Makes values of envelopes, if the codec has those.
        self.revive = revive


def codec_named(name: str) -> Codec:
    """The codec that the host chose."""
    if name == "json":
        return _json_codec()
    if name == "msgpack":
        return _msgpack_codec()
    raise ValueError(f"a Python guest knows the codecs 'json' and 'msgpack', not {name!r}: choose one of them")


def _json_codec() -> Codec:
    # What is plain the loader does itself: this is for whatever it does not, or finds wrong.
    decoder = json.JSONDecoder(
        parse_int=_envelope.number, parse_float=_envelope.real, parse_constant=_envelope.constant
    )
    return Codec(decode=decoder.decode, encode=encode, revive=_envelope.revive)


def _msgpack_codec() -> Codec:
    try:
        import msgpack
    except ImportError as error:
        raise ModuleNotFoundError(
            f"the codec 'msgpack' needs the package msgpack: {sys.executable} -m pip install msgpack", name="msgpack"
        ) from error

    def decode(payload: memoryview) -> Any:
        return msgpack.unpackb(payload, strict_map_key=False, timestamp=3)

    def encode(value: Any) -> Any:
        return msgpack.packb(value, datetime=True)

    return Codec(decode=decode, encode=encode)
