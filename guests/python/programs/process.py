# SPDX-License-Identifier: Apache-2.0
"""Gives this process to a Polyloop guest: `python process.py LIBRARY`.

The library talks to the host, and has the Python loader use the interpreter that runs this. The host
runs this file with whatever interpreter it is told, so it keeps to what Python 2.7 understands until
it has looked at the version.
"""

import os
import sys

#: Seconds that threads may take to end before it is said that they are waited for.
PATIENCE = 0.5

#: What the kit wants to be run on the main thread: modules are loaded there, since nothing else may set signal
#: handlers.
polyloop_jobs = None


def refusal():
    """Why this interpreter will not do, if so."""
    if implementation() != "cpython":
        return "is not CPython: name a CPython 3.9 to 3.14 with the option `python`"
    if not (3, 9) <= tuple(sys.version_info[:2]) <= (3, 14):
        return "is not CPython 3.9 to 3.14: name another with the option `python` or `venv`"
    return None


def implementation():
    known = getattr(sys, "implementation", None)
    return known.name if known else "cpython"


def give_up(why):
    """Ends the process with one line that says why."""
    known = (sys.executable, implementation(), sys.version.split()[0], why)
    sys.stderr.write("%s (%s %s) %s\n" % known)
    sys.exit(1)


def hide_own_folder():
    """Takes the folder of this file, which Python put in front, out of `sys.path`."""
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [path for path in sys.path if path and os.path.realpath(path) != here]


def opened(path):
    """The function of the library that serves the host until it has unloaded the guest."""
    try:
        import ctypes
    except ImportError as error:
        give_up(
            "has no ctypes (%s): install it (Debian: libpython3-stdlib; pyenv: build with libffi-dev installed), "
            "or name another interpreter" % error
        )
    try:
        # Not PyDLL: the GIL is for the guest's threads while this runs.
        return ctypes.CDLL(path).polyloop_process_main
    except (AttributeError, OSError) as error:
        give_up("cannot load the library of Polyloop: %s" % error)


def refused(error):
    """Ends the process, to which the system refuses a thread or a descriptor, as the library does if it is refused one."""
    import errno

    number = getattr(error, "errno", None) or errno.EAGAIN
    sys.stderr.write("polyloop: this process cannot serve a guest: %s (os error %d)\n" % (error, number))
    sys.exit(70)


class Jobs:
    """Functions for the main thread to run; None is the last.

    It waits at a pipe, not at a lock: Python writes there what signals have come, so that one that comes just
    before the wait, or to another thread, ends it too, and its handler runs.
    """

    def __init__(self):
        import collections
        import signal

        self._waiting = collections.deque()
        self._reader, self._writer = os.pipe()
        # Of before a guest could put cooperative ones in their place.
        self._read, self._write = os.read, os.write
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def put(self, job):
        self._waiting.append(job)
        try:
            self._write(self._writer, b"\0")
        except BlockingIOError:
            # Full of reasons to look.
            pass

    def run(self):
        while True:
            while not self._waiting:
                self._read(self._reader, 4096)
            job = self._waiting.popleft()
            if job is None:
                return
            job()
            # Waiting for the next one must not keep what this one was about.
            del job


def leave(error):
    """Ends the process if a signal handler of the guest raised.

    It cannot be finalised under the guest's threads; what the guest registered with `atexit` runs all the same.
    """
    import atexit
    import traceback

    status = 1
    if not isinstance(error, SystemExit):
        traceback.print_exception(type(error), error, error.__traceback__)
    elif error.code is None or isinstance(error.code, int):
        status = error.code or 0
    else:
        sys.stderr.write("%s\n" % (error.code,))
    atexit._run_exitfuncs()
    os._exit(status & 255)


def tell_who_is_waited_for(threading):
    """Says which threads keep this process, if they do so for a while: Python waits for those that are no daemons."""
    import time

    end = time.monotonic() + PATIENCE
    own = threading.current_thread()
    others = [thread for thread in threading.enumerate() if not thread.daemon and thread is not own]
    for thread in others:
        thread.join(max(0, end - time.monotonic()))
    names = ["'%s'" % thread.name for thread in others if thread.is_alive()]
    if names:
        sys.stderr.write(
            "polyloop: the guest has ended, and its process waits for %s %s: have a thread end with the guest, or make "
            "it a daemon; the process is killed after the option drainTimeout\n"
            % ("the thread" if len(names) == 1 else "the threads", ", ".join(names))
        )
        sys.stderr.flush()


def main(path):
    global polyloop_jobs
    import signal
    import threading

    # Who interrupts all the processes of a program reaches this one, too: what it means is for the host to say. By a
    # handler: programs that the guest starts would inherit that the signal is ignored.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.siginterrupt(signal.SIGINT, False)
    serve = opened(path)
    try:
        jobs = polyloop_jobs = Jobs()
    except OSError as error:
        refused(error)
    result = []

    def serve_host():
        try:
            result.append(serve())
        finally:
            jobs.put(None)

    thread = threading.Thread(target=serve_host, name="polyloop", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        refused(error)
    try:
        jobs.run()
    except BaseException as error:
        leave(error)
    thread.join()
    tell_who_is_waited_for(threading)
    sys.exit(result[0])


if __name__ == "__main__":
    why = refusal()
    if why is not None:
        give_up(why)
    hide_own_folder()
    if len(sys.argv) != 2:
        give_up("was not told one library: run this file with the path of libpolyloop_guest_process.so")
    main(sys.argv[1])
