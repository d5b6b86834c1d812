#include "server.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static double thread_cpu(int pid, const char *thread)
{
    char path[320];
    double nanoseconds = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0; /* it ended meanwhile */
    if (fscanf(file, "%lf", &nanoseconds) != 1)
        nanoseconds = 0;
    fclose(file);
    return nanoseconds;
}

double server_cpu(const int *pids, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", pids[i]);
        DIR *threads = opendir(path);
        if (!threads)
            continue;
        for (struct dirent *entry; (entry = readdir(threads));)
            if (entry->d_name[0] != '.')
                sum += thread_cpu(pids[i], entry->d_name);
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
