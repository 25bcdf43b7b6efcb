# SPDX-License-Identifier: Apache-2.0
"""What a Polyloop guest may import; a module needs none of it to be a guest.

Public functions of the module are what the host calls: `def` runs on a pool of threads, `async def`
on one asyncio loop. `init(config)`, if there is one, runs once before the first call, and `handle`
is what the host's `send(bytes)` calls.
"""

from __future__ import annotations

__all__ = ["Error"]
__version__ = "0.1.0"


class Error(Exception):
    """An error with a code of the application's own, which the host's caller can look at.

    >>> raise Error("no such user", code="no-user", rc=404)  # doctest: +SKIP
    """

    def __init__(self, message: str, *, code: str | None = None, rc: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.rc = rc
