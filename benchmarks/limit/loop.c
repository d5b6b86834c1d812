/* The limit of the machine: a WebSocket server that does nothing but what cannot be left out. One thread, one epoll;
 * a broadcast builds each frame once and calls plain send() once for each frame and socket, or with --join once for
 * each socket and round. It checks little and speaks only the benchmark's own messages. Usage: loop --port P [--join] */
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

#define EVENTS 256
#define READ_SIZE (256 * 1024)
#define INPUT_LIMIT (2 * 1024 * 1024)  /* of a request that is not complete */
#define UNSENT_LIMIT (1024 * 1024) /* of a client that does not read; then it is closed */

struct client {
    int fd;
    bool open;       /* its handshake is done */
    size_t place;    /* in `clients` */
    char *input;     /* a handshake or frame that was cut */
    size_t input_size;
    char *unsent;
    size_t unsent_size;
};

struct text {
    char *bytes;
    size_t size, room;
};

static struct client **clients;
static size_t client_count, client_room;
static int poller;
static bool join;
static struct text frame;

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void append(char **to, size_t *size, const char *bytes, size_t more)
{
    *to = checked(realloc(*to, *size + more + 1));
    memcpy(*to + *size, bytes, more);
    *size += more;
}

/* ---- clients ---- */

static void watch(struct client *client, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (client->unsent_size ? (uint32_t)EPOLLOUT : 0), .data.ptr = client};
    epoll_ctl(poller, operation, client->fd, &event);
}

/* Freed by the main loop, after the events of the same epoll_wait that may still point to it. */
static void drop(struct client *client)
{
    shutdown(client->fd, SHUT_RDWR);
    client->open = false;
}

static void accept_all(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *client = checked(calloc(1, sizeof *client));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (client_count == client_room) {
            client_room = client_room ? 2 * client_room : 1024;
            clients = checked(realloc(clients, client_room * sizeof *clients));
        }
        client->fd = fd;
        client->place = client_count;
        clients[client_count++] = client;
        watch(client, EPOLL_CTL_ADD);
    }
}

static void forget(struct client *client)
{
    close(client->fd);
    clients[client->place] = clients[--client_count];
    clients[client->place]->place = client->place;
    free(client->input);
    free(client->unsent);
    free(client);
}

/* ---- sending ---- */

/* What a client does not take waits for it, up to a limit: a server that drops or tears frames would be no server. */
static void send_rest(struct client *client, const char *bytes, size_t size)
{
    bool first = client->unsent_size == 0;
    if (client->unsent_size + size > UNSENT_LIMIT) {
        drop(client);
        return;
    }
    append(&client->unsent, &client->unsent_size, bytes, size);
    if (first)
        watch(client, EPOLL_CTL_MOD);
}

static inline void send_to(struct client *client, const char *bytes, size_t size)
{
    if (client->unsent_size == 0) {
        ssize_t sent = send(client->fd, bytes, size, MSG_NOSIGNAL);
        if (sent == (ssize_t)size || (sent < 0 && errno != EAGAIN))
            return;
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
    }
    send_rest(client, bytes, size);
}

static void send_unsent(struct client *client)
{
    ssize_t sent = send(client->fd, client->unsent, client->unsent_size, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    client->unsent_size -= (size_t)sent;
    memmove(client->unsent, client->unsent + sent, client->unsent_size);
    if (client->unsent_size == 0)
        watch(client, EPOLL_CTL_MOD);
}

static void broadcast(const char *bytes, size_t size)
{
    for (size_t i = 0; i < client_count; i++)
        if (clients[i]->open)
            send_to(clients[i], bytes, size);
}

/* ---- messages ---- */

static void need(struct text *text, size_t more)
{
    if (text->size + more <= text->room)
        return;
    text->room = 2 * (text->size + more);
    text->bytes = checked(realloc(text->bytes, text->room));
}

/* Append the header of an unmasked frame to `frame`. */
static void add_header(unsigned char opcode, size_t size)
{
    need(&frame, size + 10);
    unsigned char *header = (unsigned char *)frame.bytes + frame.size;
    header[0] = 0x80 | opcode;
    if (size < 126) {
        header[1] = (unsigned char)size;
        frame.size += 2;
    } else if (size < 65536) {
        header[1] = 126;
        header[2] = (unsigned char)(size >> 8);
        header[3] = (unsigned char)size;
        frame.size += 4;
    } else {
        header[1] = 127;
        for (int i = 0; i < 8; i++)
            header[2 + i] = (unsigned char)((uint64_t)size >> (56 - 8 * i));
        frame.size += 10;
    }
}

static void add(const void *bytes, size_t size)
{
    need(&frame, size);
    memcpy(frame.bytes + frame.size, bytes, size);
    frame.size += size;
}

static void add_bench(unsigned number, size_t size)
{
    char before[64];
    int length = snprintf(before, sizeof before, "{\"channel\":\"bench\",\"payload\":{\"n\":%u,\"pad\":\"", number);
    add_header(1, (size_t)length + size + 3);
    add(before, (size_t)length);
    need(&frame, size);
    memset(frame.bytes + frame.size, 'x', size);
    frame.size += size;
    add("\"}}", 3);
}

static void answer_broadcast(unsigned burst, size_t size)
{
    frame.size = 0;
    for (unsigned i = 0; i < burst; i++) {
        add_bench(i, size);
        if (join && i + 1 < burst)
            continue;
        broadcast(frame.bytes, frame.size);
        frame.size = 0;
    }
}

static void answer_echo(struct client *client, const char *value, size_t size)
{
    static const char before[] = "{\"channel\":\"bench\",\"payload\":{\"echo\":\"";
    frame.size = 0;
    add_header(1, sizeof before - 1 + size + 3);
    add(before, sizeof before - 1);
    add(value, size);
    add("\"}}", 3);
    send_to(client, frame.bytes, frame.size);
}

static void answer_text(struct client *client, const char *text, size_t size)
{
    const char *at, *end = text + size;
    unsigned burst;
    size_t pad;
    if ((at = memmem(text, size, "\"burst\":", 8)) && sscanf(at, "\"burst\":%u,\"size\":%zu", &burst, &pad) == 2) {
        answer_broadcast(burst, pad);
    } else if ((at = memmem(text, size, "\"echo\":\"", 8))) {
        const char *value = at + 8, *stop = value;
        while (stop < end && *stop != '"')
            stop += 1 + (*stop == '\\');
        answer_echo(client, value, (size_t)((stop < end ? stop : end) - value));
    }
}

static void answer(struct client *client, unsigned char opcode, char *payload, size_t size)
{
    if (opcode == 1) {
        answer_text(client, payload, size);
    } else if (opcode == 8 || opcode == 9) {
        frame.size = 0;
        add_header(opcode == 8 ? 8 : 10, size);
        add(payload, size);
        send_to(client, frame.bytes, frame.size);
        if (opcode == 8)
            drop(client);
    }
}

/* ---- reading ---- */

/* Answer the HTTP request; returns its size, 0 while it is not complete. */
static size_t read_handshake(struct client *client, const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    const char *key = memmem(bytes, size, "Sec-WebSocket-Key: ", 19);
    char accept[ACCEPT_SIZE], answer[256];
    if (!end)
        return 0;
    if (!key || key > end) {
        send_to(client, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
        drop(client);
        return size;
    }
    key += 19;
    websocket_accept(key, strcspn(key, "\r"), accept);
    int length = snprintf(answer, sizeof answer,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
    client->open = true;
    send_to(client, answer, (size_t)length);
    return (size_t)(end - bytes) + 4;
}

/* Unmask and answer one frame; returns its size, 0 while it is not complete. Fragments are not understood. */
static size_t read_frame(struct client *client, char *bytes, size_t size)
{
    unsigned char *header = (unsigned char *)bytes;
    size_t at = 2, length;
    if (size < 14 && (size < 2 || (header[1] & 0x7f) > 125))
        return 0; /* the longest header is not here; any frame that has one is longer */
    length = header[1] & 0x7f;
    if (length == 126) {
        length = (size_t)header[2] << 8 | header[3];
        at = 4;
    } else if (length == 127) {
        length = 0;
        for (int i = 0; i < 8; i++)
            length = length << 8 | header[2 + i];
        at = 10;
    }
    if (length > INPUT_LIMIT) {
        drop(client);
        return size;
    }
    at += 4;
    if (size < at + length)
        return 0;
    for (size_t i = 0; i < length; i++)
        bytes[at + i] ^= bytes[at - 4 + (i & 3)];
    answer(client, header[0] & 0x0f, bytes + at, length);
    return at + length;
}

static size_t read_bytes(struct client *client, char *bytes, size_t size)
{
    size_t used = 0, more = 1;
    while (used < size && more) {
        more = client->open ? read_frame(client, bytes + used, size - used)
                            : read_handshake(client, bytes + used, size - used);
        used += more;
    }
    return used;
}

/* Returns false when the client is gone. */
static bool read_client(struct client *client)
{
    static char buffer[READ_SIZE + 1];
    ssize_t got = recv(client->fd, buffer, READ_SIZE, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    if (client->input_size == 0) {
        size_t used = read_bytes(client, buffer, (size_t)got);
        if (used < (size_t)got)
            append(&client->input, &client->input_size, buffer + used, (size_t)got - used);
        return true;
    }
    append(&client->input, &client->input_size, buffer, (size_t)got);
    size_t used = read_bytes(client, client->input, client->input_size);
    client->input_size -= used;
    memmove(client->input, client->input + used, client->input_size);
    return true;
}

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

int main(int count, char **arguments)
{
    struct epoll_event events[EVENTS];
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
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int listener = listen_on(port);
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL};
    poller = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!client)
                accept_all(listener);
            else {
                if (events[i].events & EPOLLOUT && client->unsent_size)
                    send_unsent(client);
                if (events[i].events & ~(uint32_t)EPOLLOUT && !read_client(client))
                    forget(client);
            }
        }
    }
}
