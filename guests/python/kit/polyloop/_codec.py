# SPDX-License-Identifier: Apache-2.0
"""Codecs that a Python guest knows: `json` with what JSON lacks, `msgpack` by the package of that name."""

from __future__ import annotations

import json
import sys
from typing import Any, Callable

from . import _envelope, _values


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


def named(name: str) -> Codec:
    """The codec that the host chose."""
    if name == "json":
        return _json()
    if name == "msgpack":
        return _msgpack()
    raise ValueError(f"a Python guest knows the codecs 'json' and 'msgpack', not {name!r}: choose one of them")


def _json() -> Codec:
    # What is plain the loader does itself: this is for whatever it does not, or finds wrong.
    decoder = json.JSONDecoder(
        parse_int=_envelope.number, parse_float=_envelope.real, parse_constant=_envelope.constant
    )
    return Codec(decode=decoder.decode, encode=_values.encode, revive=_envelope.revive)


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

    return Codec(decode=decode, encode=encode)
