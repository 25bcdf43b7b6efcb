# SPDX-License-Identifier: Apache-2.0
"""What the kit makes of values, and of envelopes; run with PYTHONPATH=guests/python/kit."""

from __future__ import annotations

import contextlib
import datetime
import enum
import importlib.util
import json
import math
import os
import random
import struct
import subprocess
import sys
import unittest
from typing import Any

from polyloop import Error
from polyloop._envelope import MARK, number, pack, revive, unpack
from polyloop._values import Unfit, encode

CASES = int(os.environ.get("POLYLOOP_FUZZ_CASES", "2000"))
UTC = datetime.timezone.utc


def there_and_back(value: Any) -> Any:
    payload = encode(value)
    return revive(memoryview(payload)) if payload[0] == MARK else json.loads(payload, parse_int=number)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, of the same types, NaN and the sign of zero included."""
    if isinstance(other, memoryview) and other.format == "B" and other.ndim == 1:
        return isinstance(one, (bytes, bytearray, memoryview)) and bytes(one) == bytes(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (one != one and other != other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def anything(pick: random.Random, depth: int = 0) -> Any:
    """Some value that comes back as it is."""
    leaves = [
        lambda: None,
        lambda: pick.random() < 0.5,
        lambda: pick.randint(-(2**53) + 1, 2**53 - 1),
        lambda: pick.choice([1, -1]) * (2**53 + pick.getrandbits(pick.randint(1, 200))),
        lambda: struct.unpack("d", pick.randbytes(8))[0],
        lambda: pick.choice([0.5, -0.0, math.inf, -math.inf, math.nan, 1e300, 0.1]),
        lambda: "".join(map(chr, (pick.choice([pick.randrange(128), pick.randrange(0x11_0000)]) for _ in range(5)))),
        lambda: pick.choice(["", "~", "__proto__", "\ud800", "\udc00x", '"\\\n']),
        lambda: pick.randbytes(pick.choice([0, 1, 7, 8, 9, 3000])),
        lambda: datetime.datetime.fromtimestamp(pick.randint(-(2**32), 2**32), UTC).replace(
            microsecond=pick.randrange(10**6)
        ),
        lambda: [pick.random() + 0.25 for _ in range(pick.choice([63, 64, 100]))],
        lambda: {pick.randint(0, 9) for _ in range(3)},
    ]
    if depth < 4 and pick.random() < 0.5:
        count = pick.randrange(5)
        if pick.random() < 0.4:
            return [anything(pick, depth + 1) for _ in range(count)]
        key = pick.choice(
            [lambda: pick.choice(["a", "~", "ü", "", "b c"]), lambda: pick.choice([1, None, "a", 2**60, 0.5])]
        )
        return {key(): anything(pick, depth + 1) for _ in range(count)}
    return pick.choice(leaves)()


class Values(unittest.TestCase):
    def test_random_ones_come_back_equal(self) -> None:
        for seed in range(CASES):
            value = anything(random.Random(seed))
            # An integer that a float is, is one in JSON; the numbers here have fractions or are beyond it.
            back = there_and_back(value)
            self.assertTrue(same(value, back) or same(whole(value), whole(back)), f"seed {seed}: {value!r} {back!r}")

    def test_plain_ones_are_the_json_that_they_always_were(self) -> None:
        value = {"a": [1, -2.5, "é\n", None, True, 1e300], "b": {}, "c": [], "": "\U0001f600"}
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self.assertEqual(encode(value).decode(), text)

    def test_of_derived_classes_travel_as_their_base(self) -> None:
        class Text(str):
            def __str__(self) -> str:
                return "other"

        class Number(int):
            def __repr__(self) -> str:
                return "other"

        class Fraction(float):
            def __repr__(self) -> str:
                return "other"

        class Dict(dict):  # type: ignore[type-arg]
            def items(self) -> Any:
                return [("other", 1)]

        class Level(enum.IntEnum):
            HIGH = 3

        value = Dict({Text("key"): [Text("text"), Number(1), Fraction(1.5), Level.HIGH]})
        self.assertEqual(encode(value), b'{"key":["text",1,1.5,3]}')

    def test_that_hold_themselves_or_are_too_deep_are_refused(self) -> None:
        cycle: dict[str, Any] = {"a": []}
        cycle["a"].append({"b c": cycle})
        self.refused(cycle, r'a cycle at \.a\[0\]\["b c"\]: return a value that does not hold itself')
        deep: list[Any] = []
        for _ in range(126):
            deep = [deep]
        self.assertEqual(encode(deep), b"[" * 127 + b"]" * 127)
        self.refused([deep], "a value below 127 others")
        shared = [0]
        self.assertEqual(encode([shared, shared]), b"[[0],[0]]")

    def test_that_raise_while_they_are_read_raise_that(self) -> None:
        class Broken(dict):  # type: ignore[type-arg]
            pass

        class Keyed(str):
            def __eq__(self, other: object) -> bool:
                return self is other

            __hash__ = object.__hash__  # type: ignore[assignment]

        self.assertEqual(encode(Broken()), b"{}")
        self.refused({Keyed("a"): 1, Keyed("a"): 2}, "keys that are the same text")

    def test_of_libraries_need_none_of_them(self) -> None:
        check = (
            "import sys; before = set(sys.modules); import polyloop._values as c; "
            "c.codec_named('json').encode([1, {'a': 2.5, 'b': b'c', 3: float('nan')}]); "
            "print(*sorted({'numpy', 'pandas', 'polars', 'pydantic', 'decimal', 'uuid'} & set(sys.modules) - before))"
        )
        self.assertEqual(subprocess.check_output([sys.executable, "-c", check], text=True).strip(), "")

    def refused(self, value: Any, words: str) -> None:
        with self.assertRaisesRegex(Unfit, words):
            encode(value)


def whole(value: Any) -> Any:
    """With floats that have no fraction as JSON has them."""
    if (
        isinstance(value, float)
        and value.is_integer()
        and abs(value) < 2**53
        and (value or math.copysign(1, value) > 0)
    ):
        return int(value)
    if isinstance(value, list):
        return [whole(one) for one in value]
    return {key: whole(one) for key, one in value.items()} if isinstance(value, dict) else value


class Envelopes(unittest.TestCase):
    def test_are_laid_out_as_the_document_says(self) -> None:
        payload = encode({"a": b"xy", "b": [0.5] * 64})
        text = b'{"a":{"~":["b",0]},"b":{"~":["l",1]}}'
        self.assertEqual(payload[:16], struct.pack("<BBHIII", 1, 1, 0, len(text), 2, 0))
        (first, two), (second, numbers) = struct.iter_unpack("<QQ", payload[16:48])
        self.assertEqual((first % 8, two, second % 64, numbers), (0, 2, 0, 512))
        self.assertEqual(payload[48 : 48 + len(text)], text)
        self.assertEqual(payload[48 + len(text) : first].strip(b"\0"), b"")
        self.assertEqual((payload[first : first + 2], len(payload)), (b"xy", second + 512))

    def test_of_any_bytes_are_values_or_errors(self) -> None:
        good = encode([b"abc", 2**70, [0.5] * 64, {1: {2}, "n": math.nan}, memoryview(bytes(16)).cast("d")])
        for seed in range(CASES):
            pick = random.Random(seed)
            bad = bytearray(good[: pick.choice([len(good), pick.randrange(len(good))])])
            for _ in range(pick.randint(1, 4)):
                if bad:
                    bad[pick.randrange(len(bad))] = pick.choice([0, 1, 255, pick.randrange(256), ord("9"), ord("]")])
            with contextlib.suppress(ValueError, TypeError, Error, RecursionError):
                revive(memoryview(bytes(bad)))

    def test_with_wrong_tags_are_refused(self) -> None:
        tags = '["b",0] ["b",-1] ["b",true] [] 1 ["zz"] ["m",[1]] ["s"] ["i","1_0"] ["d",0.5]'
        for tag in tags.split():
            with self.subTest(tag), self.assertRaises((ValueError, TypeError)):
                revive(memoryview(pack(b'{"~":%s}' % tag.encode(), [])))
        for kind, shape in (("<f8", "[2]"), ("<f8", "[-1,-1]"), ("<f8", "1"), ("O", "[1]"), ("<f8", '["1"]')):
            with self.subTest(f"{kind} {shape}"), self.assertRaises(ValueError):
                text = f'{{"~":["a",0,"{kind}",{shape}]}}'
                revive(memoryview(pack(text.encode(), [(bytes(8), 8, 64)])))

    def test_lend_views_of_their_own_memory(self) -> None:
        payload = memoryview(encode([b"abc", memoryview(struct.pack("2d", 1, 2)).cast("d")]))
        some, numbers = revive(payload)
        _, places = unpack(payload)
        self.assertTrue(some.readonly and numbers.readonly and some.obj is payload.obj)
        self.assertEqual((bytes(places[0]), list(numbers)), (b"abc", [1, 2]))


@unittest.skipUnless(importlib.util.find_spec("pandas"), "without pandas")
class Frames(unittest.TestCase):
    def test_of_pandas_are_columns(self) -> None:
        import numpy as np
        import pandas as pd

        moments = pd.to_datetime(["2020-01-01", None])
        frame = pd.DataFrame({"a": [1, 2], "b": [1.5, math.nan], "t": moments, "u": moments.tz_localize("UTC")})
        back = there_and_back(frame.assign(i=pd.array([1, None], dtype="Int64")))
        self.assertTrue(np.array_equal(back.pop("a"), [1, 2]) and np.array_equal(back.pop("b"), [1.5, math.nan], True))
        moment = datetime.datetime(2020, 1, 1, tzinfo=UTC)
        wanted = {"t": ["2020-01-01T00:00:00", None], "u": [moment, None], "i": [1, None]}
        self.assertEqual(back, wanted)

    def test_of_pandas_have_an_index_that_has_a_name(self) -> None:
        import pandas as pd

        frame = pd.DataFrame({"a": ["x", "x"], "b": [1, 2]})
        sums = there_and_back(frame.groupby("a").sum())
        self.assertEqual({name: list(column) for name, column in sums.items()}, {"a": ["x"], "b": [3]})
        counts = there_and_back(frame["a"].value_counts())
        self.assertEqual({name: list(column) for name, column in counts.items()}, {"a": ["x"], "count": [2]})
        self.assertEqual(list(there_and_back(frame["b"])), [1, 2])
        with self.assertRaisesRegex(Unfit, r"at \.x: rename them"):
            encode({"x": pd.DataFrame([[1, 2]], columns=["a", "a"])})

    def test_of_polars_are_columns(self) -> None:
        import polars as pl

        frame = pl.DataFrame({"a": [1, 2], "b": [1.5, None], "c": ["x", None], "d": [[1], None]})
        back = there_and_back(frame)
        self.assertEqual(list(back.pop("a")), [1, 2])
        self.assertEqual(back, {"b": [1.5, None], "c": ["x", None], "d": [[1], None]})

    def test_models_are_objects(self) -> None:
        import pydantic

        class Model(pydantic.BaseModel):
            a: int
            b: Any = None

        self.assertEqual(encode(Model(a=1, b=[Model(a=2)])), b'{"a":1,"b":[{"a":2,"b":null}]}')


if __name__ == "__main__":
    unittest.main()
