# SPDX-License-Identifier: Apache-2.0
"""sys.stdout and sys.stderr, line by line, to the runtime whose function prints; parts of lines if they are flushed."""

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
#: Characters of a line that come again if it is interrupted.
MAX_AGAIN = 1 << 12

_living: list[Any] = []
_thread = threading.local()
#: Whose line is to be seen and has not ended, by runtime and stream.
_open: dict[tuple[Any, int], _Pending] = {}
_tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], _Pending] = weakref.WeakKeyDictionary()


class _Pending:
    """What a thread, or a task, has printed since its last newline."""

    def __init__(self) -> None:
        self.parts: dict[int, list[str]] = {1: [], 2: []}
        #: What was flushed of a line that has not ended, from where it last began again.
        self.begun = {1: "", 2: ""}
        self.decoders: dict[int, codecs.IncrementalDecoder] = {}
        #: Whose code has printed that: what is left at the end of a call is handed over outside of its context.
        self.runtime: Any = None

    def flush(self) -> None:
        """Hands over all of it, as lines: the end of the last one is the end of the call."""
        for number in self.parts:
            text = self._take(number)
            if text or self.begun[number]:
                self.send(number, f"{text}\n")
        self.runtime = None

    def flush_part(self, number: int) -> None:
        """Hands over what is to be seen before its line ends."""
        text = self._take(number)
        if text:
            self.send(number, text)

    def _take(self, number: int) -> str:
        text = "".join(self.parts[number])
        self.parts[number].clear()
        return text

    def send(self, number: int, text: str) -> None:
        """Hands over whole lines, or a part of one.

        A line that is interrupted by one of another thread, or task, comes whole once more if more of it follows. A
        progress bar is not seen while another's line is.
        """
        runtime = route.get() or self.runtime
        is_part = not text.endswith("\n")
        if is_part or self.begun[number] or _open:
            key = (runtime, number)
            seen = _open.get(key)
            begun = self.begun[number]
            whole = begun + text
            self.begun[number] = whole[max(whole.rfind("\r"), 0) :][-MAX_AGAIN:] if is_part else ""
            if is_part and seen not in (None, self) and "\r" in whole:
                return
            if text == "\n" and begun and seen is not self and "\r" not in begun:
                # It was seen as a whole, and whoever has interrupted it has ended it.
                return
            if seen is not self:
                text = whole if seen is None else f"\n{whole}"
            if is_part:
                _open[key] = self
            else:
                _open.pop(key, None)
        _send(runtime, number, text)

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
            pending.send(self._number, lines)
        if end < len(text):
            parts.append(text[end:])
            pending.runtime = route.get()
            if sum(map(len, parts)) > MAX_LINE:
                pending.flush()
            _native.note_partial()
        return len(text)

    def flush(self) -> None:
        """Shows what this thread, or task, has printed since its last newline: a prompt, say, or a progress bar."""
        pending = _existing()
        if pending is not None:
            pending.flush_part(self._number)

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

    def flush(self) -> None:
        self._stream.flush()

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
    _open.clear()
    route.set(None)
    _thread.__dict__.clear()


def begin(runtime: Any) -> None:
    """Makes a runtime known as one that takes what nobody else is known to have printed."""
    _living.append(runtime)


def end(runtime: Any) -> None:
    with contextlib.suppress(ValueError):
        _living.remove(runtime)
    for number in (1, 2):
        _open.pop((runtime, number), None)


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


def _send(to: Any, number: int, text: str) -> None:
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    for runtime in (to, *_living):
        if runtime is not None and _native.log(runtime, number, text):
            return
    data = memoryview(text.encode("utf-8"))
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(number, data) :]
