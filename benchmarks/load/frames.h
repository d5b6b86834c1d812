/* WebSocket frames, cut anywhere: a reader that keeps the least it can of each message; a writer of masked frames. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_SIZE 128 /* the most that is shown of a message; the whole of any control frame */
#define FRAME_OVERHEAD 14

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* A message that is complete: `head` is its beginning, valid until the reader is asked again. */
struct message {
    const unsigned char *head;
    size_t head_size;
    uint64_t size;
    unsigned char opcode;
    bool compressed;
};

/* What has to outlive one read of one socket. All zero is a good start. */
struct reader {
    uint64_t left;         /* payload bytes of the frame begun that have not come yet */
    uint64_t message_size; /* payload bytes of the message begun, over its fragments */
    bool in_frame, final, control;
    bool compressed;            /* the message begun */
    unsigned char opcode;       /* the frame begun */
    unsigned char message;      /* opcode of the message begun; 0 between messages */
    unsigned char header_size;  /* of a header that was cut */
    unsigned char head_size;    /* of a message that was cut */
    unsigned char control_size; /* of a control frame that was cut; one may come between fragments */
    unsigned char header[10];
    unsigned char head[HEAD_SIZE];
    unsigned char control_head[HEAD_SIZE];
};

enum frames { FRAMES_BAD = -1, FRAMES_MORE = 0, FRAMES_MESSAGE = 1 };

/* Take bytes from *at on until a message is complete, or there are no more, or they break the protocol. */
enum frames frames_next(struct reader *reader, const unsigned char **at, const unsigned char *end,
                        struct message *message);

/* Write one final, masked frame; returns its size. `out` has room for size + FRAME_OVERHEAD. */
size_t frame_write(unsigned char *out, enum opcode opcode, const void *payload, size_t size, uint32_t mask);

#endif
