#include "accept.h"

#include <stdint.h>
#include <string.h>

#define DIGEST_SIZE 20
#define BLOCK_SIZE 64
#define KEY_LIMIT 64

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static uint32_t rotate(uint32_t word, int bits)
{
    return (word << bits) | (word >> (32 - bits));
}

static void sha1_block(uint32_t state[5], const unsigned char *block)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t mix, constant;
        if (i < 20)
            mix = (b & c) | (~b & d), constant = 0x5A827999;
        else if (i < 40)
            mix = b ^ c ^ d, constant = 0x6ED9EBA1;
        else if (i < 60)
            mix = (b & c) | (b & d) | (c & d), constant = 0x8F1BBCDC;
        else
            mix = b ^ c ^ d, constant = 0xCA62C1D6;
        uint32_t next = rotate(a, 5) + mix + e + constant + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* SHA-1 of a message of at most 119 bytes: two blocks with their padding are all that a handshake needs. */
static void sha1_short(const unsigned char *data, size_t size, unsigned char digest[DIGEST_SIZE])
{
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char padded[2 * BLOCK_SIZE] = {0};
    size_t total = size + 9 <= BLOCK_SIZE ? BLOCK_SIZE : 2 * BLOCK_SIZE;
    memcpy(padded, data, size);
    padded[size] = 0x80;
    padded[total - 2] = (unsigned char)(size * 8 >> 8);
    padded[total - 1] = (unsigned char)(size * 8);
    for (size_t at = 0; at < total; at += BLOCK_SIZE)
        sha1_block(state, padded + at);
    for (int i = 0; i < DIGEST_SIZE; i++)
        digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void base64(const unsigned char *data, size_t size, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < size; at += 3) {
        size_t rest = size - at;
        uint32_t word = (uint32_t)data[at] << 16;
        if (rest > 1)
            word |= (uint32_t)data[at + 1] << 8;
        if (rest > 2)
            word |= data[at + 2];
        *out++ = alphabet[word >> 18];
        *out++ = alphabet[word >> 12 & 63];
        *out++ = rest > 1 ? alphabet[word >> 6 & 63] : '=';
        *out++ = rest > 2 ? alphabet[word & 63] : '=';
    }
    *out = '\0';
}

void websocket_accept(const char *key, size_t key_size, char out[ACCEPT_SIZE])
{
    unsigned char text[KEY_LIMIT + sizeof GUID], digest[DIGEST_SIZE];
    if (key_size > KEY_LIMIT)
        key_size = KEY_LIMIT;
    memcpy(text, key, key_size);
    memcpy(text + key_size, GUID, sizeof GUID - 1);
    sha1_short(text, key_size + sizeof GUID - 1, digest);
    base64(digest, DIGEST_SIZE, out);
}
