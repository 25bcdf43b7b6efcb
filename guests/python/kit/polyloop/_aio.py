# SPDX-License-Identifier: Apache-2.0
"""The asyncio loop of a runtime, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import json
import selectors
import traceback
from collections.abc import AsyncIterator, Coroutine
from types import AsyncGeneratorType
from typing import Any, Callable

from . import Cancelled, _call, _envelope, _errors, _fork, _native, _output, _stream, _threads, _trace

#: Seconds that tasks of the guest's own, and its executor, get to end after their cancellation.
GRACE = 2.0

#: Of before any guest could put a cooperative one in its place.
_Selector = selectors.DefaultSelector
_making = _threads.lock()


class LoopThread:
    """Runs async functions; one a runtime, made when its module turns out to have any."""

    def __init__(
        self, runtime: Any, name: str, context: contextvars.Context, thread: _threads.Thread | None = None
    ) -> None:
        self.runtime = runtime
        self.context = context
        self.loop = _new_loop()
        #: By the number under which their events come.
        self.calls: dict[int, _call.LoopCall] = {}
        self.stopping = False
        self.loop.add_reader(_native.bell(runtime), self._drain)
        self.thread = thread or _threads.Thread(f"polyloop-{name}-asyncio")
        self.thread.put(self._main)
        self.thread.end()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine to its end while this thread waits."""
        done = _threads.Done()
        tasks: list[asyncio.Task[Any]] = []

        def begin() -> None:
            tasks.append(self.loop.create_task(coroutine))
            tasks[0].add_done_callback(ended)

        def ended(task: asyncio.Task[Any]) -> None:
            _fork.leave_if_child(None if task.cancelled() else task.exception())
            done.set()

        self.loop.call_soon_threadsafe(begin)
        done.wait()
        return tasks.pop().result()

    def _drain(self) -> None:
        # What the loop starts inherits from the context of the module.
        self.context.run(_native.drain, self.runtime)

    def spawn(self, token: Any, function: Callable[..., Any], flags: int) -> None:
        """Starts one call, which answers its task at its end. On the loop's thread."""
        call = _call.LoopCall(token)
        number = _native.watch(token)
        self.calls[number] = call
        call.task = self.loop.create_task(self._serve(call, function, flags))
        call.task.add_done_callback(functools.partial(self._ended, number, call))

    def adopt(self, token: Any, items: AsyncIterator[Any]) -> None:
        """Takes over a call whose function, on a thread of the pool, has returned what only a loop can iterate."""
        self.loop.call_soon_threadsafe(self.spawn, token, lambda *_: items, _stream.SENDS)

    def notice(self, number: int, events: int) -> None:
        """Tells a call what happened to it; a call that has ended since needs no telling."""
        call = self.calls.get(number)
        if call is not None:
            call.notice(events)

    def _ended(self, number: int, call: _call.LoopCall, task: asyncio.Task[None]) -> None:
        del self.calls[number]
        call.task = None
        if task.cancelled():
            # Before its first step, so that the call could not answer.
            _native.answer_error(self.runtime, call.token, Cancelled())

    async def _serve(self, call: _call.LoopCall, function: Callable[..., Any], flags: int) -> None:
        _call.running.set(call)
        try:
            _trace.enter(call.token)
            # In a list, out of which the loader takes it: neither of the result nor of the arguments, which may
            # hold views of the request, is a reference left behind here.
            if flags & (_stream.TAKES | _stream.SENDS):
                result = [await _stream.run_async(call, function, flags)]
            else:
                result = [await _coroutine(function, call.token)]
            if call.is_given_up:
                raise Cancelled
        except BaseException as error:
            # SystemExit and its like, too: they end the call, not the loop.
            _fork.leave_if_child(error)
            _output.flush()
            _native.answer_error(self.runtime, call.token, _stream.outcome(call.token, error))
        else:
            _fork.leave_if_child()
            _output.flush()
            _native.answer(self.runtime, call.token, result)

    def stop(self) -> None:
        """Waits for the calls, then ends the loop. From another thread."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stop_soon)
        self.thread.join()

    def _stop_soon(self) -> None:
        self._finishing = self.loop.create_task(self._finish_calls())

    async def _finish_calls(self) -> None:
        self._drain()
        while self.calls:
            await asyncio.wait([call.task for call in self.calls.values() if call.task is not None])
        self.stopping = True
        self.loop.stop()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        _native.attend(self.runtime, True)
        while not self._runs_to_its_end():
            pass
        _native.attend(self.runtime, False)
        self.loop.remove_reader(_native.bell(self.runtime))
        if not self.stopping:
            self._report_death()
        with contextlib.suppress(BaseException):
            self.loop.run_until_complete(self._tidy())
        with contextlib.suppress(BaseException):
            self.loop.close()
        _native.refuse(self.runtime)

    def _runs_to_its_end(self) -> bool:
        try:
            self.loop.run_forever()
        except BaseException:
            # A task of the guest's own raised SystemExit or the like: that is no reason to end.
            self.context.copy().run(traceback.print_exc)
            return self.loop.is_closed()
        return True

    def _report_death(self) -> None:
        message = "the guest stopped its asyncio loop: async functions cannot run any more; load the guest again"
        _native.crashed(self.runtime, json.dumps({"type": "RuntimeError", "message": message, "rc": 1}))

    async def _tidy(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=GRACE)
        await self.loop.shutdown_asyncgens()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.loop.shutdown_default_executor(), GRACE)


def _new_loop() -> asyncio.AbstractEventLoop:
    """As asyncio, or a policy that the guest has set, makes one; but never one that waits cooperatively."""
    with _making:
        theirs = selectors.DefaultSelector
        selectors.DefaultSelector = _Selector  # type: ignore[misc]
        try:
            return asyncio.new_event_loop()
        finally:
            selectors.DefaultSelector = theirs  # type: ignore[misc]


def _coroutine(function: Callable[..., Any], token: Any) -> Any:
    coroutine = _envelope.apply(function, _native.arguments(token))
    if isinstance(coroutine, AsyncGeneratorType):
        raise _errors.misused(function)
    return coroutine
