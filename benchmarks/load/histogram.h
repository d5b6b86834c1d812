/* Latencies of millions of frames in bounded room: log-linear buckets, each less than 0.8 % wide and told by its middle. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 7    /* 128 buckets for each power of two */
#define HISTOGRAM_POWERS 33 /* up to 2^39 ns, nine minutes; what is longer counts as that */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_POWERS) << HISTOGRAM_BITS)

struct histogram {
    uint64_t count;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, int64_t nanoseconds, uint64_t count);

/* The value, in milliseconds, that `share` of all are at or below; 0 if there are none. */
double histogram_ms(const struct histogram *histogram, double share);

#endif
