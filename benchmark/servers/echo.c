// SPDX-License-Identifier: Apache-2.0
// The baseline: answers every frame (4-byte little-endian length, then that many bytes) of one connection.
// As fast as a server with a real wire format can be: it reads as much as there is, looks at every frame's
// length, and sends all complete frames back in one write, from the very buffer it read them into.
// Usage: echo SOCKET. It ends when its one client is gone, or when none comes within ten seconds.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEADER = 4, START_CAPACITY = 1 << 20 };

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int accept_one(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 10};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || strlen(path) >= sizeof address.sun_path) fail("socket");
    strcpy(address.sun_path, path);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) fail(path);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    puts("listening");
    fflush(stdout);
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) fail("accept");
    int large = 4 << 20; // the kernel takes what it allows
    setsockopt(connection, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    return connection;
}

static void write_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) exit(0); // the client is gone
        if (sent < 0) continue;
        bytes += sent;
        count -= (size_t)sent;
    }
}

// Returns the number of leading bytes that are complete frames; *needed is the size of the first incomplete one.
static size_t complete_frames(const char *bytes, size_t filled, size_t *needed) {
    size_t end = 0;
    *needed = HEADER;
    while (filled - end >= HEADER) {
        uint32_t length;
        memcpy(&length, bytes + end, HEADER);
        *needed = HEADER + (size_t)length;
        if (filled - end < *needed) break;
        end += *needed;
    }
    return end;
}

int main(int count, char **arguments) {
    if (count != 2) return fputs("usage: echo SOCKET\n", stderr), 2;
    int fd = accept_one(arguments[1]);
    size_t capacity = START_CAPACITY, filled = 0, needed;
    char *bytes = malloc(capacity);
    for (;;) {
        ssize_t got = bytes == NULL ? 0 : read(fd, bytes + filled, capacity - filled);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        filled += (size_t)got;
        size_t end = complete_frames(bytes, filled, &needed);
        write_all(fd, bytes, end);
        filled -= end;
        if (end > 0 && filled > 0) memmove(bytes, bytes + end, filled);
        if (needed > capacity) bytes = realloc(bytes, capacity = needed);
    }
}
