# SPDX-License-Identifier: Apache-2.0
"""Calls that stream: the iterators that functions get, and the loops that send what functions yield."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

from . import Cancelled, Error, _envelope, _native, _output, _trace
from ._call import CREDIT, INPUT, LoopCall

#: `FLAG_INPUT` and `FLAG_OUTPUT` of the C ABI.
TAKES, SENDS = 32, 64
#: `STREAM_CANCELLED` of the C ABI.
GONE = -2
#: After n items in a row the loop gets a turn, even if there is always another.
BURST = 64

_nothing = object()


class Input(Iterator[Any]):
    """The stream that the caller sends, as a `def` gets it: waits for each item."""

    def __init__(self, token: Any) -> None:
        self._token = token

    def __next__(self) -> Any:
        if self._token is None:
            raise StopIteration
        return _native.receive(self._token)

    def close(self) -> None:
        """Takes nothing more."""
        self._token = None


class AsyncInput(AsyncIterator[Any]):
    """The stream that the caller sends, as an `async def` gets it."""

    def __init__(self, call: LoopCall) -> None:
        self._call: LoopCall | None = call
        self._burst = 0

    async def __anext__(self) -> Any:
        while self._call is not None:
            try:
                item = _native.try_receive(self._call.token, _nothing)
            except Cancelled:
                await self._call.gives_up()
                raise
            if item is not _nothing:
                self._burst = await _breathe(self._burst)
                return item
            await self._call.happens(INPUT)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Takes nothing more."""
        self._call = None


async def _breathe(burst: int) -> int:
    if burst < BURST:
        return burst + 1
    await asyncio.sleep(0)
    return 0


def run(token: Any, function: Callable[..., Any], flags: int) -> Any:
    """Runs a function of the pool, unless nobody waits for it any more."""
    if _native.cancelled(token):
        raise Cancelled
    stream = (Input(token),) if flags & TAKES else ()
    return _envelope.apply(function, _native.arguments(token), *stream)


def pump(token: Any, result: Any) -> None:
    """Sends what a function of the pool returned: each item of an iterator, another value by itself."""
    if not isinstance(result, Iterator):
        if result is not None:
            _native.send(token, result)
        return
    try:
        for item in result:
            _native.send(token, item)
            # A view that only this variable kept is gone when the generator takes the next item.
            del item
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


async def run_async(call: LoopCall, function: Callable[..., Any], flags: int) -> Any:
    """Runs a function of the loop to its end, and sends its items if the caller takes any."""
    stream = (AsyncInput(call),) if flags & TAKES else ()
    result = _envelope.apply(function, _native.arguments(call.token), *stream)
    if not isinstance(result, AsyncIterator):
        result = await result
    return await pump_async(call, result) if flags & SENDS else result


async def pump_async(call: LoopCall, result: Any) -> None:
    """As `pump`, for what a function of the loop returned."""
    if isinstance(result, Iterator):
        result = _Lifted(result)
    if not isinstance(result, AsyncIterator):
        if result is not None:
            await _send(call, result)
        return
    burst = 0
    try:
        async for item in result:
            await _send(call, item)
            del item
            burst = await _breathe(burst)
    finally:
        close = getattr(result, "aclose", None)
        if close is not None:
            await close()


class _Lifted(AsyncIterator[Any]):
    """An iterator as an async one."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    async def __anext__(self) -> Any:
        item = next(self._items, _nothing)
        if item is _nothing:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()


async def _send(call: LoopCall, item: Any) -> None:
    try:
        while not _native.try_send(call.token, item):
            await call.happens(CREDIT)
    except Cancelled:
        await call.gives_up()
        raise


def refused(status: int, length: int) -> Error:
    """Why a stream goes no further: the host refuses what is too large alone."""
    if status == GONE:
        return Cancelled()
    return Error(f"an item of {length} bytes is more than the host takes: yield smaller ones", code="too-large")


def outcome(token: Any, error: BaseException) -> BaseException:
    """What a call that raised is answered with: if its caller has given it up, that."""
    if isinstance(error, Cancelled) or not _native.cancelled(token):
        return error
    answer = Cancelled()
    if not isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        answer.__cause__ = error
    return answer


def serve(runtime: Any, token: Any, function: Callable[..., Any], flags: int, adopt: Callable[..., None]) -> None:
    """Runs and answers a call that streams, on a thread of the pool; `adopt` hands async items to the loop."""
    try:
        _trace.enter(token)
        # In a list, out of which the loader takes it: here no reference is left behind.
        result = [run(token, function, flags)]
        if flags & SENDS:
            if isinstance(result[0], AsyncIterator):
                adopt(token, result.pop())
                return
            pump(token, result.pop())
            result.append(None)
    except BaseException as error:
        _output.flush()
        _native.answer_error(runtime, token, outcome(token, error))
    else:
        _output.flush()
        _native.answer(runtime, token, result)
