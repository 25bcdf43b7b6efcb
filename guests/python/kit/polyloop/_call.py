# SPDX-License-Identifier: Apache-2.0
"""The call that is running: what `polyloop.cancelled()` and its like ask."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from typing import Any

try:
    from . import _native
except ImportError:
    # Installed beside a guest, for type checkers and tests: there is no loader, and no call runs.
    _native = None  # type: ignore[assignment]

#: `EVENT_*` of the C ABI: an item came in, there is room for one, the caller has given up.
INPUT, CREDIT, CANCELLED = 1, 2, 4

#: The call that the running code belongs to: set by calls on the loop, and on the pool by those that ask.
running: contextvars.ContextVar[Call | None] = contextvars.ContextVar("polyloop_call", default=None)


def current() -> Call | None:
    """The call that is running here, if one is."""
    call = running.get()
    if call is None and _native is not None:
        token = _native.current()
        if token is not None:
            call = Call(token)
            running.set(call)
    return call


class Call:
    """A task of the host. All of it may be asked once the call is answered, too."""

    def __init__(self, token: Any) -> None:
        self.token = token
        self.notes: dict[str, str] = {}

    def is_cancelled(self) -> bool:
        return _native.cancelled(self.token) == 1

    def remaining(self) -> float | None:
        deadline = _native.deadline(self.token)
        return max(0, deadline - time.monotonic_ns()) / 1e9 if deadline else None

    def context(self) -> dict[str, str]:
        text = _native.context(self.token)
        return json.loads(text) if text else {}

    def annotate(self, strings: dict[str, str]) -> None:
        notes = {**self.notes, **strings}
        if not _native.annotate(self.token, json.dumps(notes, separators=(",", ":"))):
            raise ValueError("the annotations of a call are 4,096 bytes of JSON at most")
        self.notes = notes


class LoopCall(Call):
    """A call on the asyncio loop, which hears of its events there."""

    def __init__(self, token: Any) -> None:
        super().__init__(token)
        #: None before it starts and, lest the two keep each other alive, after its end.
        self.task: asyncio.Task[None] | None = None
        self.is_given_up = False
        self._happened: dict[int, asyncio.Event] = {}

    def notice(self, events: int) -> None:
        """Wakes who waits. On the loop's thread, as all of this."""
        for kind, event in self._happened.items():
            if events & (kind | CANCELLED):
                event.set()
        if events & CANCELLED:
            self.cancel()

    def cancel(self) -> None:
        """Cancels the task, once: what its `finally` blocks await then is left alone."""
        if not self.is_given_up and self.task is not None:
            self.is_given_up = True
            self.task.cancel()

    async def happens(self, kind: int) -> None:
        """Waits until `kind` happens, from now on: to be called with nothing awaited since that was found missing."""
        event = self._happened.get(kind)
        if event is None:
            event = self._happened[kind] = asyncio.Event()
        event.clear()
        await event.wait()

    async def gives_up(self) -> None:
        """Ends the task that finds its caller gone before the event has come; returns in any other task."""
        self.cancel()
        await asyncio.sleep(0)
