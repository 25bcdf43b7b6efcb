# SPDX-License-Identifier: Apache-2.0
"""Values of libraries, and of the stdlib's classes: what each is sent as, and what is said of those that are not.

Nothing is imported here that the guest has not imported: a value of a class is there only if its
module is.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable
from weakref import WeakKeyDictionary

from ._envelope import LETTERS

if TYPE_CHECKING:
    from ._values import Skeleton

_Make = Callable[["Skeleton", Any], Any]

#: numpy's letter for each kind of numbers, by those of `struct`.
_KIND_OF_LETTER = {
    "?": "b",
    **dict.fromkeys("bhilqn", "i"),
    **dict.fromkeys("BHILQN", "u"),
    **dict.fromkeys("efd", "f"),
}


def number_type(letters: str, size: int) -> str | None:
    """The type of numbers of a buffer's format; None if they are none, or lie the other way round."""
    ours = "@=<" if sys.byteorder == "little" else "<"
    letter = letters.lstrip(ours)
    if sys.byteorder != "little" and letter == letters and size > 1:
        return None
    kind = f"{'|' if size == 1 else '<'}{_KIND_OF_LETTER.get(letter)}{size}"
    return kind if kind in LETTERS else None


#: What was found, by class: a class has its bases for good.
_found: WeakKeyDictionary[type, _Make] = WeakKeyDictionary()


def find(value: Any) -> _Make | None:
    """What makes JSON and attachments of a value whose class is known here."""
    make = _found.get(type(value)) or _look_up(value)
    if make is not None:
        _found[type(value)] = make
    return make


def _look_up(value: Any) -> _Make | None:
    for module, name, make in _KNOWN:
        known = getattr(sys.modules.get(module), name, None)
        if isinstance(known, type) and isinstance(value, known):
            return make
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return _dataclass
    return _nothing if value is getattr(sys.modules.get("pandas"), "NA", None) else None


def _nothing(_: Skeleton, __: Any) -> None:
    return None


def _enum(skeleton: Skeleton, value: Any) -> Any:
    return skeleton.of(value.value)


def _text(_: Skeleton, value: Any) -> str:
    return str(value)


def _iso(_: Skeleton, value: Any) -> str:
    return str(value.isoformat())


def _datetime(skeleton: Skeleton, value: Any) -> Any:
    # Only pandas' NaT is not equal to itself.
    if value != value:
        return None
    if value.utcoffset() is None:
        return value.isoformat()
    from datetime import datetime, timezone

    # Of pandas' Timestamp, too, without its nanoseconds.
    since = value - datetime(1970, 1, 1, tzinfo=timezone.utc)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    milliseconds, rest = divmod(microseconds, 1000)
    return skeleton.tag("d", milliseconds, rest) if rest else skeleton.tag("d", milliseconds)


def _timedelta(_: Skeleton, value: Any) -> str | None:
    """As ISO 8601 has it: PT1.5S."""
    if value != value:
        return None
    microseconds = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    sign, (seconds, rest) = "-" if microseconds < 0 else "", divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{sign}PT{seconds}{fraction}S"


def _dataclass(skeleton: Skeleton, value: Any) -> Any:
    fields = sys.modules["dataclasses"].fields(value)
    return _parts(skeleton, value, {field.name: getattr(value, field.name) for field in fields})


def _pydantic(skeleton: Skeleton, value: Any) -> Any:
    dump = getattr(value, "model_dump", None) or value.dict
    return _parts(skeleton, value, dump())


def _parts(skeleton: Skeleton, value: object, parts: Any) -> Any:
    """What stands for something by its parts. They are new each time: the value itself tells a cycle."""
    skeleton.enter(value)
    made = skeleton.of(parts)
    skeleton.leave(value)
    return made


def _array(skeleton: Skeleton, value: Any) -> Any:
    kind = number_type(value.typecode, value.itemsize)
    if kind is None:
        raise skeleton.unfit(f"an array of type {value.typecode!r}", "return its tolist()")
    # A view, so that nobody makes it longer meanwhile.
    view = memoryview(value)
    return skeleton.numbers(kind, view, view.nbytes, [len(view)])


def _scalar(skeleton: Skeleton, value: Any) -> Any:
    """A scalar of numpy."""
    plain = value.item()
    if value.dtype.kind in "mM" and isinstance(plain, int):
        # Nanoseconds are a bare number there.
        plain = value.astype(f"{value.dtype.kind}8[us]").item()
    if isinstance(plain, type(value)) or (value.dtype.kind in "mM" and isinstance(plain, int)):
        raise skeleton.unfit(f"a scalar of {value.dtype}", "return float(...) or str(...) of it")
    return skeleton.of(plain)


def _ndarray(skeleton: Skeleton, value: Any) -> Any:
    kind, size = value.dtype.kind, value.dtype.itemsize
    name = f"{'|' if size == 1 else '<'}{kind}{size}"
    if name not in LETTERS:
        raise skeleton.unfit(f"an array of {value.dtype}", _array_advice(kind))
    if isinstance(value, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):
        raise skeleton.unfit("a masked array", "return its filled(...)")
    # A copy only if it lies otherwise.
    lying = sys.modules["numpy"].asarray(value, dtype=name, order="C")
    data = lying.reshape(-1).view("|u1") if lying.size else b""
    return skeleton.numbers(name, data, lying.nbytes, list(value.shape))


def _array_advice(kind: str) -> str:
    if kind == "c":
        return "return its real and imag"
    if kind in "mM":
        return "return its astype('M8[us]').tolist()"
    return "return its tolist()" if kind in "OSUT" else "return its astype('f8')"


def _frame(skeleton: Skeleton, value: Any) -> Any:
    """A frame of pandas: columns by their name; an index that has a name is one."""
    if any(name is not None for name in value.index.names):
        value = value.reset_index()
    if not value.columns.is_unique:
        raise skeleton.unfit("a DataFrame with columns of the same name", "rename them")
    return skeleton.of({name: value[name] for name in value.columns})


def _series(skeleton: Skeleton, value: Any) -> Any:
    if any(name is not None for name in value.index.names):
        return _frame(skeleton, value.reset_index())
    return _column(skeleton, value)


def _column(skeleton: Skeleton, value: Any) -> Any:
    """Numbers of numpy are an array, anything else is a list."""
    dtype = value.dtype
    if type(dtype).__module__.partition(".")[0] == "numpy" and dtype.kind in "biuf":
        return skeleton.of(value.to_numpy())
    return skeleton.of(value.tolist())


#: Types of polars that are numbers.
_POLARS = {
    "Boolean": "|b1",
    **{f"Int{bits}": f"{'|' if bits == 8 else '<'}i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UInt{bits}": f"{'|' if bits == 8 else '<'}u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"Float{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}


def _polars_frame(skeleton: Skeleton, value: Any) -> Any:
    return skeleton.of({column.name: column for column in value.get_columns()})


def _polars_series(skeleton: Skeleton, value: Any) -> Any:
    kind = _POLARS.get(str(value.dtype))
    if kind is None or value.null_count():
        return skeleton.of(value.to_list())
    if "numpy" in sys.modules:
        return skeleton.of(value.to_numpy())
    data = struct.pack(f"<{len(value)}{LETTERS[kind]}", *value.to_list())
    return skeleton.numbers(kind, data, len(data), [len(value)])


#: Classes by their module and name; the first that fits.
_KNOWN: tuple[tuple[str, str, _Make], ...] = (
    ("enum", "Enum", _enum),
    ("numpy", "generic", _scalar),
    ("numpy", "ndarray", _ndarray),
    ("datetime", "datetime", _datetime),
    ("datetime", "date", _iso),
    ("datetime", "time", _iso),
    ("datetime", "timedelta", _timedelta),
    ("decimal", "Decimal", _text),
    ("uuid", "UUID", _text),
    ("pathlib", "PurePath", _text),
    ("array", "array", _array),
    ("pandas", "DataFrame", _frame),
    ("pandas", "Series", _series),
    ("pandas", "Index", _column),
    ("polars", "DataFrame", _polars_frame),
    ("polars", "Series", _polars_series),
    ("pydantic", "BaseModel", _pydantic),
)


def refusal(value: Any) -> tuple[str, str]:
    """What a value is that nothing carries, and what to do."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, Awaitable):
        return f"a {name} that was not awaited", "await it, in an `async def`"
    if isinstance(value, AsyncIterator):
        return f"an {name}", "yield its items, and call the function with stream()"
    if isinstance(value, type):
        return f"the class {value.__qualname__}", "return an instance of it that is data"
    if isinstance(value, ModuleType):
        return f"the module {value.__name__}", "return its name"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}", "return what it returns, or its name"
    if isinstance(value, BaseException):
        return f"the exception {name}", "raise it, or return str(...) of it"
    if name.startswith("polars.") and hasattr(value, "collect"):
        return f"a {name}", "return its collect()"
    if isinstance(value, complex):
        return "a complex number", "return its real and imag"
    if isinstance(value, Mapping):
        return f"a {name}", "return dict(...) of it"
    if isinstance(value, Iterable):
        return f"a {name}", "return list(...) of it"
    return f"an instance of {name}", "return dict, list, str, int, float, bool, None, bytes, or a dataclass"
