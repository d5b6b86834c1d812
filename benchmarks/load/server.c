#include "server.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct server_time thread_time(int pid, const char *thread)
{
    char path[320];
    struct server_time time = {0};
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%lf %lf", &time.ran, &time.waited) != 2)
        time = (struct server_time){0}; /* it ended meanwhile */
    if (file)
        fclose(file);
    return time;
}

struct server_time server_time(const int *pids, int count)
{
    struct server_time sum = {0};
    for (int i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", pids[i]);
        DIR *threads = opendir(path);
        if (!threads)
            continue;
        for (struct dirent *entry; (entry = readdir(threads));) {
            if (entry->d_name[0] == '.')
                continue;
            struct server_time time = thread_time(pids[i], entry->d_name);
            sum.ran += time.ran / 1e9;
            sum.waited += time.waited / 1e9;
        }
        closedir(threads);
    }
    return sum;
}

/* The value in KB of a line "Name:   123 kB" of a file in /proc; -1 without file or line. */
static double proc_kb(int pid, const char *name, const char *format)
{
    char path[64], line[256];
    double kb = -1;
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    FILE *file = fopen(path, "r");
    while (file && kb < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, format, &kb) != 1)
            kb = -1;
    if (file)
        fclose(file);
    return kb;
}

double server_memory(const int *pids, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) {
        double kb = proc_kb(pids[i], "smaps_rollup", "Pss: %lf");
        if (kb < 0)
            kb = proc_kb(pids[i], "status", "VmRSS: %lf");
        sum += kb > 0 ? kb : 0;
    }
    return sum;
}

int server_missing(const int *pids, int count)
{
    for (int i = 0; i < count; i++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/%d", pids[i]);
        if (access(path, F_OK) != 0)
            return pids[i];
    }
    return 0;
}
