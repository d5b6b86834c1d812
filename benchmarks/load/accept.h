/* The answer to Sec-WebSocket-Key, shared by the generator, which verifies it, and the limit's loop, which gives it. */
#ifndef ACCEPT_H
#define ACCEPT_H

#include <stddef.h>

#define ACCEPT_SIZE 29 /* 28 characters of base64 and a NUL */
#define KEY_SIZE 25    /* 24 characters of base64 and a NUL */

/* Write the base64 of `data` and a NUL to `out`, which has room for 4 * ((size + 2) / 3) + 1. */
void base64(const unsigned char *data, size_t size, char *out);

/* Write Sec-WebSocket-Accept for a key: base64(SHA-1(key + GUID)). A key longer than 64 is cut. */
void websocket_accept(const char *key, size_t key_size, char out[ACCEPT_SIZE]);

#endif
