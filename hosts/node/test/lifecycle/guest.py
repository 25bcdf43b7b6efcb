# SPDX-License-Identifier: Apache-2.0
"""A guest for what the fixtures of all hosts do not have."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from typing import Any

_config: Any = None
_calls = 0
_lock = threading.Lock()
_running = 0
_most = 0
_barriers: dict[int, threading.Barrier] = {}
_open = threading.Event()
_pool: ProcessPoolExecutor | None = None
_memory: SharedMemory | None = None


def init(config: Any) -> None:
    global _config
    _config = config
    if isinstance(config, dict) and "computes" in config:
        compute(config["computes"])


def config() -> Any:
    return _config


def count() -> int:
    """How often this runtime was asked."""
    global _calls
    _calls += 1
    return _calls


def compute(library: str) -> None:
    """Computes for ever in a library whose destructors wait for that."""
    ctypes.CDLL(library).polyloop_fixture_compute()


def hold_gil_until(pipe: str) -> None:
    """Holds the GIL in C code until somebody opens this named pipe; says in a file that it does."""
    library = ctypes.PyDLL(None)
    touch(f"{pipe}.held")
    library.close(library.open(pipe.encode(), os.O_RDONLY))


def touch(path: str) -> None:
    with open(path, "w"):
        pass


def meet(parties: int) -> int:
    """Returns once so many calls are in here at the same time."""
    with _lock:
        barrier = _barriers.setdefault(parties, threading.Barrier(parties, timeout=240))
    barrier.wait()
    return parties


def most_at_once() -> int:
    """How many calls of this function were ever in here at the same time."""
    global _running, _most
    with _lock:
        _running += 1
        _most = max(_most, _running)
    time.sleep(0.02)
    with _lock:
        _running -= 1
    return _most


def start_programs() -> list[int]:
    """Starts what runs for ever: in this group, in a session of its own, without its parent, and in a pool.

    Makes memory with a name, which multiprocessing takes away once nobody is left who uses it.
    """
    global _pool, _memory
    _memory = SharedMemory(f"polyloop-test-{os.getpid()}", create=True, size=1)
    sleep = ["sleep", "1000000"]
    plain = subprocess.Popen(sleep).pid
    apart = subprocess.Popen(sleep, start_new_session=True).pid
    script = "setsid sleep 1000000 >/dev/null & echo $!"
    orphan = int(subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, check=True).stdout)
    _pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
    pooled = set(_pool.map(_pid_of_pool, range(20)))
    return [plain, apart, orphan, *pooled]


def _pid_of_pool(_number: int) -> int:
    return os.getpid()


def wait_for_open() -> None:
    """Returns after open_up was called."""
    _open.wait()


def open_up() -> None:
    _open.set()


def print_from_threads(threads: int, lines: int) -> None:
    """Several threads print at once, each line in three pieces."""

    def work(name: int) -> None:
        for number in range(lines):
            print("thread", name, f"line {number}")

    started = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def print_long(letter: str, length: int) -> None:
    print(letter * length)


def print_pieces(pieces: list[str]) -> None:
    """Prints a line piece by piece, each flushed."""
    for piece in pieces:
        print(piece, end="", flush=True)
        time.sleep(0.001)
    print()


def print_unflushed(pieces: list[str]) -> None:
    for piece in pieces:
        print(piece, end="")
        time.sleep(0.001)
    print()


def ask(prompt: str, answer: str) -> None:
    """Shows a prompt, and prints the answer once open_up was called."""
    print(prompt, end="", flush=True)
    _open.wait()
    print(answer)


def print_both(number: int) -> None:
    print("out", number)
    print("err", number, file=sys.stderr)


def log_records(count: int) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", force=True)
    for number in range(count):
        logging.error("record %d", number)
