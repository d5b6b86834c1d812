/* The clients: sockets that shake hands, answer pings, count frames, and note how they end. One thread, one epoll. */
#ifndef PEERS_H
#define PEERS_H

#include "frames.h"
#include "handshake.h"
#include "json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)

struct settings {
    struct offer offer;
    bool socketio;
    char **cookies; /* client i sends line i mod cookie_count */
    size_t cookie_count;
};

enum state { CONNECTING, SHAKING, GREETING, OPEN, GONE };

struct peer {
    int fd;
    enum state state;
    bool stalled;
    bool greeted;    /* Socket.IO: our 40 is sent */
    uint16_t ending; /* the close code that came, 0 while there is none */
    uint64_t frames; /* counted since the command began */
    int64_t asked;   /* when the request was sent that it waits for; 0 if it waits for none */
    struct handshake *handshake;
    unsigned char *unsent; /* what the kernel had no room for */
    size_t unsent_size;
    struct reader reader;
};

struct swarm {
    struct peer *peers; /* those that are gone stay in their place until peers_reset */
    size_t count, open, pending, opened, deflating;
    struct counts refused; /* handshakes that failed, by reason, since peers_connect */
    struct counts closed;  /* sockets that ended, by close code, since the last answer */
    int64_t last_open;     /* when the last handshake was complete */
    int64_t last_heard;    /* when the last bytes came */
    uint64_t bytes;
    char remark[HEAD_SIZE + 1]; /* the last text that did not count: often what the server complains of */
    const char *marker;         /* what the first 64 bytes of a frame contain that counts */
    /* The command's part; both may be NULL. */
    void (*on_frames)(struct peer *peer, unsigned counted, int64_t now);
    void (*on_gone)(struct peer *peer, const char *reason);
};

extern struct swarm swarm;

int64_t clock_now(void);

/* Resolve the host and make the epoll. Returns NULL, or what is wrong. `settings` has to live on. */
const char *peers_start(const struct settings *settings);

/* The epoll's descriptor, for one who waits for something else as well. */
int peers_poller(void);

/* Make room for so many more: pointers to peers are good until then. */
void peers_reserve(size_t more);

/* Begin one handshake; `swarm.pending` counts those that go on. */
void peer_connect(void);

/* Give up the handshakes that go on. */
void peers_give_up(void);

/* Handle what happens until `until` (CLOCK_MONOTONIC), but return as soon as something has been handled. */
void peers_pump(int64_t until);

void peer_send_text(struct peer *peer, const char *text, size_t size);
void peer_stall(struct peer *peer, bool stalled);

/* A socket that takes part: open and read. */
static inline bool peer_counts(const struct peer *peer)
{
    return peer->state == OPEN && !peer->stalled;
}

/* Reset all sockets, without a closing handshake or a port left in TIME_WAIT; returns how many were open. */
size_t peers_reset(void);

#endif
