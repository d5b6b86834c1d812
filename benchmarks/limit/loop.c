/* The limit of the machine: a WebSocket server that does nothing but what cannot be left out. One thread, one epoll;
 * a broadcast builds each frame once and calls plain send() once for each frame and socket, or with --join once for
 * each socket and round. It speaks only the benchmark's own messages, and trusts them. Usage: loop --port P [--join] */
#define _GNU_SOURCE /* accept4, memmem */
#include "../load/accept.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 1024
#define READ_SIZE (256 * 1024)
#define REQUEST_LIMIT (2 * 1024 * 1024)
#define FRAME_LIMIT (64 * 1024 * 1024) /* of all frames of a round with --join; untouched pages cost nothing */
#define UNSENT_LIMIT (1024 * 1024)     /* of a client that does not read; then it is closed */
#define FILES_LIMIT (1024 * 1024)

struct client {
    bool open;            /* its handshake is done */
    char *input, *unsent; /* a request that was cut; what the kernel had no room for */
    size_t input_size, unsent_size;
};

static struct client *clients; /* by descriptor */
static int highest, poller;
static bool join;
static char frame[FRAME_LIMIT];
static size_t frame_size;

static void append(char **to, size_t *size, const char *bytes, size_t more)
{
    *to = realloc(*to, *size + more);
    if (!*to)
        abort();
    memcpy(*to + *size, bytes, more);
    *size += more;
}

static void watch(int fd, int operation)
{
    uint32_t writing = clients[fd].unsent_size ? EPOLLOUT : 0;
    struct epoll_event event = {.events = EPOLLIN | writing, .data.fd = fd};
    epoll_ctl(poller, operation, fd, &event);
}

/* ---- the life of a client ---- */

static void accept_all(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        clients[fd] = (struct client){0};
        if (fd > highest)
            highest = fd;
        watch(fd, EPOLL_CTL_ADD);
    }
}

/* Its end is then read as that of any other: here it may be in use further up the stack. */
static void drop(int fd)
{
    clients[fd].open = false;
    shutdown(fd, SHUT_RDWR);
}

static void forget(int fd)
{
    free(clients[fd].input);
    free(clients[fd].unsent);
    clients[fd] = (struct client){0};
    close(fd);
}

/* ---- sending ---- */

/* What a client does not take waits for it, up to a limit: a server that tears frames would be none. */
static void send_later(int fd, const char *bytes, size_t size)
{
    struct client *client = &clients[fd];
    bool first = client->unsent_size == 0;
    if (client->unsent_size + size > UNSENT_LIMIT) {
        drop(fd);
        return;
    }
    append(&client->unsent, &client->unsent_size, bytes, size);
    if (first)
        watch(fd, EPOLL_CTL_MOD);
}

static inline void send_bytes(int fd, const char *bytes, size_t size)
{
    ssize_t sent = clients[fd].unsent_size ? 0 : send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size || (sent < 0 && errno != EAGAIN))
        return; /* of an error the client's end will be read */
    size_t done = sent > 0 ? (size_t)sent : 0;
    send_later(fd, bytes + done, size - done);
}

static void send_unsent(int fd)
{
    struct client *client = &clients[fd];
    ssize_t sent = send(fd, client->unsent, client->unsent_size, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    client->unsent_size -= (size_t)sent;
    memmove(client->unsent, client->unsent + sent, client->unsent_size);
    if (client->unsent_size == 0)
        watch(fd, EPOLL_CTL_MOD);
}

static void broadcast(void)
{
    for (int fd = 0; fd <= highest; fd++)
        if (clients[fd].open)
            send_bytes(fd, frame, frame_size);
    frame_size = 0;
}

/* ---- messages ---- */

static void add(const void *bytes, size_t size)
{
    memcpy(frame + frame_size, bytes, size);
    frame_size += size;
}

static void add_header(int opcode, size_t size)
{
    unsigned char header[10] = {(unsigned char)(0x80 | opcode), (unsigned char)size};
    size_t extra = size < 126 ? 0 : size < 65536 ? 2 : 8;
    if (extra)
        header[1] = extra == 2 ? 126 : 127;
    for (size_t i = 0; i < extra; i++)
        header[2 + i] = (unsigned char)((uint64_t)size >> 8 * (extra - 1 - i));
    add(header, 2 + extra);
}

static void answer_broadcast(unsigned burst, size_t pad)
{
    char before[64];
    for (unsigned i = 0; i < burst && frame_size + pad + 128 < FRAME_LIMIT; i++) {
        int size = snprintf(before, sizeof before, "{\"channel\":\"bench\",\"payload\":{\"n\":%u,\"pad\":\"", i);
        add_header(1, (size_t)size + pad + 3);
        add(before, (size_t)size);
        memset(frame + frame_size, 'x', pad);
        frame_size += pad;
        add("\"}}", 3);
        if (!join)
            broadcast();
    }
    if (join)
        broadcast();
}

static void answer_echo(int fd, const char *text, size_t size)
{
    static const char before[] = "{\"channel\":\"bench\",\"payload\":{\"echo\":\"";
    size_t length = 0;
    while (length < size && text[length] != '"')
        length += text[length] == '\\' ? 2 : 1;
    add_header(1, sizeof before - 1 + length + 3);
    add(before, sizeof before - 1);
    add(text, length);
    add("\"}}", 3);
    send_bytes(fd, frame, frame_size);
}

static void answer(int fd, int opcode, const char *payload, size_t size)
{
    const char *at;
    unsigned burst;
    size_t pad;
    frame_size = 0;
    if (opcode == 8 || opcode == 9) {
        add_header(opcode == 8 ? 8 : 10, size);
        add(payload, size);
        send_bytes(fd, frame, frame_size);
        if (opcode == 8)
            drop(fd);
    } else if ((at = memmem(payload, size, "\"echo\":\"", 8))) {
        answer_echo(fd, at + 8, size - (size_t)(at + 8 - payload));
    } else if ((at = memmem(payload, size, "\"burst\":", 8))) {
        if (sscanf(at, "\"burst\":%u,\"size\":%zu", &burst, &pad) == 2)
            answer_broadcast(burst, pad);
    }
}

/* ---- reading ---- */

/* Answer the HTTP request; returns its size, 0 while it is not complete. */
static size_t read_handshake(int fd, const char *bytes, size_t size)
{
    static const char name[] = "Sec-WebSocket-Key: ", bad[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    const char *end = memmem(bytes, size, "\r\n\r\n", 4), *key = memmem(bytes, size, name, sizeof name - 1);
    char accept[ACCEPT_SIZE], text[256];
    if (!end)
        return 0;
    if (!key || key > end) {
        send_bytes(fd, bad, sizeof bad - 1);
        drop(fd);
        return size;
    }
    key += sizeof name - 1;
    websocket_accept(key, strcspn(key, "\r"), accept);
    int length = snprintf(text, sizeof text,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    clients[fd].open = true;
    send_bytes(fd, text, (size_t)length);
    return (size_t)(end - bytes) + 4;
}

/* Unmask and answer one frame; returns its size, 0 while it is not complete. There are no fragments. */
static size_t read_frame(int fd, char *bytes, size_t size)
{
    const unsigned char *header = (unsigned char *)bytes;
    size_t extra, length = 0;
    if (size < 2)
        return 0;
    extra = (header[1] & 0x7f) < 126 ? 0 : (header[1] & 0x7f) == 126 ? 2 : 8;
    if (size < 6 + extra)
        return 0;
    for (size_t i = 0; i < extra; i++)
        length = length << 8 | header[2 + i];
    if (!extra)
        length = header[1] & 0x7f;
    if (length > REQUEST_LIMIT) {
        drop(fd);
        return size;
    }
    char *key = bytes + 2 + extra, *payload = key + 4;
    if (size < 6 + extra + length)
        return 0;
    for (size_t i = 0; i < length; i++)
        payload[i] ^= key[i & 3];
    answer(fd, header[0] & 0x0f, payload, length);
    return 6 + extra + length;
}

static size_t read_bytes(int fd, char *bytes, size_t size)
{
    size_t used = 0, more = 1;
    while (used < size && more) {
        more = clients[fd].open ? read_frame(fd, bytes + used, size - used)
                                : read_handshake(fd, bytes + used, size - used);
        used += more;
    }
    return used;
}

static void read_client(int fd)
{
    static char buffer[READ_SIZE];
    struct client *client = &clients[fd];
    ssize_t got = recv(fd, buffer, READ_SIZE, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        forget(fd);
        return;
    }
    bool cut = client->input_size > 0;
    if (cut)
        append(&client->input, &client->input_size, buffer, (size_t)got);
    char *bytes = cut ? client->input : buffer;
    size_t size = cut ? client->input_size : (size_t)got, used = read_bytes(fd, bytes, size);
    if (cut) {
        memmove(bytes, bytes + used, size - used);
        client->input_size = size - used;
    } else if (used < size) {
        append(&client->input, &client->input_size, bytes + used, size - used);
    }
}

/* ---- the loop ---- */

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0) {
        perror("loop");
        exit(1);
    }
    return fd;
}

static void run(int listener)
{
    static struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                send_unsent(fd);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                read_client(fd);
        }
    }
}

int main(int count, char **arguments)
{
    struct rlimit files;
    int port = 0;
    for (int i = 1; i < count; i++)
        if (strcmp(arguments[i], "--join") == 0)
            join = true;
        else if (strcmp(arguments[i], "--port") == 0 && i + 1 < count)
            port = atoi(arguments[++i]);
    if (port <= 0) {
        fprintf(stderr, "usage: loop --port P [--join]\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < FILES_LIMIT ? files.rlim_max : FILES_LIMIT;
    setrlimit(RLIMIT_NOFILE, &files);
    clients = calloc(files.rlim_cur, sizeof *clients);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(port);
    watch(listener, EPOLL_CTL_ADD);
    puts("ready");
    fflush(stdout);
    run(listener);
}
