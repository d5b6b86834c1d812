#include "frames.h"

#include <string.h>

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

static size_t header_size(unsigned char second)
{
    unsigned char length = second & 0x7f;
    return length == 127 ? 10 : length == 126 ? 4 : 2;
}

static uint64_t header_length(const unsigned char *header)
{
    size_t bytes = header_size(header[1]) - 2;
    uint64_t length = 0;
    if (bytes == 0)
        return header[1] & 0x7f;
    for (size_t i = 0; i < bytes; i++)
        length = length << 8 | header[2 + i];
    return length;
}

/* Begin the frame that a whole header announces. */
static enum frames begin(struct reader *r, const unsigned char *header)
{
    bool masked = header[1] & 0x80, compressed = header[0] & 0x40;
    r->opcode = header[0] & 0x0f;
    r->final = header[0] & 0x80;
    r->control = r->opcode & 0x08;
    r->left = header_length(header);
    r->in_frame = true;
    if (masked || header[0] & 0x30)
        return FRAMES_BAD;
    if (r->control) {
        r->control_size = 0;
        return r->final && !compressed && r->left <= 125 && r->opcode <= PONG ? FRAMES_MESSAGE : FRAMES_BAD;
    }
    if (r->opcode == CONTINUATION)
        return r->message && !compressed ? FRAMES_MESSAGE : FRAMES_BAD;
    if (r->message || r->opcode > BINARY)
        return FRAMES_BAD;
    r->message = r->opcode;
    r->compressed = compressed;
    r->message_size = 0;
    r->head_size = 0;
    return FRAMES_MESSAGE;
}

static enum frames read_header(struct reader *r, const unsigned char **at, const unsigned char *end)
{
    const unsigned char *header = *at;
    size_t have = (size_t)(end - header);
    if (r->header_size == 0 && have >= 2 && have >= header_size(header[1])) {
        *at += header_size(header[1]);
        return begin(r, header);
    }
    while (*at < end) {
        r->header[r->header_size++] = *(*at)++;
        if (r->header_size >= 2 && r->header_size == header_size(r->header[1])) {
            r->header_size = 0;
            return begin(r, r->header);
        }
    }
    return FRAMES_MORE;
}

static void keep(unsigned char *head, unsigned char *head_size, const unsigned char *from, size_t size)
{
    size_t kept = least(size, (size_t)(HEAD_SIZE - *head_size));
    memcpy(head + *head_size, from, kept);
    *head_size = (unsigned char)(*head_size + kept);
}

/* A frame ended, and with it the message: hand out what was kept. */
static void finish(struct reader *r, struct message *m)
{
    m->opcode = r->control ? r->opcode : r->message;
    m->compressed = !r->control && r->compressed;
    m->size = r->control ? r->control_size : r->message_size;
    m->head = r->control ? r->control_head : r->head;
    m->head_size = r->control ? r->control_size : r->head_size;
    if (!r->control)
        r->message = 0;
}

enum frames frames_next(struct reader *r, const unsigned char **at, const unsigned char *end, struct message *m)
{
    for (;;) {
        bool fresh = false;
        if (!r->in_frame) {
            enum frames begun = read_header(r, at, end);
            if (begun != FRAMES_MESSAGE)
                return begun;
            fresh = r->opcode != CONTINUATION;
        }
        size_t size = least(r->left, (size_t)(end - *at));
        const unsigned char *from = *at;
        *at += size;
        r->left -= size;
        if (fresh && r->final && r->left == 0) { /* the usual case: a whole message in the buffer, nothing to copy */
            r->in_frame = false;
            *m = (struct message){from, least(size, HEAD_SIZE), size, r->opcode, !r->control && r->compressed};
            if (!r->control)
                r->message = 0;
            return FRAMES_MESSAGE;
        }
        if (r->control) {
            keep(r->control_head, &r->control_size, from, size);
        } else {
            keep(r->head, &r->head_size, from, size);
            r->message_size += size;
        }
        if (r->left > 0)
            return FRAMES_MORE;
        r->in_frame = false;
        if (r->final) {
            finish(r, m);
            return FRAMES_MESSAGE;
        }
    }
}

static void mask_copy(unsigned char *out, const unsigned char *from, size_t size, const unsigned char key[4])
{
    uint64_t wide, word;
    memcpy(&wide, key, 4);
    memcpy((unsigned char *)&wide + 4, key, 4);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(out + i, &word, 8);
    }
    for (; i < size; i++)
        out[i] = from[i] ^ key[i & 3];
}

size_t frame_write(unsigned char *out, enum opcode opcode, const void *payload, size_t size, uint32_t mask)
{
    size_t at = 2;
    out[0] = (unsigned char)(0x80 | opcode);
    if (size < 126) {
        out[1] = (unsigned char)(0x80 | size);
    } else if (size < 65536) {
        out[1] = 0x80 | 126;
        out[at++] = (unsigned char)(size >> 8);
        out[at++] = (unsigned char)size;
    } else {
        out[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            out[at++] = (unsigned char)((uint64_t)size >> shift);
    }
    memcpy(out + at, &mask, 4);
    mask_copy(out + at + 4, payload, size, out + at);
    return at + 4 + size;
}
