/* One line of JSON at a time, to stdout. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

/* How often each of a few words was noted: HTTP statuses, close codes. What finds no room is noted as "other". */
struct counts {
    size_t used, total;
    struct {
        char word[40];
        size_t count;
    } of[16];
};

void counts_note(struct counts *counts, const char *word);

void json_begin(void);
void json_count(const char *name, size_t value);
void json_number(const char *name, double value, int decimals);
void json_null(const char *name);
void json_text(const char *name, const char *value);
void json_counts(const char *name, const struct counts *counts);
void json_end(void);

#endif
