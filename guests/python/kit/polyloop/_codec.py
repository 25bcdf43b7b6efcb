# SPDX-License-Identifier: Apache-2.0
"""Codecs that a Python guest knows: `json` by the stdlib, `msgpack` by the package of that name."""

from __future__ import annotations

import json
import sys
from json import encoder as json_encoder
from json import scanner as json_scanner
from typing import Any, Callable


class Codec:
    """What the loader needs of a codec; `scan` and `make_chunks` are JSON's shortcuts, or None."""

    def __init__(
        self,
        *,
        is_text: bool,
        decode: Callable[[Any], Any],
        encode: Callable[[Any], Any],
        scan: Callable[..., Any] | None = None,
        make_chunks: Callable[..., Any] | None = None,
    ) -> None:
        self.is_text = is_text
        self.decode = decode
        self.encode = encode
        self.scan = scan
        self.make_chunks = make_chunks


def named(name: str) -> Codec:
    """The codec that the host chose."""
    if name == "json":
        return _json()
    if name == "msgpack":
        return _msgpack()
    raise ValueError(f"a Python guest knows the codecs 'json' and 'msgpack', not {name!r}: choose one of them")


def _json() -> Codec:
    # ASCII here and not in the shortcut: only escapes can carry the lone surrogates that lead here.
    slow = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
    scan, make_chunks = _shortcuts(slow)
    return Codec(is_text=True, decode=json.loads, encode=slow.encode, scan=scan, make_chunks=make_chunks)


def _shortcuts(slow: json.JSONEncoder) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    """The C scanner and encoder inside `json`, if this Python has them as known, tried on a sample.

    The encoder gets no markers for cycles: it then shares no state between threads, and a cycle ends
    in a RecursionError, upon which the value is encoded the slow way, which says what is wrong.
    """
    sample = {"a": [1, -2.5, "é\n", None, True], "b": {}}
    text = '{"a":[1,-2.5,"é\\n",null,true],"b":{}}'
    try:
        scan = json_scanner.c_make_scanner(json.JSONDecoder())  # type: ignore[attr-defined]
        quote = json_encoder.encode_basestring
        make = json_encoder.c_make_encoder  # type: ignore[attr-defined]
        chunks = make(None, slow.default, quote, None, ":", ",", False, False, False)
        if scan(text, 0) == (sample, len(text)) and "".join(chunks(sample, 0)) == text:
            return scan, chunks
    except Exception:
        pass
    return None, None


def _msgpack() -> Codec:
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

    return Codec(is_text=False, decode=decode, encode=encode)
