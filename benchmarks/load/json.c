#include "json.h"

#include <stdio.h>
#include <string.h>

static bool first;

void counts_note(struct counts *counts, const char *word)
{
    size_t room = sizeof counts->of / sizeof counts->of[0], i = 0;
    counts->total++;
    while (i < counts->used && strncmp(counts->of[i].word, word, sizeof counts->of[i].word - 1) != 0)
        i++;
    if (i == room) {
        i--;
        snprintf(counts->of[i].word, sizeof counts->of[i].word, "other");
    } else if (i == counts->used) {
        snprintf(counts->of[i].word, sizeof counts->of[i].word, "%s", word);
        counts->used++;
    }
    counts->of[i].count++;
}

static void quoted(const char *text)
{
    putchar('"');
    for (const char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f) /* may be anything that a server sent */
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void key(const char *name)
{
    if (!first)
        printf(", ");
    first = false;
    quoted(name);
    printf(": ");
}

void json_begin(void)
{
    putchar('{');
    first = true;
}

void json_count(const char *name, size_t value)
{
    key(name);
    printf("%zu", value);
}

void json_number(const char *name, double value, int decimals)
{
    key(name);
    printf("%.*f", decimals, value);
}

void json_null(const char *name)
{
    key(name);
    printf("null");
}

void json_text(const char *name, const char *value)
{
    key(name);
    quoted(value);
}

void json_counts(const char *name, const struct counts *counts)
{
    key(name);
    json_begin();
    for (size_t i = 0; i < counts->used; i++)
        json_count(counts->of[i].word, counts->of[i].count);
    putchar('}');
    first = false;
}

void json_end(void)
{
    printf("}\n");
    fflush(stdout);
}
