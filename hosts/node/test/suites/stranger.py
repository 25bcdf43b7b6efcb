# SPDX-License-Identifier: Apache-2.0
"""What has the address of a shared guest and is no broker: a program of the same user.

It says a line on its standard output for each step, and ends when its standard input does.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys

path, what, text = sys.argv[1:4]
F_ADD_SEALS = 1033
SEALS = 0x7  # SEAL, SHRINK and GROW.


def memory(seals):
    made = os.memfd_create("parking", os.MFD_ALLOW_SEALING)
    os.ftruncate(made, 1 << 16)
    if seals:
        fcntl.fcntl(made, F_ADD_SEALS, seals)
    return made


def tell(line):
    print(line, flush=True)


def welcome(host):
    """Serves a host as a broker does: what it has sent, and where what is printed goes."""
    _, files, _, _ = socket.recv_fds(host, 64, 8)
    near, far = socket.socketpair()
    parking = memory(0 if what == "unsealed" else SEALS)
    socket.send_fds(host, [b'{"event":"welcome","pid":1}\n'], [parking, far.fileno()])
    far.close()
    return socket.socket(fileno=files[4]), near


def send(to, line):
    """Says a line; a host may hang up in the middle of that, or before."""
    end = "" if what == "half" and line is text else "\n"
    with contextlib.suppress(OSError):
        to.sendall(f"{line.replace('LONG', 'x' * (2 << 20))}{end}".encode())


listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
if what == "full":
    listener.listen(0)
    inside = []
    try:
        while True:
            one = socket.socket(socket.AF_UNIX)
            one.setblocking(False)
            one.connect(path)
            inside.append(one)
    except BlockingIOError:
        tell("listens")
else:
    listener.listen(8)
    tell("listens")
    host, _ = listener.accept()
    if what == "first":
        socket.recv_fds(host, 64, 8)
        send(host, text)
    elif what == "silent":
        tell("accepted")
    else:
        # Whoever comes later finds another one.
        listener.close()
        os.unlink(path)
        lifeline, output = welcome(host)
        manifest = json.dumps({"methods": [{"name": "echo"}]})
        send(lifeline, json.dumps({"event": "hello"}))
        send(lifeline, json.dumps({"event": "ready", "payload": manifest}))
        # Until the host is to hear something else.
        sys.stdin.readline()
        send(output if what == "prints" else host, text)
        if what == "half":
            host.close()
sys.stdin.read()
