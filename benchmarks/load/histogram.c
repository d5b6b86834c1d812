#include "histogram.h"

#include <math.h>

#define LINEAR (1u << HISTOGRAM_BITS)

void histogram_add(struct histogram *h, int64_t nanoseconds, uint64_t count)
{
    uint64_t value = nanoseconds > 0 ? (uint64_t)nanoseconds : 0;
    unsigned shift = value < LINEAR ? 0 : (unsigned)(63 - __builtin_clzll(value)) - HISTOGRAM_BITS;
    uint64_t bucket = value < LINEAR ? value : ((uint64_t)shift << HISTOGRAM_BITS) + (value >> shift);
    if (bucket >= HISTOGRAM_BUCKETS)
        bucket = HISTOGRAM_BUCKETS - 1;
    h->buckets[bucket] += count;
    h->count += count;
}

static double middle(uint64_t bucket)
{
    if (bucket < 2 * LINEAR)
        return (double)bucket;
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_BITS) - 1;
    return ((double)(bucket - ((uint64_t)shift << HISTOGRAM_BITS)) + 0.5) * (double)(1ull << shift);
}

double histogram_ms(const struct histogram *h, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)h->count), seen = 0;
    for (uint64_t bucket = 0; bucket < HISTOGRAM_BUCKETS && h->count; bucket++) {
        seen += h->buckets[bucket];
        if (seen >= rank && seen > 0)
            return middle(bucket) / 1e6;
    }
    return 0;
}
