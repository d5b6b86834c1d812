/* The opening handshake, as a browser does it. */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include "accept.h"

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_LIMIT 16384
#define REQUEST_LIMIT 16384

struct offer {
    const char *host, *path, *protocol, *origin; /* protocol and origin may be NULL */
    int port;
    bool deflate;
};

/* Kept for a socket while its handshake goes on. */
struct handshake {
    char accept[ACCEPT_SIZE];
    size_t size;
    char answer[ANSWER_LIMIT + 1];
};

enum verdict { ANSWER_MORE, ANSWER_OPEN, ANSWER_REFUSED };

/* Write the request; returns its size, 0 if it does not fit. The expected answer is noted in `handshake`. */
size_t handshake_request(struct handshake *handshake, const struct offer *offer, const char *cookie,
                         const unsigned char nonce[16], char out[REQUEST_LIMIT]);

/* Judge what has come of the answer. OPEN: *used bytes belonged to it, *deflate tells what was agreed on.
 * REFUSED: `reason` is the HTTP status, or what is wrong with a 101. */
enum verdict handshake_answer(struct handshake *handshake, const struct offer *offer, size_t *used, bool *deflate,
                              char reason[40]);

#endif
