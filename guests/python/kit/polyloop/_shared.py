# SPDX-License-Identifier: Apache-2.0
"""What a guest on threads shares with its host, and must not touch: docs/guide/threads.md lists it."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from . import _native

ADVICE = "use placement: 'process'"

#: Packages that bring a V8: the functions of Node's would be called in its place, and end the process.
WITH_V8 = ("py_mini_racer", "STPyV8", "PyV8", "_PyV8", "v8py", "v8eval")

#: Modules of Python's own through which a guest uses a library that Node replaces.
USES = {"OpenSSL": ("ssl", "_ssl"), "zlib": ("zlib",)}

#: What tells the module that it comes from.
_NAMED = (type, FunctionType, BuiltinFunctionType)

#: What was imported before any guest was: asyncio imports `ssl` for everybody.
_before: set[str] = set()
_told: set[str] = set()


def prepare() -> None:
    """Keeps guests from what only the host may have, once."""
    sys.meta_path.insert(0, _Refusing)
    for name in ("alarm", "setitimer"):
        setattr(signal, name, _guarded(getattr(signal, name)))
    if not _is_terminal(0):
        # The host reads it. A debugger's prompt is for a terminal.
        sys.stdin = io.TextIOWrapper(io.FileIO(os.devnull), encoding="utf-8")
    _before.update(sys.modules)


class _Refusing:
    """Refuses packages that would end the host."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> None:
        if name in WITH_V8:
            raise ImportError(
                f"{name} brings a V8, and a process that has Node's can have no other: {ADVICE}", name=name
            )


#: What timers signal.
_SIGNALS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}


def _guarded(function: Any) -> Any:
    """`signal.alarm` or `signal.setitimer`, unless its signal would end the host."""

    @functools.wraps(function)
    def guarded(*args: Any) -> Any:
        timer, *seconds = (signal.ITIMER_REAL, *args) if function.__name__ == "alarm" else args or (None,)
        number = _SIGNALS.get(timer)
        if number is not None and seconds and seconds[0] and signal.getsignal(number) == signal.SIG_DFL:
            raise RuntimeError(f"{number.name} would end the host, whose process this is: {ADVICE}")
        return function(*args)

    return guarded


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def warnings() -> list[str]:
    """What the host has to be warned of now that a guest is loaded, each once a process."""
    return [text for name, own, hosts in json.loads(_native.replaced()) for text in _warning(name, own, hosts)]


def _warning(name: str, own: str, hosts: str) -> Iterator[str]:
    if name in _told or not _matters(name, own, hosts) or not _is_used(name):
        return
    _told.add(name)
    yield (
        f"Python's modules were built with {own} and use {hosts} of Node.js, as any guest on threads does: "
        f"if its {name} is to be its own, {ADVICE}"
    )


def _matters(name: str, own: str, hosts: str) -> bool:
    """An older zlib may lack what is called; another OpenSSL has other defaults, and other folders of certificates."""
    mine, theirs = _numbers(own), _numbers(hosts)
    return mine[:2] != theirs[:2] if name == "OpenSSL" else mine > theirs


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)+", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def _is_used(name: str) -> bool:
    """Whether a module that a guest has brought has a module that uses the library, or something out of it."""
    brought = [module for key, module in list(sys.modules.items()) if key not in _before]
    return any(_module_of(value) in USES[name] for module in brought for value in _values(module))


def _values(module: Any) -> list[Any]:
    return list(vars(module).values()) if isinstance(module, ModuleType) else []


def _module_of(value: Any) -> str | None:
    if isinstance(value, ModuleType):
        return value.__name__
    return getattr(value, "__module__", None) if isinstance(value, _NAMED) else None
