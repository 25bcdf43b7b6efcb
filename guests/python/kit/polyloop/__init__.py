# SPDX-License-Identifier: Apache-2.0
"""What a Polyloop guest may import; a module needs none of it to be a guest.

Public functions of the module are what the host calls: `def` runs on a pool of threads, `async def`
on one asyncio loop. `init(config)`, if there is one, runs once before the first call, and `handle`
is what the host's `send(bytes)` calls. Generators answer with streams, and a stream that the caller
sends is the last argument.
"""

from __future__ import annotations

from . import _call

__all__ = ["Cancelled", "Error", "annotate", "cancelled", "check", "context", "remaining"]
__version__ = "0.1.0"


class Error(Exception):
    """An error with a code of the application's own, which the host's caller can look at.

    >>> raise Error("no such user", code="no-user", rc=404)  # doctest: +SKIP
    """

    def __init__(self, message: str, *, code: str | None = None, rc: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.rc = rc


class Cancelled(Error):
    """The caller has given the call up; raised by `check()` and by streams whose other end has gone."""

    def __init__(self, message: str = "the caller has given the call up") -> None:
        super().__init__(message, code="cancelled")


def cancelled() -> bool:
    """Whether the caller has given up the call that is running; False outside a call.

    An `async def` need not ask: it is cancelled as asyncio tasks are.
    """
    call = _call.current()
    return call is not None and call.is_cancelled()


def check() -> None:
    """Raises `Cancelled` if the caller has given up the call that is running."""
    if cancelled():
        raise Cancelled


def remaining() -> float | None:
    """Seconds until the caller stops waiting, at least 0; None without a deadline, and outside a call."""
    call = _call.current()
    return None if call is None else call.remaining()


def context() -> dict[str, str]:
    """What the caller sent along with the call, a trace say; empty outside a call."""
    call = _call.current()
    return {} if call is None else call.context()


def annotate(**strings: str) -> None:
    """Adds to what goes back along with the answer; without effect outside a call.

    Raises ValueError, and changes nothing, if all of it would be longer than 4,096 bytes of JSON.
    """
    for name, value in strings.items():
        if not isinstance(value, str):
            raise TypeError(f"annotate() takes strings, and {name} is {type(value).__name__}")
    call = _call.current()
    if call is not None:
        call.annotate(strings)
