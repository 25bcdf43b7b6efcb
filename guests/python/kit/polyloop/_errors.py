# SPDX-License-Identifier: Apache-2.0
"""Exceptions as the error objects that go to the host."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

from . import Error, _fork, _values

MAX_DEPTH = 16
MAX_MESSAGE = 64 * 1024
MAX_STACK = 256 * 1024
#: Bytes of an error object: the host reads as many, see `LONGEST_WORDS` of crates/connection.
MAX_ERROR = 16 * 1024 * 1024
OWN_FILES = ("<polyloop>", "<frozen importlib")


def note(error: BaseException, code: str | None, hint: str) -> None:
    """Adds to what the host will be told of an error, leaving the error itself alone."""
    error.__dict__["_polyloop_note"] = (code, hint)


def describe(error: BaseException) -> str:
    """The error object of an exception, with those that caused it, as JSON."""
    _fork.leave_if_child(error)
    result = _object(error, set())
    text = json.dumps(result)
    if len(text) > MAX_ERROR:
        # The first stack tells of the causes, too.
        cause = result.get("cause")
        while cause is not None:
            del cause["stack"]
            cause = cause.get("cause")
        text = json.dumps(result)
    return text


def _object(error: BaseException, seen: set[int]) -> dict[str, Any]:
    seen.add(id(error))
    code, hint = getattr(error, "_polyloop_note", (None, ""))
    message = _text(error)[:MAX_MESSAGE]
    result: dict[str, Any] = {
        "type": qualified_name(type(error)),
        "message": f"{message}: {hint}" if hint else message,
        "stack": _stack(error),
        "rc": 1,
    }
    if isinstance(error, Error):
        code = error.code if isinstance(error.code, str) else None
        result["rc"] = error.rc if isinstance(error.rc, int) and abs(error.rc) < 2**31 else 1
    if code:
        result["code"] = code
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None and id(cause) not in seen and len(seen) < MAX_DEPTH:
        result["cause"] = _object(cause, seen)
    return result


def qualified_name(kind: type) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:
        return f"<its __str__ raised {qualified_name(type(failure))}>"


def _stack(error: BaseException) -> str:
    """The traceback as Python prints it, from the guest's first frame on."""
    _trim_chain(error)
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except BaseException as failure:
        return f"<the traceback cannot be printed: {qualified_name(type(failure))}>"
    return text if len(text) <= MAX_STACK else f"{text[: MAX_STACK // 2]}\n  ...\n{text[-MAX_STACK // 2 :]}"


def _trim_chain(error: BaseException) -> None:
    pending, seen = [error], set()
    while pending:
        link = pending.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = trim(link.__traceback__)
        pending += [other for other in (link.__cause__, link.__context__) if other is not None]


def trim(trace: TracebackType | None) -> TracebackType | None:
    """Drops the frames of the loader, and of the import system, that lead to the guest's."""
    while trace is not None and _is_own(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_own(filename: str) -> bool:
    return filename.startswith(OWN_FILES) or filename.replace("\\", "/").endswith("/importlib/__init__.py")


def unfit(value: object, error: BaseException) -> BaseException:
    """The error for a result that the codec cannot encode: what it is and what to return instead."""
    if isinstance(value, (Iterator, AsyncIterator)):
        return misused(value)
    # Of the kit's own, it says what to do; what else was raised, by a property say, is its cause.
    is_own = isinstance(error, _values.Unfit)
    advice = _text(error) if is_own else f"{_text(error)}: return dict, list, str, int, float, bool, None or bytes"
    result = TypeError(f"the result, of type {qualified_name(type(value))}, cannot be sent: {advice}")
    result.__cause__ = None if is_own else error
    return result


def misused(function: object) -> Error:
    """The error of a function, or of what it returned, that streams but was called for one answer."""
    name = getattr(function, "__name__", None) or "the function"
    return Error(f"{name} streams: call it with stream()", code="invalid-argument")
