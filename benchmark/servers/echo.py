# SPDX-License-Identifier: Apache-2.0
"""The Python baseline: calls `echo` for every frame (4-byte little-endian length, then that many bytes).

Plain blocking sockets, because asyncio costs several times as much: read as much as there is into one large
buffer, call the function once a frame on a memoryview, answer a whole batch at once.
Usage: echo.py SOCKET. It ends when its one client is gone, or when none comes within ten seconds.
"""

import contextlib
import socket
import struct
import sys

HEADER = struct.Struct("<I")
START_CAPACITY = 1 << 20
JOIN_BELOW = 16 << 10  # smaller responses are cheaper to join than to send as a list of buffers
BUFFERS_A_SEND = 1000  # the kernel takes at most 1,024


def echo(payload):
    return payload


def accept_one(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(10)
        print("listening", flush=True)
        connection, _ = listener.accept()
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    return connection


def answer_frames(view, filled, handle):
    """Calls `handle` for each complete frame; returns the responses as buffers, the bytes used and the bytes needed."""
    out = []
    position = 0
    needed = HEADER.size
    unpack, pack = HEADER.unpack_from, HEADER.pack
    while filled - position >= HEADER.size:
        needed = HEADER.size + unpack(view, position)[0]
        end = position + needed
        if end > filled:
            break
        response = handle(view[position + HEADER.size : end])
        out.append(pack(len(response)))
        out.append(response)
        position = end
    return out, position, needed


def send_all(connection, out):
    if not out:
        return
    if len(out[1]) < JOIN_BELOW:
        connection.sendall(b"".join(out))
        return
    for start in range(0, len(out), BUFFERS_A_SEND):
        send_buffers(connection, out[start : start + BUFFERS_A_SEND])


def send_buffers(connection, buffers):
    sent = connection.sendmsg(buffers)
    for buffer in buffers:
        if sent < len(buffer):
            connection.sendall(memoryview(buffer)[sent:])
            sent = 0
        else:
            sent -= len(buffer)


def serve(connection, handle):
    view = memoryview(bytearray(START_CAPACITY))
    filled = 0
    while got := connection.recv_into(view[filled:]):
        filled += got
        out, used, needed = answer_frames(view, filled, handle)
        send_all(connection, out)
        rest = view[used:filled]
        if needed > len(view):
            view = memoryview(bytearray(needed))
        view[: len(rest)] = rest
        filled = len(rest)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        serve(accept_one(sys.argv[1]), echo)
