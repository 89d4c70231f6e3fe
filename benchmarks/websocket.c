/* The client of the WebSocket rows: connections that send a message and wait for its echo, each as
 * fast as it is answered; or one connection that speaks and many that hear it (`broadcast`).
 *
 * It sends constant masked frames and reads only the frames' heads, so that its core keeps up with the
 * fastest servers; what an echo says is checked by the tests, its length and opcode are checked here.
 * It prints what load.lua prints.
 *
 * Usage: websocket PORT PATH CONNECTIONS SIZE SECONDS echo|broadcast [deflate]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 1 << 18, HEAD = 14, MOST_SAMPLES = 1 << 22 };

struct connection {
    int fd;
    size_t unsent;      /* bytes of the message that are still to be sent */
    uint64_t payload;   /* bytes of the present frame's payload that are still to be read */
    uint64_t length;    /* of the payload of the present frame */
    unsigned char head[HEAD];
    int head_length;    /* bytes of the next frame's head that were read */
    int data;           /* the present frame carries a message */
    double sent;        /* when the message was begun, in seconds */
};

static unsigned char *message;
static size_t message_length;
static uint64_t size;
static int deflate, broadcast;
static char buffer[BUFFER];
static uint64_t messages, bytes, wrong, broken;
static uint32_t *samples;
static size_t sampled;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A masked text frame of `size` bytes; with deflate the text is what compresses about as JSON does. */
static void make_message(void) {
    static const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
    static const char words[] = "{\"id\": 12345, \"name\": \"item\", \"price\": 9.99, \"tags\": []}, ";
    message = malloc(size + HEAD);
    if (message == NULL) die("malloc");
    size_t at = 0;
    message[at++] = 0x81;
    if (size < 126) {
        message[at++] = (unsigned char)(0x80 | size);
    } else if (size < 65536) {
        message[at++] = 0x80 | 126;
        message[at++] = (unsigned char)(size >> 8);
        message[at++] = (unsigned char)size;
    } else {
        message[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) message[at++] = (unsigned char)(size >> shift);
    }
    memcpy(message + at, mask, 4);
    at += 4;
    for (uint64_t i = 0; i < size; i++)
        message[at++] = (unsigned char)words[i % (sizeof words - 1)] ^ mask[i % 4];
    message_length = at;
}

static int open_connection(int port, const char *path) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int length = snprintf(buffer, sizeof buffer,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
        path, deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    if (write(fd, buffer, (size_t)length) != length) die("write");
    /* No server speaks first here, so that what is read is the answer to the handshake. */
    size_t got = 0;
    while (got < 4 || memcmp(buffer + got - 4, "\r\n\r\n", 4) != 0) {
        if (read(fd, buffer + got, 1) != 1) die("handshake");
        got++;
    }
    if (memcmp(buffer, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "handshake: %.12s\n", buffer);
        exit(1);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void send_some(struct connection *c) {
    while (c->unsent > 0) {
        ssize_t sent = write(c->fd, message + message_length - c->unsent, c->unsent);
        if (sent < 0) {
            if (errno != EAGAIN) broken++;
            return;
        }
        c->unsent -= (size_t)sent;
    }
}

static void speak(struct connection *c) {
    c->sent = now();
    c->unsent = message_length;
    send_some(c);
}

/* The length of a frame's head, 0 while it cannot be told. */
static int whole_head(const struct connection *c) {
    if (c->head_length < 2) return 0;
    int length = c->head[1] & 0x7f;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static void take_head(struct connection *c) {
    int opcode = c->head[0] & 0x0f, length = c->head[1] & 0x7f, start = 2;
    uint64_t payload = (uint64_t)length;
    if (length >= 126) {
        int end = length == 126 ? 4 : 10;
        payload = 0;
        for (; start < end; start++) payload = payload << 8 | c->head[start];
    }
    c->data = opcode <= 2;
    c->payload = c->length = payload;
    c->head_length = 0;
    if (opcode == 8) broken++;
}

/* Reads what is there; gives how many messages were completed. */
static int hear(struct connection *c) {
    int heard = 0;
    for (;;) {
        ssize_t got = read(c->fd, buffer, sizeof buffer);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            broken++;
            return heard;
        }
        if (got < 0) return heard;
        bytes += (uint64_t)got;
        const char *at = buffer, *end = buffer + got;
        while (at < end || (c->payload == 0 && c->length > 0)) {
            if (c->length > 0 || c->payload > 0) {
                uint64_t part = (uint64_t)(end - at) < c->payload ? (uint64_t)(end - at) : c->payload;
                c->payload -= part;
                at += part;
                if (c->payload > 0) break;
                if (c->data) {
                    heard++;
                    wrong += !deflate && c->length != size;
                }
                c->length = 0;
                continue;
            }
            c->head[c->head_length++] = (unsigned char)*at++;
            if (c->head_length == whole_head(c)) take_head(c);
        }
        if ((size_t)got < sizeof buffer) return heard;
    }
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static unsigned percentile(unsigned hundredth) {
    return sampled == 0 ? 0 : samples[(sampled - 1) * hundredth / 100];
}

int main(int count, char **words) {
    if (count < 7) {
        fprintf(stderr, "usage: websocket PORT PATH CONNECTIONS SIZE SECONDS echo|broadcast [deflate]\n");
        return 2;
    }
    int port = atoi(words[1]), connections = atoi(words[3]);
    size = strtoull(words[4], NULL, 10);
    double seconds = atof(words[5]);
    broadcast = strcmp(words[6], "broadcast") == 0;
    deflate = count > 7 && strcmp(words[7], "deflate") == 0;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_message();
    samples = malloc(MOST_SAMPLES * sizeof *samples);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    int poller = epoll_create1(0);
    if (samples == NULL || all == NULL || poller < 0) die("start");
    for (int i = 0; i < connections; i++) {
        all[i].fd = open_connection(port, words[2]);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &all[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, all[i].fd, &event) < 0) die("epoll_ctl");
    }
    double start = now(), end = start + seconds;
    int missing = 0; /* of the present broadcast */
    if (broadcast) {
        missing = connections;
        speak(&all[0]);
    } else {
        for (int i = 0; i < connections; i++) speak(&all[i]);
    }
    static struct epoll_event events[EVENTS];
    double time = start;
    while (time < end && broken == 0) {
        int ready = epoll_wait(poller, events, EVENTS, 100);
        time = now();
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->unsent > 0) send_some(c);
            int heard = hear(c);
            messages += (uint64_t)heard;
            if (broadcast) {
                missing -= heard;
                if (missing == 0) {
                    if (sampled < MOST_SAMPLES) samples[sampled++] = (uint32_t)((time - all[0].sent) * 1e6);
                    missing = connections;
                    speak(&all[0]);
                }
            } else if (heard > 0) {
                if (sampled < MOST_SAMPLES) samples[sampled++] = (uint32_t)((time - c->sent) * 1e6);
                speak(c);
            }
        }
    }
    qsort(samples, sampled, sizeof *samples, by_value);
    printf("RESULT requests=%llu microseconds=%.0f bytes=%llu status=%llu connect=0 read=%llu write=0 "
           "timeout=0 p50=%u p99=%u\n",
        (unsigned long long)messages, (time - start) * 1e6, (unsigned long long)bytes,
        (unsigned long long)wrong, (unsigned long long)broken, percentile(50), percentile(99));
    return 0;
}
