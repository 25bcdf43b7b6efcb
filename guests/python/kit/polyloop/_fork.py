# SPDX-License-Identifier: Apache-2.0
"""What becomes of a child of `os.fork()` that returns from the guest's code: it must not go on as a second guest."""

from __future__ import annotations

import os
import sys
import traceback

_is_child = False


def notice() -> None:
    """Has children of this process known as such, once."""
    os.register_at_fork(after_in_child=_mark)


def _mark() -> None:
    global _is_child
    _is_child = True


def leave_if_child(error: BaseException | None = None) -> None:
    """Ends this process if it is such a child, as a program ends that returns or raises `error`."""
    if _is_child:
        from . import _output

        status = 0 if error is None else _status(error)
        _output.flush()
        os._exit(status)


def _status(error: BaseException) -> int:
    if not isinstance(error, SystemExit):
        traceback.print_exception(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 255
    print(error.code, file=sys.stderr)
    return 1
