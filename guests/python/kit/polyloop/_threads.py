# SPDX-License-Identifier: Apache-2.0
"""Threads of the kit's own: real ones, and locks of theirs, whatever a guest makes of `threading`.

A module that makes Python cooperative (gevent, eventlet) puts its own in the place of threads and
locks, for every module. Those run only when the thread that made them yields, and a thread that
takes tasks never does. So all that is needed here is taken before any guest is imported.
"""

from __future__ import annotations

import _thread
import contextlib
import resource
import threading
from queue import SimpleQueue
from typing import Any, Callable, TypeVar

from . import _fork

T = TypeVar("T")

#: What the main thread of a program has, where there is no limit; glibc gives other threads 2 MB then.
STACK = 8 << 20

_allocate_lock = _thread.allocate_lock
_start_new_thread = _thread.start_new_thread

#: What `threading` starts a thread with.
_NAMES = ("Thread", "Event", "Condition", "Lock", "_allocate_lock", "_start_new_thread", "_start_joinable_thread")
_kept = {name: getattr(threading, name, None) for name in _NAMES}
_kept_start = threading.Thread.start


def have_stacks() -> None:
    """Gives threads to come the stack that they have elsewhere, where the system has no limit to go by."""
    if resource.getrlimit(resource.RLIMIT_STACK)[0] == resource.RLIM_INFINITY:
        _thread.stack_size(STACK)


class Done:
    """An event that comes once."""

    def __init__(self) -> None:
        self._lock = _allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        self._lock.release()

    def wait(self) -> None:
        with self._lock:
            pass


def lock() -> Any:
    """A lock that the threads of this process wait for."""
    return _allocate_lock()


class Thread:
    """A thread that runs what it is given, one after the other, until it is told to end."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._ended = Done()
        _begin(self._main, name)

    def put(self, job: Callable[[], object]) -> None:
        self._jobs.put(job)

    def end(self) -> None:
        """Lets the thread go once it has run what it was given."""
        self._jobs.put(None)

    def join(self) -> None:
        self._ended.wait()

    def _main(self) -> None:
        try:
            while True:
                job = self._jobs.get()
                if job is None:
                    return
                job()
                # Waiting for the next one must not keep what this one was about.
                del job
        finally:
            self._ended.set()


def _begin(main: Callable[[], None], name: str) -> None:
    if _is_as_it_was():
        threading.Thread(target=main, name=name, daemon=True).start()
    else:
        _start_new_thread(_named, (main, name))


def _is_as_it_was() -> bool:
    same = all(getattr(threading, name, None) is value for name, value in _kept.items())
    return same and threading.Thread.start is _kept_start


def _named(main: Callable[[], None], name: str) -> None:
    # `threading` knows no thread that it did not start: it makes an object for this one.
    with contextlib.suppress(Exception):
        threading.current_thread().name = name
    main()


def here(job: Callable[[], None]) -> None:
    """Runs a job on the thread that has it."""
    job()


def run_on(put: Callable[[Callable[[], None]], object], function: Callable[[], T]) -> T:
    """Calls `function` where `put` has jobs run, and waits for what comes of it."""
    results: list[T] = []
    errors: list[BaseException] = []
    done = Done()

    def job() -> None:
        try:
            results.append(function())
        except BaseException as error:
            _fork.leave_if_child(error)
            errors.append(error)
        _fork.leave_if_child()
        done.set()

    put(job)
    done.wait()
    if errors:
        raise errors.pop()
    return results.pop()
