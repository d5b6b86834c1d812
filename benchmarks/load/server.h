/* What the server's processes cost, as /proc tells it. */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>

/* Of all threads that live, so far, in seconds. A process that is gone counts nothing. */
struct server_time {
    double ran, waited; /* on a CPU; ready to run while others had the CPU */
};

struct server_time server_time(const int *pids, int count);

/* Memory in KB: the proportional share of each (so that pages shared by workers count once), or its RSS. */
double server_memory(const int *pids, int count);

/* The first of the processes that does not exist; 0 if all do. */
int server_missing(const int *pids, int count);

#endif
