# SPDX-License-Identifier: Apache-2.0
"""sys.stdout and sys.stderr, line by line, to the runtime whose function prints."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import contextvars
import io
import os
import sys
import threading
import weakref
from typing import Any

from . import _native

#: The runtime that the running code belongs to: set in the context of its module, so calls inherit it.
route: contextvars.ContextVar[Any] = contextvars.ContextVar("polyloop_connection", default=None)

MAX_LINE = 1 << 20

_living: list[Any] = []
_thread = threading.local()
_tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], _Pending] = weakref.WeakKeyDictionary()


class _Pending:
    """What a thread, or a task, has printed since its last newline."""

    def __init__(self) -> None:
        self.parts: dict[int, list[str]] = {1: [], 2: []}
        self.decoders: dict[int, codecs.IncrementalDecoder] = {}

    def flush(self) -> None:
        for number, parts in self.parts.items():
            if parts:
                text = "".join(parts)
                parts.clear()
                _send(number, f"{text}\n")

    def flush_after(self, _task: asyncio.Task[Any]) -> None:
        self.flush()

    def decode(self, number: int, data: bytes) -> str:
        if number not in self.decoders:
            self.decoders[number] = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        return self.decoders[number].decode(data)


class Stream(io.TextIOBase):
    """A text stream that keeps what has no newline yet, per thread and per task."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__()
        self._number = number
        self.name = name
        self.mode = "w"
        self.line_buffering = True
        self.buffer = _Bytes(self)

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        pending = _pending()
        parts = pending.parts[self._number]
        end = text.rfind("\n") + 1
        if end:
            lines = "".join(parts) + text[:end] if parts else text[:end]
            parts.clear()
            _send(self._number, lines)
        if end < len(text):
            parts.append(text[end:])
            if sum(map(len, parts)) > MAX_LINE:
                pending.flush()
            _native.note_partial()
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._number

    def reconfigure(self, **_options: Any) -> None:
        """Accepted and without effect: what is printed goes to the host as UTF-8, by lines."""

    def close(self) -> None:
        """Without effect: the stream belongs to every guest of the process."""


class _Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._stream.write(_pending().decode(self._stream.fileno(), data))
        return len(data)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        """Without effect, as on the stream."""


def install() -> None:
    """Replaces the process's text streams, once."""
    sys.stdout = Stream(1, "<stdout>")
    sys.stderr = Stream(2, "<stderr>")
    os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    # Nobody reads the child's end of the host's queues: it prints for itself.
    _living.clear()
    route.set(None)
    _thread.__dict__.clear()


def begin(runtime: Any) -> None:
    """Makes a runtime known as one that takes what nobody else is known to have printed."""
    _living.append(runtime)


def end(runtime: Any) -> None:
    with contextlib.suppress(ValueError):
        _living.remove(runtime)


def flush() -> None:
    """Hands over what this thread, or task, has printed without a newline."""
    pending = _existing()
    if pending is not None:
        pending.flush()


def _current_task() -> asyncio.Task[Any] | None:
    loop = asyncio._get_running_loop()
    return None if loop is None else asyncio.current_task(loop)


def _existing() -> _Pending | None:
    task = _current_task()
    return getattr(_thread, "pending", None) if task is None else _tasks.get(task)


def _pending() -> _Pending:
    pending = _existing()
    if pending is None:
        pending = _Pending()
        task = _current_task()
        if task is None:
            _thread.pending = pending
        else:
            _tasks[task] = pending
            task.add_done_callback(pending.flush_after)
    return pending


def _send(number: int, text: str) -> None:
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    for runtime in (route.get(), *_living):
        if runtime is not None and _native.log(runtime, number, text):
            return
    data = memoryview(text.encode("utf-8"))
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(number, data) :]
