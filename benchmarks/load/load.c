/* A load generator for WebSocket servers: one thread, one epoll, closed-loop rounds. Usage: load --help */
#define _GNU_SOURCE
#include "histogram.h"
#include "peers.h"
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SETTLED (300 * MILLISECOND) /* silence that ends the greetings after a handshake */
#define SETTLING (5 * SECOND)       /* the longest to wait for it */
#define PIDS 64
#define CLIENTS_LIMIT 1000000 /* of one connect: more than loopback has ports for */
#define TEXT_LIMIT (1024 * 1024)

static const char HELP[] =
    "usage: load --port P [options] < commands\n"
    "\n"
    "  --host HOST           127.0.0.1\n"
    "  --path PATH           /ws; with --socketio /socket.io/?EIO=4&transport=websocket\n"
    "  --protocol NAME       the subprotocol to ask for\n"
    "  --origin ORIGIN       the Origin header\n"
    "  --cookies FILE        one Cookie header value a line; client i sends line i mod lines\n"
    "  --socketio            speak Socket.IO 5 over Engine.IO 4\n"
    "  --deflate             offer permessage-deflate\n"
    "  --pid PID ...         the server's processes, for its CPU time and memory\n"
    "  --timeout SECONDS     60: the longest a command may take beyond the time it was told\n"
    "\n"
    "Commands, one a line on stdin; each is answered by one line of JSON on stdout:\n"
    "\n"
    "  connect N [CONCURRENCY]       open N more sockets, 64 at a time, and wait until they are silent for 0.3 s\n"
    "  rounds COUNT BURST SIZE       ask for a broadcast of BURST messages and wait until all have got them,\n"
    "                                COUNT times, or for a time: 5s\n"
    "  echo SECONDS CLIENTS SIZE     each of CLIENTS keeps one request in flight\n"
    "  say TEXT                      each socket sends this, once; then wait until they are silent for 0.3 s\n"
    "  listen FRAMES SECONDS FILE    wait until each socket has got so many messages with \"op\":\"U\", and write when to\n"
    "                                FILE: nanoseconds on the monotonic clock, 8 bytes each, message by message\n"
    "  stall K, unstall              the last K sockets are not read, nor waited for; read them again\n"
    "  wait SECONDS                  answer pings, nothing else\n"
    "  memory                        of the server's processes\n"
    "  close                         reset all sockets\n";

static struct settings settings = {.offer = {.host = "127.0.0.1"}};
static int pids[PIDS], pid_count;
static int64_t timeout = 60 * SECOND;

/* ---- answers ---- */

static void answer_closed(void)
{
    json_count("closed", swarm.closed.total);
    if (swarm.closed.total)
        json_counts("codes", &swarm.closed);
    swarm.closed = (struct counts){0};
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_begin();
    json_text("error", text);
    if (swarm.remark[0])
        json_text("server_said", swarm.remark);
    answer_closed();
    json_end();
}

/* ---- measuring: wall time, the server's CPU time, our own ---- */

/* A point in time, or what has passed since one. */
struct meter {
    int64_t wall;
    double own_cpu;
    struct server_time own, server;
};

static double own_cpu(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* The kernel books a thread's time when it sleeps, or at a tick: let the server fall asleep first. */
static struct server_time server_now(void)
{
    struct timespec nap = {.tv_nsec = 2 * MILLISECOND};
    if (pid_count)
        nanosleep(&nap, NULL);
    return server_time(pids, pid_count);
}

static struct meter meter_start(void)
{
    int self = getpid();
    struct meter meter = {.server = server_now(), .own = server_time(&self, 1)};
    meter.own_cpu = own_cpu();
    meter.wall = clock_now();
    return meter;
}

/* What has passed since meter_start. */
static struct meter meter_stop(const struct meter *start)
{
    int self = getpid();
    struct meter now = {.wall = clock_now() - start->wall, .own_cpu = own_cpu() - start->own_cpu};
    struct server_time own = server_time(&self, 1), server = server_now();
    now.own = (struct server_time){own.ran - start->own.ran, own.waited - start->own.waited};
    now.server = (struct server_time){server.ran - start->server.ran, server.waited - start->server.waited};
    return now;
}

static void answer_rate(const char *name, double count, double per)
{
    if (per > 0)
        json_number(name, count / per, 1);
    else
        json_null(name); /* not measured, rather than infinite */
}

static void answer_cpu(const struct meter *passed)
{
    if (pid_count)
        json_number("cpu_seconds", passed->server.ran, 6);
    else
        json_null("cpu_seconds");
}

/* Shares of the wall time. Who waited was ready to run while others had the CPU: the machine was not quiet. */
static void answer_load(const struct meter *passed)
{
    double seconds = (double)passed->wall / 1e9;
    json_number("load_busy", passed->own_cpu / seconds, 3);
    json_number("load_waited", passed->own.waited / seconds, 3);
    if (pid_count)
        json_number("server_waited", passed->server.waited / seconds, 3);
    else
        json_null("server_waited");
}

/* ---- connect ---- */

static bool settle(int64_t deadline)
{
    int64_t now = clock_now();
    while (now - swarm.last_heard < SETTLED) {
        if (now >= deadline)
            return false;
        int64_t silence = swarm.last_heard + SETTLED;
        peers_pump(silence < deadline ? silence : deadline);
        now = clock_now();
    }
    return true;
}

static void answer_connect(const struct meter *meter, size_t wanted)
{
    double seconds = swarm.opened ? (double)(swarm.last_open - meter->wall) / 1e9 : 0;
    struct meter passed = meter_stop(meter);
    json_begin();
    if (wanted && !swarm.opened)
        json_text("error", "no connection succeeded");
    json_count("connected", swarm.opened);
    json_count("failed", swarm.refused.total);
    json_number("seconds", seconds, 6);
    answer_rate("per_second", (double)swarm.opened, seconds);
    answer_cpu(&passed);
    json_counts("status", &swarm.refused);
    json_count("deflate", swarm.deflating);
    answer_closed();
    json_end();
}

/* A server may answer 101 and close with a code: that is no connection either. */
static size_t first_new;

static void connect_gone(struct peer *peer, const char *reason)
{
    if (peer < &swarm.peers[first_new])
        return;
    counts_note(&swarm.refused, reason);
    swarm.opened--;
}

static void command_connect(size_t wanted, size_t concurrency)
{
    if (wanted > CLIENTS_LIMIT) {
        fail("%zu clients are too many", wanted);
        return;
    }
    struct meter meter = meter_start();
    int64_t deadline = meter.wall + timeout;
    size_t begun = 0;
    swarm.opened = swarm.deflating = 0;
    swarm.refused = (struct counts){0};
    swarm.on_gone = connect_gone;
    first_new = swarm.count;
    peers_reserve(wanted);
    while ((begun < wanted || swarm.pending) && clock_now() < deadline) {
        while (begun < wanted && swarm.pending < concurrency) {
            peer_connect();
            begun++;
        }
        if (swarm.pending)
            peers_pump(deadline);
    }
    peers_give_up();
    for (; begun < wanted; begun++)
        counts_note(&swarm.refused, "timeout");
    bool settled = settle(deadline + SETTLING);
    swarm.on_gone = NULL;
    if (settled)
        answer_connect(&meter, wanted);
    else
        fail("%zu are connected, but they do not become silent", swarm.opened);
}

/* ---- rounds ---- */

static struct {
    struct histogram latency, last;
    uint64_t frames, target; /* target: what each socket has to have got at the end of the round */
    size_t missing;          /* sockets that have not */
    int64_t asked, got;      /* when the round's request was sent, and the last frame came */
} run;

static void round_frames(struct peer *peer, unsigned counted, int64_t now)
{
    bool short_before = peer->frames < run.target;
    peer->frames += counted;
    run.frames += counted;
    run.got = now;
    histogram_add(&run.latency, now - run.asked, counted);
    if (short_before && peer->frames >= run.target)
        run.missing--;
}

static void round_gone(struct peer *peer, const char *reason)
{
    (void)reason;
    if (!peer->stalled && peer->frames < run.target)
        run.missing--;
}

static bool unsettled; /* a command failed: its frames may still come, and must not count for the next */

/* Begin a command that counts; returns how many sockets take part. */
static size_t run_start(void)
{
    size_t active = 0;
    if (unsettled) {
        swarm.last_heard = clock_now();
        unsettled = !settle(swarm.last_heard + SETTLING);
    }
    memset(&run, 0, sizeof run);
    swarm.remark[0] = '\0';
    for (size_t i = 0; i < swarm.count; i++) {
        swarm.peers[i].frames = 0;
        swarm.peers[i].asked = 0;
        active += peer_counts(&swarm.peers[i]);
    }
    return active;
}

static void run_stop(void)
{
    swarm.on_frames = NULL;
    swarm.on_gone = NULL;
    swarm.marker = "\"bench\"";
}

/* The first socket that takes part; NULL if there is none. */
static struct peer *first_peer(void)
{
    for (size_t i = 0; i < swarm.count; i++)
        if (peer_counts(&swarm.peers[i]))
            return &swarm.peers[i];
    return NULL;
}

static size_t count_missing(void)
{
    size_t missing = 0;
    for (size_t i = 0; i < swarm.count; i++)
        missing += peer_counts(&swarm.peers[i]) && swarm.peers[i].frames < run.target;
    return missing;
}

/* One request and all that it brings; NULL, or what went wrong. */
static const char *one_round(const char *request, uint64_t burst, int64_t deadline)
{
    struct peer *asking = first_peer();
    if (!asking)
        return "no socket is open";
    run.target += burst;
    run.missing = count_missing();
    run.asked = run.got = clock_now();
    peer_send_text(asking, request, strlen(request));
    while (run.missing) {
        if (asking->state == GONE && asking->frames < run.target)
            return "the socket that asked was closed";
        if (clock_now() >= deadline)
            return "timeout";
        peers_pump(deadline);
    }
    if (run.got > run.asked)
        histogram_add(&run.last, run.got - run.asked, 1);
    return NULL;
}

static void answer_rounds(const struct meter *meter, uint64_t bytes, size_t rounds, size_t clients)
{
    struct meter passed = meter_stop(meter);
    double seconds = (double)passed.wall / 1e9;
    json_begin();
    json_count("frames", run.frames);
    json_count("bytes", bytes);
    json_count("rounds", rounds);
    json_count("clients", clients);
    json_number("seconds", seconds, 6);
    answer_cpu(&passed);
    answer_rate("frames_per_cpu_second", (double)run.frames, passed.server.ran);
    answer_rate("frames_per_second", (double)run.frames, seconds);
    json_number("p50_ms", histogram_ms(&run.latency, 0.50), 4);
    json_number("p99_ms", histogram_ms(&run.latency, 0.99), 4);
    json_number("last_p50_ms", histogram_ms(&run.last, 0.50), 4);
    json_number("last_p99_ms", histogram_ms(&run.last, 0.99), 4);
    answer_load(&passed);
    answer_closed();
    json_end();
}

/* `lasting`: as many rounds as begin within this time; 0: so many as `rounds` says. */
static void command_rounds(size_t rounds, int64_t lasting, uint64_t burst, size_t size)
{
    char request[160];
    const char *wrong = NULL;
    const char *format = settings.socketio
                             ? "42[\"broadcast\",{\"burst\":%llu,\"size\":%zu}]"
                             : "{\"channel\":\"bench\",\"payload\":{\"broadcast\":{\"burst\":%llu,\"size\":%zu}}}";
    size_t clients = run_start(), done = 0;
    snprintf(request, sizeof request, format, (unsigned long long)burst, size);
    struct meter meter = meter_start();
    uint64_t bytes = swarm.bytes;
    int64_t deadline = meter.wall + lasting + timeout;
    swarm.on_frames = round_frames;
    swarm.on_gone = round_gone;
    while (!wrong && (lasting ? clock_now() < meter.wall + lasting : done < rounds)) {
        wrong = one_round(request, burst, deadline);
        done += !wrong;
    }
    unsettled = wrong != NULL;
    run_stop();
    if (wrong)
        fail("round %zu: %s; %zu of %zu clients lack frames", done + 1, wrong, run.missing, clients);
    else
        answer_rounds(&meter, swarm.bytes - bytes, done, clients);
}

/* ---- echo ---- */

static struct {
    char *text;
    size_t size, in_flight;
    int64_t until;
} echo;

static void echo_ask(struct peer *peer, int64_t now)
{
    peer->asked = now;
    echo.in_flight++;
    peer_send_text(peer, echo.text, echo.size);
}

static void echo_frames(struct peer *peer, unsigned counted, int64_t now)
{
    if (!peer->asked)
        return;
    (void)counted; /* one is in flight, so one it is */
    echo.in_flight--;
    if (now < echo.until) {
        histogram_add(&run.latency, now - peer->asked, 1);
        run.frames++;
        echo_ask(peer, now);
    } else {
        peer->asked = 0;
    }
}

static void echo_gone(struct peer *peer, const char *reason)
{
    (void)reason;
    echo.in_flight -= peer->asked != 0;
}

static bool echo_prepare(size_t size)
{
    const char *before = "{\"channel\":\"bench\",\"payload\":{\"echo\":\"";
    const char *after = "\"}}";
    if (settings.socketio) {
        before = "42[\"echo\",{\"echo\":\"";
        after = "\"}]";
    }
    echo.size = strlen(before) + size + strlen(after);
    if (size > TEXT_LIMIT || echo.size > TEXT_LIMIT)
        return false;
    free(echo.text);
    echo.text = malloc(echo.size + 1);
    if (!echo.text)
        abort();
    strcpy(echo.text, before);
    memset(echo.text + strlen(before), 'x', size);
    strcpy(echo.text + strlen(before) + size, after);
    echo.in_flight = 0;
    return true;
}

static void answer_echo(const struct meter *passed)
{
    double seconds = (double)passed->wall / 1e9;
    json_begin();
    json_count("echoes", run.frames);
    json_number("seconds", seconds, 6);
    answer_rate("per_second", (double)run.frames, seconds);
    answer_cpu(passed);
    answer_rate("per_cpu_second", (double)run.frames, passed->server.ran);
    json_number("p50_ms", histogram_ms(&run.latency, 0.50), 4);
    json_number("p99_ms", histogram_ms(&run.latency, 0.99), 4);
    answer_load(passed);
    answer_closed();
    json_end();
}

static void echo_start(size_t clients)
{
    swarm.on_frames = echo_frames;
    swarm.on_gone = echo_gone;
    swarm.marker = settings.socketio ? "\"echo\"" : "\"bench\"";
    for (struct peer *peer = first_peer(); clients; peer++)
        if (peer_counts(peer)) {
            echo_ask(peer, clock_now());
            clients--;
        }
}

static void command_echo(double seconds, size_t clients, size_t size)
{
    size_t active = run_start();
    if (clients == 0 || active < clients) {
        fail("%zu clients of %zu", clients, active);
        return;
    }
    if (!echo_prepare(size)) {
        fail("%zu is too long", size);
        return;
    }
    struct meter meter = meter_start();
    echo.until = meter.wall + (int64_t)(seconds * 1e9);
    echo_start(clients);
    while (echo.in_flight && clock_now() < echo.until)
        peers_pump(echo.until);
    struct meter passed = meter_stop(&meter);
    while (echo.in_flight && clock_now() < echo.until + timeout) /* the last answers must not count for the next */
        peers_pump(echo.until + timeout);
    unsettled = echo.in_flight > 0;
    run_stop();
    if (echo.in_flight || !run.frames)
        fail("%zu requests were not answered, %zu were", echo.in_flight, (size_t)run.frames);
    else
        answer_echo(&passed);
}

/* ---- listening ---- */

static struct {
    int64_t *times; /* of all sockets for the first message, then for the second */
    size_t frames, clients, complete;
} heard;

static void listen_frames(struct peer *peer, unsigned counted, int64_t now)
{
    for (; counted && peer->frames < heard.frames; counted--)
        heard.times[peer->frames++ * heard.clients + (size_t)(peer - swarm.peers)] = now;
    heard.complete += peer->frames == heard.frames && peer->asked == 0;
    peer->asked = peer->frames == heard.frames; /* counted as complete once */
}

static bool write_times(const char *name)
{
    size_t size = heard.frames * heard.clients;
    FILE *file = fopen(name, "wb");
    bool whole = file && fwrite(heard.times, sizeof *heard.times, size, file) == size;
    return file && fclose(file) == 0 && whole;
}

static void command_listen(size_t frames, double seconds, const char *name)
{
    heard.clients = run_start();
    heard.frames = frames;
    heard.complete = 0;
    if (heard.clients == 0 || heard.clients != swarm.count || frames == 0 || frames > TEXT_LIMIT) {
        fail("%zu messages to %zu sockets of %zu", frames, heard.clients, swarm.count);
        return;
    }
    free(heard.times);
    heard.times = calloc(frames * heard.clients, sizeof *heard.times);
    if (!heard.times)
        abort();
    struct meter meter = meter_start();
    int64_t until = meter.wall + (int64_t)(seconds * 1e9);
    swarm.marker = "\"op\":\"U\"";
    swarm.on_frames = listen_frames;
    while (heard.complete < heard.clients && clock_now() < until)
        peers_pump(until);
    struct meter passed = meter_stop(&meter);
    run_stop();
    if (heard.complete < heard.clients) {
        fail("%zu of %zu sockets got all %zu messages", heard.complete, heard.clients, frames);
        return;
    }
    if (!write_times(name)) {
        fail("%s cannot be written", name);
        return;
    }
    json_begin();
    json_count("frames", heard.frames * heard.clients);
    json_number("seconds", (double)passed.wall / 1e9, 6);
    answer_cpu(&passed);
    answer_load(&passed);
    answer_closed();
    json_end();
}

static void command_say(const char *text)
{
    size_t said = 0;
    for (size_t i = 0; i < swarm.count; i++)
        if (peer_counts(&swarm.peers[i])) {
            peer_send_text(&swarm.peers[i], text, strlen(text));
            said++;
        }
    swarm.last_heard = clock_now();
    if (!settle(swarm.last_heard + timeout)) {
        fail("%zu sockets do not become silent", said);
        return;
    }
    json_begin();
    json_count("said", said);
    answer_closed();
    json_end();
}

/* ---- the small ones ---- */

static void command_stall(size_t wanted)
{
    size_t stalled = 0;
    for (size_t i = swarm.count; i-- > 0 && stalled < wanted;)
        if (swarm.peers[i].state == OPEN) {
            peer_stall(&swarm.peers[i], true);
            stalled++;
        }
    json_begin();
    json_count("stalled", stalled);
    json_end();
}

/* What had piled up is read here, so that it does not count in the next round. */
static void command_unstall(void)
{
    for (size_t i = 0; i < swarm.count; i++)
        if (swarm.peers[i].state == OPEN)
            peer_stall(&swarm.peers[i], false);
    swarm.last_heard = clock_now();
    if (!settle(swarm.last_heard + timeout)) {
        unsettled = true;
        fail("the sockets do not become silent");
        return;
    }
    json_begin();
    json_count("stalled", 0);
    answer_closed();
    json_end();
}

static void command_wait(double seconds)
{
    struct meter meter = meter_start();
    int64_t until = meter.wall + (int64_t)(seconds * 1e9);
    while (clock_now() < until)
        peers_pump(until);
    struct meter passed = meter_stop(&meter);
    json_begin();
    json_number("seconds", (double)passed.wall / 1e9, 6);
    answer_cpu(&passed);
    answer_closed();
    json_end();
}

static void command_memory(void)
{
    json_begin();
    if (pid_count)
        json_number("rss_kb", server_memory(pids, pid_count), 0);
    else
        json_null("rss_kb");
    json_count("connections", swarm.open);
    json_end();
}

static void command_close(void)
{
    json_begin();
    json_count("closed", peers_reset());
    json_end();
    swarm.closed = (struct counts){0};
}

/* ---- the command line ---- */

static void obey(const char *line)
{
    size_t a, b;
    unsigned long long burst;
    double seconds;
    char unit, name[128];
    int fields, gone = server_missing(pids, pid_count);
    if (gone)
        fail("the server's process %d is gone", gone);
    else if (strstr(line, " -"))
        fail("a negative number: %s", line); /* sscanf would take it for a huge one */
    else if ((fields = sscanf(line, "connect %zu %zu", &a, &b)) >= 1)
        command_connect(a, fields == 2 && b > 0 ? b : 64);
    else if (sscanf(line, "rounds %zu %llu %zu", &a, &burst, &b) == 3 && burst > 0)
        command_rounds(a, 0, burst, b);
    else if (sscanf(line, "rounds %lf%c %llu %zu", &seconds, &unit, &burst, &b) == 4 && unit == 's' && burst > 0)
        command_rounds(0, (int64_t)(seconds * 1e9), burst, b);
    else if (sscanf(line, "echo %lf %zu %zu", &seconds, &a, &b) == 3)
        command_echo(seconds, a, b);
    else if (strncmp(line, "say ", 4) == 0)
        command_say(line + 4);
    else if (sscanf(line, "listen %zu %lf %127s", &a, &seconds, name) == 3)
        command_listen(a, seconds, name);
    else if (sscanf(line, "stall %zu", &a) == 1)
        command_stall(a);
    else if (strcmp(line, "unstall") == 0)
        command_unstall();
    else if (sscanf(line, "wait %lf", &seconds) == 1)
        command_wait(seconds);
    else if (strcmp(line, "memory") == 0)
        command_memory();
    else if (strcmp(line, "close") == 0)
        command_close();
    else
        fail("not a command: %s", line);
}

/* Read commands, and answer the sockets' pings while none comes. */
static void obey_all(void)
{
    char line[256];
    size_t size = 0;
    struct pollfd ready[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = peers_poller(), .events = POLLIN}};
    for (;;) {
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return;
        if (ready[1].revents)
            peers_pump(0);
        if (!ready[0].revents)
            continue;
        /* One byte at a time: what follows the line has to stay in the pipe for poll to see it. */
        if (read(STDIN_FILENO, line + size, 1) != 1)
            return;
        if (line[size] != '\n' && size < sizeof line - 1) {
            size++;
            continue;
        }
        line[size] = '\0';
        size = 0;
        if (line[0])
            obey(line);
    }
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(2);
}

static void read_cookies(const char *name)
{
    FILE *file = fopen(name, "r");
    char *line = NULL;
    size_t size = 0;
    if (!file)
        die(name, strerror(errno));
    for (ssize_t length; (length = getline(&line, &size, file)) > 0;) {
        line[strcspn(line, "\r\n")] = '\0';
        settings.cookies = realloc(settings.cookies, (settings.cookie_count + 1) * sizeof *settings.cookies);
        if (!settings.cookies || !(settings.cookies[settings.cookie_count++] = strdup(line)))
            abort();
    }
    free(line);
    fclose(file);
}

static void add_pid(const char *text)
{
    if (pid_count == PIDS)
        die(text, "too many processes");
    pids[pid_count++] = atoi(text);
}

/* An option with a value; returns how many arguments it took. */
static int set_option(const char *name, const char *value)
{
    if (!value)
        die(name, "unknown, or a value is missing");
    if (strcmp(name, "--host") == 0)
        settings.offer.host = value;
    else if (strcmp(name, "--port") == 0)
        settings.offer.port = atoi(value);
    else if (strcmp(name, "--path") == 0)
        settings.offer.path = value;
    else if (strcmp(name, "--protocol") == 0)
        settings.offer.protocol = value;
    else if (strcmp(name, "--origin") == 0)
        settings.offer.origin = value;
    else if (strcmp(name, "--cookies") == 0)
        read_cookies(value);
    else if (strcmp(name, "--timeout") == 0)
        timeout = (int64_t)(atof(value) * 1e9);
    else
        die(name, "unknown");
    return 2;
}

static void read_options(int count, char **arguments)
{
    for (int i = 1; i < count;) {
        const char *name = arguments[i];
        if (strcmp(name, "--help") == 0) {
            fputs(HELP, stdout);
            exit(0);
        } else if (strcmp(name, "--socketio") == 0) {
            settings.socketio = true;
            i++;
        } else if (strcmp(name, "--deflate") == 0) {
            settings.offer.deflate = true;
            i++;
        } else if (strcmp(name, "--pid") == 0) {
            for (i++; i < count && arguments[i][0] != '-'; i++)
                add_pid(arguments[i]);
        } else {
            i += set_option(name, i + 1 < count ? arguments[i + 1] : NULL);
        }
    }
    if (!settings.offer.path)
        settings.offer.path = settings.socketio ? "/socket.io/?EIO=4&transport=websocket" : "/ws";
    if (settings.offer.port <= 0)
        die("--port", "missing");
}

int main(int count, char **arguments)
{
    struct rlimit files;
    read_options(count, arguments);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    const char *wrong = peers_start(&settings);
    if (wrong)
        die(settings.offer.host, wrong);
    obey_all();
    peers_reset();
    return 0;
}
