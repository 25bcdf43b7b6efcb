# SPDX-License-Identifier: Apache-2.0
"""Ties the pieces of the kit together: what the loader starts and ends a runtime with."""

from __future__ import annotations

import contextvars
import functools
import gc
import inspect
import json
import os
import platform
import site
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any, Callable

from . import (
    _aio,
    _envelope,
    _errors,
    _fork,
    _module,
    _native,
    _output,
    _shared,
    _siblings,
    _stream,
    _threads,
    _trace,
    _values,
)

DEFAULT_THREADS = 8

describe = _errors.describe


def adopt(loader: dict[str, Any]) -> None:
    """Makes the interpreter what the one that was probed is, if its initialisation did not."""
    sys.argv = [loader.get("file") or loader.get("module") or ""]
    if not loader.get("running"):
        _resemble(loader["probe"])
        _siblings.install()
        _shared.prepare()
    if "kit" in loader:
        # multiprocessing hands the path on to child processes, which import what this one has from the loader. At the
        # end: what is installed goes first there.
        sys.path.append(loader["kit"])
    _output.install()
    _fork.notice()
    _threads.have_stacks()


def _resemble(probe: dict[str, Any]) -> None:
    if (sys.prefix, sys.base_prefix) != (probe["prefix"], probe["base_prefix"]):
        sys.prefix, sys.exec_prefix = probe["prefix"], probe["prefix"]
        sys.base_prefix, sys.base_exec_prefix = probe["base_prefix"], probe["base_prefix"]
        site.main()
        sys.path[:] = probe["path"]
    sys.executable = probe["executable"]


class Guest:
    """A loaded module. The loader reads its attributes and calls its methods by name."""

    def __init__(self, runtime: Any, loader: dict[str, Any], codec: str, threads: int) -> None:
        self.runtime = runtime
        self.name = os.path.basename(loader["file"] or loader["module"])
        self.threads = threads or DEFAULT_THREADS
        self.is_file = loader["file"] is not None
        self.context = contextvars.Context()
        self.context.run(_output.route.set, runtime)
        self.loop: _aio.LoopThread | None = None
        self.pool: list[_threads.Thread] = []
        self.module: ModuleType | None = None
        self.describe = _errors.describe
        self.unfit = _errors.unfit
        self.flush = _output.flush
        self.refused = _stream.refused
        self.trace = _trace.enter
        self.apply = _envelope.apply
        self.keywords = _envelope.Keywords
        self._lock = _threads.lock()
        self._use(_values.codec_named(codec))
        #: With one thread that is where all of the guest runs: some objects are for the thread that made them.
        self.only = _threads.Thread(f"polyloop-{self.name}-1") if self.threads == 1 else None
        _output.begin(runtime)

    def _use(self, codec: _values.Codec) -> None:
        self.decode, self.encode, self.revive = codec.decode, codec.encode, codec.revive

    def load(self, loader: dict[str, Any], config: Any) -> None:
        """Loads the module and runs its `init`."""
        self._at_home(functools.partial(self._import, loader))
        init = getattr(self.module, "init", None)
        if callable(init):
            self._initialise(init, config)
        if any(is_async for _, is_async in self.methods):
            self._the_loop()
        self.manifest = self._manifest([] if loader.get("running") else _shared.warnings())

    def _at_home(self, function: Callable[[], Any]) -> Any:
        """Calls `function` where the module is loaded: on the guest's one thread, or on Python's main thread if
        `process.py` keeps that free for it, or here.
        """
        jobs = self.only or getattr(sys.modules.get("__main__"), "polyloop_jobs", None)

        def call() -> Any:
            try:
                return self.context.run(function)
            finally:
                _output.flush()

        return _threads.run_on(_threads.here if jobs is None else jobs.put, call)

    def _import(self, loader: dict[str, Any]) -> None:
        if self.is_file:
            self.module = _module.load_file(loader["file"])
        else:
            self.module = _module.load_module(loader["module"])
        functions = _module.functions(self.module)
        if not functions:
            raise TypeError(
                f"{self.name} has no public functions: define one whose name has no leading underscore, "
                "or list it in __all__"
            )
        self.functions = functions
        self.methods = tuple((function, _module.is_async(function)) for function in functions.values())
        self.handle = list(functions).index("handle") if "handle" in functions else -1

    def _initialise(self, init: Callable[..., Any], config: Any) -> None:
        call = functools.partial(init, config) if _module.parameters(init) else init
        result = call() if _module.is_async(init) else self._at_home(call)
        if inspect.isawaitable(result):
            self.context.run(self._the_loop().run, _await(result))

    def _is_all_async(self) -> bool:
        return all(is_async for _, is_async in self.methods)

    def _the_loop(self) -> _aio.LoopThread:
        with self._lock:
            if self.loop is None:
                thread, self.only = (self.only, None) if self._is_all_async() else (None, self.only)
                self.loop = _aio.LoopThread(self.runtime, self.name, self.context, thread)
            return self.loop

    def _manifest(self, warnings: list[str]) -> str:
        methods = [_described(name, function) for name, function in self.functions.items()]
        info = {
            "python": platform.python_version(),
            "executable": sys.executable,
            "prefix": sys.prefix,
            "module": self.module.__name__ if self.module else None,
            "file": getattr(self.module, "__file__", None),
        }
        told = {"warnings": warnings} if warnings else {}
        return json.dumps({"methods": methods, "info": info, "envelope": 1, "keywords": True, **told})

    def begin(self) -> None:
        """Starts the pool; one thread is enough to hand async calls over."""
        for number in range(1 if self._is_all_async() else self.threads):
            try:
                thread = self.only or _threads.Thread(f"polyloop-{self.name}-{number + 1}")
            except RuntimeError:
                # No more threads to be had: fewer do, none does not.
                if not self.pool:
                    raise
                break
            self.only = None
            self.pool.append(thread)
            thread.put(functools.partial(_native.work, self.runtime))
            thread.end()

    def serve(self, token: Any, function: Callable[..., Any], flags: int) -> None:
        """Runs and answers a call that streams, on a thread of the pool."""
        _stream.serve(self.runtime, token, function, flags, self._adopt)

    def _adopt(self, token: Any, items: AsyncIterator[Any]) -> None:
        self._the_loop().adopt(token, items)

    def spawn(self, token: Any, function: Callable[..., Any], flags: int) -> None:
        """Starts a call on the loop, on whose thread this runs."""
        if self.loop is not None:
            self.loop.spawn(token, function, flags)

    def notice(self, number: int, events: int) -> None:
        """Tells a call on the loop what happened to it."""
        if self.loop is not None:
            self.loop.notice(number, events)

    def stop(self) -> None:
        """Waits for the pool, which ends when the host stops the runtime, then for the loop."""
        if self.only is not None:
            self.only.end()
            self.only.join()
        for thread in self.pool:
            thread.join()
        if self.loop is not None:
            self.loop.stop()

    def close(self) -> None:
        """Forgets the module, and with it views of requests that it kept."""
        if self.module is not None and self.is_file:
            _module.forget(self.module)
        self.__dict__.update(module=None, functions={}, methods=(), loop=None, pool=[])
        _output.end(self.runtime)
        gc.collect()


def _described(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The entry of a function in the manifest."""
    entry = {"name": name, "params": _module.parameters(function), "async": _module.is_async(function)}
    return {**entry, "stream": True} if _module.streams(function) else entry


async def _await(awaitable: Any) -> Any:
    return await awaitable


def start(runtime: Any, loader_json: str, config_json: str, codec: str, threads: int) -> Guest:
    """Loads a guest; whatever it raises is what the host is told."""
    loader = {"module": None, "file": None, **json.loads(loader_json)}
    config = json.loads(config_json) if config_json else None
    guest = Guest(runtime, loader, codec, threads)
    try:
        guest.load(loader, config)
    except BaseException:
        _output.flush()
        guest.stop()
        guest.close()
        raise
    return guest
