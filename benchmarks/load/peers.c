#define _GNU_SOURCE /* memmem, SOCK_NONBLOCK */
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define SEND_LIMIT (1024 * 1024)
#define EVENTS 1024
#define MARKER_WITHIN 64
#define SOURCES 8 /* loopback addresses to connect from: each has only about 28,000 ports to give */

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct swarm swarm;

static const struct settings *settings;
static struct sockaddr_storage address;
static socklen_t address_size;
static int poller = -1;
static size_t room; /* of swarm.peers */
static unsigned char input[READ_SIZE];
static unsigned char output[SEND_LIMIT + FRAME_OVERHEAD];

int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* xorshift64*, seeded by the system: masks have to be unpredictable to proxies, not to cryptographers. */
static uint64_t random_word(void)
{
    static uint64_t state;
    while (state == 0)
        if (getrandom(&state, sizeof state, 0) != sizeof state)
            state = 0;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

/* ---- the life of a socket ---- */

static void watch(struct peer *peer, int operation)
{
    bool writing = peer->state == CONNECTING || peer->unsent_size > 0;
    struct epoll_event event = {
        .events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0),
        .data.u64 = (uint64_t)(peer - swarm.peers),
    };
    epoll_ctl(poller, operation, peer->fd, &event);
}

static void release(struct peer *peer, bool reset)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (reset && peer->fd >= 0)
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (peer->fd >= 0)
        close(peer->fd);
    free(peer->handshake);
    free(peer->unsent);
    peer->fd = -1;
    peer->handshake = NULL;
    peer->unsent = NULL;
    peer->unsent_size = 0;
    peer->state = GONE;
}

/* A socket has come to its end: a handshake that failed, or a client that was open. */
static void end(struct peer *peer, const char *reason)
{
    bool was_open = peer->state == OPEN;
    if (peer->state == GONE)
        return;
    release(peer, !was_open);
    counts_note(was_open ? &swarm.closed : &swarm.refused, reason);
    if (!was_open) {
        swarm.pending--;
        return;
    }
    swarm.open--;
    if (swarm.on_gone)
        swarm.on_gone(peer, reason);
}

static void opened(struct peer *peer)
{
    peer->state = OPEN;
    swarm.pending--;
    swarm.open++;
    swarm.opened++;
    swarm.last_open = swarm.last_heard;
}

/* ---- sending ---- */

static void keep_unsent(struct peer *peer, const unsigned char *bytes, size_t size)
{
    bool first = peer->unsent_size == 0;
    unsigned char *grown = realloc(peer->unsent, peer->unsent_size + size);
    if (!grown)
        abort();
    memcpy(grown + peer->unsent_size, bytes, size);
    peer->unsent = grown;
    peer->unsent_size += size;
    if (first && !peer->stalled)
        watch(peer, EPOLL_CTL_MOD);
}

static void send_bytes(struct peer *peer, const unsigned char *bytes, size_t size)
{
    ssize_t sent = 0;
    if (peer->state == GONE)
        return;
    if (peer->unsent_size == 0)
        sent = send(peer->fd, bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        return; /* the end of the socket will be read */
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < size)
        keep_unsent(peer, bytes + sent, size - (size_t)sent);
}

static void send_unsent(struct peer *peer)
{
    ssize_t sent = send(peer->fd, peer->unsent, peer->unsent_size, MSG_NOSIGNAL);
    if (sent <= 0)
        return;
    peer->unsent_size -= (size_t)sent;
    memmove(peer->unsent, peer->unsent + sent, peer->unsent_size);
    if (peer->unsent_size == 0)
        watch(peer, EPOLL_CTL_MOD);
}

static void send_frame(struct peer *peer, enum opcode opcode, const void *payload, size_t size)
{
    send_bytes(peer, output, frame_write(output, opcode, payload, size, (uint32_t)(random_word() >> 32)));
}

void peer_send_text(struct peer *peer, const char *text, size_t size)
{
    if (size <= SEND_LIMIT)
        send_frame(peer, TEXT, text, size);
}

static void say(struct peer *peer, const char *text)
{
    peer_send_text(peer, text, strlen(text));
}

/* ---- what a server says ---- */

static bool starts_with(const struct message *m, const char *text)
{
    size_t size = strlen(text);
    return m->head_size >= size && memcmp(m->head, text, size) == 0;
}

static bool contains(const struct message *m, size_t within, const char *text, size_t size)
{
    return memmem(m->head, m->head_size < within ? m->head_size : within, text, size) != NULL;
}

/* The marker is at the same place in all frames of a server: look there first. */
static bool has_marker(const struct message *m)
{
    static size_t usual;
    size_t size = strlen(swarm.marker), within = m->head_size < MARKER_WITHIN ? m->head_size : MARKER_WITHIN;
    if (usual + size <= within && memcmp(m->head + usual, swarm.marker, size) == 0)
        return true;
    const unsigned char *found = memmem(m->head, within, swarm.marker, size);
    if (found)
        usual = (size_t)(found - m->head);
    return found != NULL;
}

/* A compressed message cannot be read here, but an Engine.IO ping is always these three bytes. */
static bool is_compressed_ping(const struct message *m)
{
    return settings->socketio && m->compressed && m->size == 3 && memcmp(m->head, "2\2\0", 3) == 0;
}

/* Engine.IO 4 and Socket.IO 5: `0{...}`, then ours `40`, then `40{...}`. What is compressed is known by its order. */
static void greet(struct peer *peer, const struct message *m)
{
    if (!peer->greeted && (m->compressed || starts_with(m, "0"))) {
        peer->greeted = true;
        say(peer, "40");
    } else if (starts_with(m, "2") && !m->compressed) {
        say(peer, "3");
    } else if (peer->greeted && (m->compressed || starts_with(m, "40"))) {
        opened(peer);
    } else {
        end(peer, "no Socket.IO connection");
    }
}

static void hear_other(struct peer *peer, const struct message *m)
{
    if (settings->socketio && (is_compressed_ping(m) || (m->size == 1 && *m->head == '2')))
        say(peer, "3");
    else if (!settings->socketio && starts_with(m, "{") && contains(m, 24, "\"ping\"", 6))
        say(peer, "{\"channel\":\"pong\",\"payload\":{}}");
    memcpy(swarm.remark, m->head, m->head_size);
    swarm.remark[m->head_size] = '\0';
}

/* Handle one message; returns how many frames it counts as: 1 or 0. */
static unsigned hear(struct peer *peer, const struct message *m)
{
    switch (m->opcode) {
    case PING:
        send_frame(peer, PONG, m->head, m->head_size);
        return 0;
    case PONG:
        return 0;
    case CLOSE:
        peer->ending = (uint16_t)(m->head_size >= 2 ? m->head[0] << 8 | m->head[1] : 1005);
        send_frame(peer, CLOSE, m->head, m->head_size >= 2 ? 2 : 0);
        return 0;
    }
    if (peer->state == GREETING) {
        greet(peer, m);
        return 0;
    }
    if (m->compressed ? !is_compressed_ping(m) : has_marker(m))
        return 1;
    hear_other(peer, m);
    return 0;
}

static void read_frames(struct peer *peer, const unsigned char *at, const unsigned char *stop, int64_t now)
{
    struct message m;
    enum frames got = FRAMES_MORE;
    unsigned counted = 0;
    while (peer->state != GONE && !peer->ending && (got = frames_next(&peer->reader, &at, stop, &m)) == FRAMES_MESSAGE)
        counted += hear(peer, &m);
    if (counted && swarm.on_frames)
        swarm.on_frames(peer, counted, now); /* before the end of the socket, which takes it out of the count */
    if (peer->ending) {
        char code[8];
        snprintf(code, sizeof code, "%u", peer->ending);
        end(peer, code);
    } else if (got == FRAMES_BAD) {
        end(peer, "broken frames");
    }
}

/* The HTTP answer; true when frames may follow. */
static bool read_answer(struct peer *peer, const unsigned char **at, const unsigned char *stop)
{
    struct handshake *handshake = peer->handshake;
    size_t before = handshake->size, size = (size_t)(stop - *at), used;
    char reason[40];
    bool deflate = false;
    if (size > ANSWER_LIMIT - before)
        size = ANSWER_LIMIT - before;
    memcpy(handshake->answer + before, *at, size);
    handshake->size += size;
    switch (handshake_answer(handshake, &settings->offer, &used, &deflate, reason)) {
    case ANSWER_MORE:
        return false;
    case ANSWER_REFUSED:
        end(peer, reason);
        return false;
    case ANSWER_OPEN:
        break;
    }
    *at += used - before;
    free(handshake);
    peer->handshake = NULL;
    swarm.deflating += deflate;
    peer->state = GREETING;
    if (!settings->socketio)
        opened(peer);
    return true;
}

static void read_peer(struct peer *peer)
{
    ssize_t size = recv(peer->fd, input, sizeof input, 0);
    int64_t now = clock_now();
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            end(peer, peer->state == OPEN ? "1006" : size == 0 ? "closed in the handshake" : strerror(errno));
        return;
    }
    const unsigned char *at = input, *stop = input + size;
    swarm.last_heard = now;
    swarm.bytes += (uint64_t)size;
    if (peer->state != SHAKING || read_answer(peer, &at, stop))
        read_frames(peer, at, stop, now);
}

/* ---- connecting ---- */

const char *peers_start(const struct settings *chosen)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char port[16];
    settings = chosen;
    snprintf(port, sizeof port, "%d", settings->offer.port);
    if (getaddrinfo(settings->offer.host, port, &hints, &found) != 0)
        return "the host cannot be resolved";
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    address_size = found->ai_addrlen;
    freeaddrinfo(found);
    poller = epoll_create1(EPOLL_CLOEXEC);
    swarm.marker = "\"bench\"";
    return poller < 0 ? strerror(errno) : NULL;
}

int peers_poller(void)
{
    return poller;
}

void peers_reserve(size_t more)
{
    if (swarm.count + more <= room)
        return;
    room = swarm.count + more;
    swarm.peers = realloc(swarm.peers, room * sizeof *swarm.peers);
    if (!swarm.peers)
        abort();
}

/* By turns from 127.0.0.2, 127.0.0.3 and so on; the port is chosen only at connect, when the target is known. */
static void bind_source(int fd, size_t number)
{
    const struct sockaddr_in *target = (const struct sockaddr_in *)&address;
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;
    if (target->sin_family != AF_INET || ntohl(target->sin_addr.s_addr) >> 24 != 127)
        return;
    source.sin_addr.s_addr = htonl((127u << 24) + 2 + (uint32_t)(number % SOURCES));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    bind(fd, (struct sockaddr *)&source, sizeof source); /* if it fails, the usual source will do */
}

static void send_request(struct peer *peer)
{
    size_t number = (size_t)(peer - swarm.peers);
    const char *cookie = settings->cookie_count ? settings->cookies[number % settings->cookie_count] : NULL;
    uint64_t nonce[2] = {random_word(), random_word()};
    char request[REQUEST_LIMIT];
    peer->handshake = calloc(1, sizeof *peer->handshake);
    if (!peer->handshake)
        abort();
    size_t size = handshake_request(peer->handshake, &settings->offer, cookie, (unsigned char *)nonce, request);
    peer->state = SHAKING;
    if (size == 0)
        end(peer, "request too long");
    else
        send_bytes(peer, (unsigned char *)request, size);
}

static void connected(struct peer *peer)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        end(peer, strerror(error));
        return;
    }
    send_request(peer);
    if (peer->state == SHAKING)
        watch(peer, EPOLL_CTL_MOD);
}

void peer_connect(void)
{
    struct peer *peer = &swarm.peers[swarm.count];
    int on = 1;
    *peer = (struct peer){.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    swarm.count++;
    swarm.pending++;
    if (peer->fd < 0) {
        end(peer, strerror(errno));
        return;
    }
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bind_source(peer->fd, (size_t)(peer - swarm.peers));
    if (connect(peer->fd, (struct sockaddr *)&address, address_size) < 0 && errno != EINPROGRESS)
        end(peer, strerror(errno));
    else
        watch(peer, EPOLL_CTL_ADD);
}

void peers_give_up(void)
{
    for (size_t i = 0; i < swarm.count && swarm.pending; i++)
        if (swarm.peers[i].state < OPEN)
            end(&swarm.peers[i], "timeout");
}

/* ---- all of them ---- */

static void handle(struct peer *peer, uint32_t events)
{
    if (peer->state == GONE)
        return; /* ended by an event before this one */
    if (peer->state == CONNECTING) {
        connected(peer);
        return;
    }
    if (events & EPOLLOUT && peer->unsent_size > 0)
        send_unsent(peer);
    if (events & ~(uint32_t)EPOLLOUT)
        read_peer(peer);
}

void peers_pump(int64_t until)
{
    static struct epoll_event events[EVENTS];
    int64_t rest = until - clock_now();
    int timeout = rest <= 0 ? 0 : (int)((rest + MILLISECOND - 1) / MILLISECOND);
    int count = epoll_wait(poller, events, EVENTS, timeout);
    for (int i = 0; i < count; i++)
        handle(&swarm.peers[events[i].data.u64], events[i].events);
}

void peer_stall(struct peer *peer, bool stalled)
{
    if (peer->stalled == stalled)
        return;
    peer->stalled = stalled;
    watch(peer, stalled ? EPOLL_CTL_DEL : EPOLL_CTL_ADD); /* not just without EPOLLIN: a hang-up would spin */
}

size_t peers_reset(void)
{
    size_t open = swarm.open;
    for (size_t i = 0; i < swarm.count; i++)
        release(&swarm.peers[i], true);
    swarm.count = swarm.open = swarm.pending = 0;
    return open;
}
