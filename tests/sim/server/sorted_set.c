/* SPDX-License-Identifier: MIT
 * Members in their order. Rule: by score, and those of one score by their bytes, as in Redis. */
#include "sim/server/sorted_set.h"

#include <string.h>

void sorted_forget(sorted_set *set)
{
    set->key_length = 0;
    set->expires_ms = 0;
    set->count = 0;
    memset(set->is_taken, 0, sizeof set->is_taken);
}

static int compare_words(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order != 0) return order;
    return a_length < b_length ? -1 : a_length > b_length;
}

int sorted_rank(const sorted_set *set, words name)
{
    for (int i = 0; set != NULL && i < set->count; i++) {
        const member *at = sorted_member(set, i);
        if (at->length == name.length && memcmp(at->bytes, name.at, name.length) == 0) return i;
    }
    return -1;
}

void sorted_remove(sorted_set *set, int rank, int count)
{
    for (int i = rank; i < rank + count; i++) set->is_taken[set->order[i]] = false;
    memmove(set->order + rank, set->order + rank + count, (size_t)(set->count - rank - count));
    set->count -= count;
    if (set->count == 0) sorted_forget(set);
}

static bool is_before(const member *a, const member *b)
{
    if (a->score < b->score || a->score > b->score) return a->score < b->score;
    return compare_words(a->bytes, a->length, b->bytes, b->length) < 0;
}

static void insert_ordered(sorted_set *set, unsigned char place)
{
    int rank = set->count++;
    for (; rank > 0 && is_before(&set->at[place], sorted_member(set, rank - 1)); rank--)
        set->order[rank] = set->order[rank - 1];
    set->order[rank] = place;
}

bool sorted_add(sorted_set *set, words name, double score)
{
    unsigned char place = 0;
    while (place < MEMBERS_MOST && set->is_taken[place]) place++;
    if (place == MEMBERS_MOST || name.length > MEMBER_SIZE) return false;
    set->is_taken[place] = true;
    set->at[place].score = score;
    set->at[place].length = name.length;
    memcpy(set->at[place].bytes, name.at, name.length);
    insert_ordered(set, place);
    return true;
}

void sorted_move(sorted_set *set, int rank, double score)
{
    unsigned char place = set->order[rank];
    if (set->at[place].score <= score && set->at[place].score >= score)
        return; /* 0 and -0 are one score */
    memmove(set->order + rank, set->order + rank + 1, (size_t)(set->count - rank - 1));
    set->count--;
    set->at[place].score = score;
    insert_ordered(set, place);
}

static bool is_within(const bounds *range, double score)
{
    bool is_above = range->is_open_below ? score > range->least : score >= range->least;
    return is_above && (range->is_open_above ? score < range->most : score <= range->most);
}

int sorted_within(const sorted_set *set, const bounds *range, int *first)
{
    int count = 0;
    *first = 0;
    for (int i = 0; set != NULL && i < set->count; i++) {
        if (!is_within(range, sorted_member(set, i)->score)) continue;
        if (count++ == 0) *first = i;
    }
    return count;
}

int sorted_between(const sorted_set *set, int64_t start, int64_t stop, int *first)
{
    int64_t count = set == NULL ? 0 : set->count;
    if (start < 0) start += count;
    if (stop < 0) stop += count;
    if (start < 0) start = 0;
    if (stop >= count) stop = count - 1;
    *first = (int)start;
    return start > stop || start >= count ? 0 : (int)(stop - start + 1);
}
