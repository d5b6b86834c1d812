#define _GNU_SOURCE /* strcasestr */
#include "handshake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool append(char *out, size_t *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(out + *at, REQUEST_LIMIT - *at, format, arguments);
    va_end(arguments);
    *at += size > 0 ? (size_t)size : 0;
    return *at < REQUEST_LIMIT;
}

size_t handshake_request(struct handshake *handshake, const struct offer *offer, const char *cookie,
                         const unsigned char nonce[16], char out[REQUEST_LIMIT])
{
    char key[KEY_SIZE];
    size_t at = 0;
    base64(nonce, 16, key);
    websocket_accept(key, KEY_SIZE - 1, handshake->accept);
    bool fits = append(out, &at,
                       "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
                       offer->path, offer->host, offer->port, key);
    if (fits && offer->origin)
        fits = append(out, &at, "Origin: %s\r\n", offer->origin);
    if (fits && offer->protocol)
        fits = append(out, &at, "Sec-WebSocket-Protocol: %s\r\n", offer->protocol);
    if (fits && offer->deflate)
        fits = append(out, &at, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    if (fits && cookie)
        fits = append(out, &at, "Cookie: %s\r\n", cookie);
    return fits && append(out, &at, "\r\n") ? at : 0;
}

/* Copy the value of a header, without the blanks around it; false if there is none. */
static bool header(const char *answer, const char *name, char *value, size_t size)
{
    char line[64];
    snprintf(line, sizeof line, "\r\n%s:", name);
    const char *at = strcasestr(answer, line);
    if (!at)
        return false;
    at += strlen(line);
    at += strspn(at, " \t");
    size_t length = strcspn(at, "\r");
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
        length--;
    snprintf(value, size, "%.*s", (int)length, at);
    return true;
}

static const char *judge(const struct handshake *handshake, const struct offer *offer, bool *deflate)
{
    char value[256];
    if (!header(handshake->answer, "Sec-WebSocket-Accept", value, sizeof value) || strcmp(value, handshake->accept))
        return "wrong Sec-WebSocket-Accept";
    if (offer->protocol && (!header(handshake->answer, "Sec-WebSocket-Protocol", value, sizeof value) ||
                            strcmp(value, offer->protocol)))
        return "subprotocol not accepted";
    *deflate = header(handshake->answer, "Sec-WebSocket-Extensions", value, sizeof value) && *value;
    if (*deflate && !offer->deflate)
        return "extension that was not offered";
    return NULL;
}

enum verdict handshake_answer(struct handshake *handshake, const struct offer *offer, size_t *used, bool *deflate,
                              char reason[40])
{
    handshake->answer[handshake->size] = '\0';
    char *end = strstr(handshake->answer, "\r\n\r\n");
    if (!end) {
        snprintf(reason, 40, "no end of the HTTP answer");
        return handshake->size < ANSWER_LIMIT ? ANSWER_MORE : ANSWER_REFUSED;
    }
    end[2] = '\0'; /* what follows may be frames, which must not be searched for headers */
    *used = (size_t)(end - handshake->answer) + 4;
    if (strncmp(handshake->answer, "HTTP/1.", 7) != 0) {
        snprintf(reason, 40, "not HTTP");
        return ANSWER_REFUSED;
    }
    if (atoi(handshake->answer + 9) != 101) {
        snprintf(reason, 40, "%d", atoi(handshake->answer + 9));
        return ANSWER_REFUSED;
    }
    const char *wrong = judge(handshake, offer, deflate);
    if (!wrong)
        return ANSWER_OPEN;
    snprintf(reason, 40, "%s", wrong);
    return ANSWER_REFUSED;
}
