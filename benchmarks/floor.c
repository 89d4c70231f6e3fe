/* The floor of the comparison: an epoll loop that answers constant bytes to anything that ends like a
 * request head. What it costs is what the kernel and the wire cost; no server can take less with one
 * read and one write for each batch of requests.
 *
 * It parses nothing but the empty line, so it is not a server. It must answer as many bytes as the
 * others do, and it must keep pipelined requests together in one write as the best of them can.
 *
 * Usage: floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER                              \
    "HTTP/1.1 200 OK\r\n"                   \
    "date: Mon, 01 Jan 2024 00:00:00 GMT\r\n" \
    "server: floor\r\n"                     \
    "content-type: text/plain\r\n"          \
    "content-length: 13\r\n\r\n"            \
    "Hello, World!"

enum { BATCH = 256, EVENTS = 512, MOST_FILES = 65536 };

/* How many bytes of "\r\n\r\n" a connection has shown at the end of its last read. */
static unsigned char matched[MOST_FILES];
static char answers[BATCH * (sizeof ANSWER - 1)];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int heads_in(int fd, const char *bytes, ssize_t length) {
    static const char end[] = "\r\n\r\n";
    int heads = 0;
    unsigned char seen = matched[fd];
    for (const char *at = bytes; at < bytes + length; at++) {
        if (seen == 0) { /* memchr is quicker than this loop where nothing is going on */
            at = memchr(at, '\r', (size_t)(bytes + length - at));
            if (at == NULL) break;
        }
        seen = *at == end[seen] ? seen + 1 : *at == '\r';
        if (seen == 4) {
            heads++;
            seen = 0;
        }
    }
    matched[fd] = seen;
    return heads;
}

static void serve(int fd) {
    static char bytes[65536];
    ssize_t length = recv(fd, bytes, sizeof bytes, 0);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
        close(fd);
        return;
    }
    int heads = heads_in(fd, bytes, length);
    while (heads > 0) {
        int now = heads < BATCH ? heads : BATCH;
        if (send(fd, answers, (size_t)now * (sizeof ANSWER - 1), MSG_NOSIGNAL) < 0) {
            close(fd);
            return;
        }
        heads -= now;
    }
}

int main(int count, char **words) {
    if (count != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    for (int i = 0; i < BATCH; i++) memcpy(answers + i * (sizeof ANSWER - 1), ANSWER, sizeof ANSWER - 1);

    struct rlimit files = {MOST_FILES, MOST_FILES};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < MOST_FILES ? files.rlim_max : MOST_FILES;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0) die("socket");
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(listener, 2048) < 0) die("listen");

    int poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) die("epoll_create1");
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted) < 0) die("epoll_ctl");

    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) continue;
            if (fd >= MOST_FILES) {
                close(fd);
                continue;
            }
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            matched[fd] = 0;
            wanted.data.fd = fd;
            if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted) < 0) close(fd);
        }
    }
}
