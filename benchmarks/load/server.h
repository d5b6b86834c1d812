/* What the server's processes cost, as /proc tells it. */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>

/* CPU time so far of all threads that live, in nanoseconds. A process that is gone counts nothing. */
double server_cpu(const int *pids, int count);

/* Memory in KB: the proportional share of each (so that pages shared by workers count once), or its RSS. */
double server_memory(const int *pids, int count);

/* The first of the processes that does not exist; 0 if all do. */
int server_missing(const int *pids, int count);

#endif
