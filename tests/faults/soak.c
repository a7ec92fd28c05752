/* SPDX-License-Identifier: MIT
 * Reads /proc. */
#include "faults/soak.h"

#include <dirent.h>
#include <stdio.h>

static long memory_of(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "r");
    if (status == NULL) return 0;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %ld kB", &kb) == 1) break;
    fclose(status);
    return kb;
}

static long descriptors_of(pid_t pid)
{
    char path[64];
    long count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (directory == NULL) return 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

footprint soak_measure(const crew *self)
{
    footprint now = {0};
    for (int i = 0; i < WORKERS; i++) {
        if (roster[i].is_mortal) continue;
        now.memory_kb[i] = memory_of(self->pids[i]);
        now.descriptors[i] = descriptors_of(self->pids[i]);
    }
    return now;
}

growth soak_compare(const footprint *first, const footprint *last)
{
    growth most = {0};
    for (int i = 0; i < WORKERS; i++) {
        long memory_kb = last->memory_kb[i] - first->memory_kb[i];
        long descriptors = last->descriptors[i] - first->descriptors[i];
        if (memory_kb > most.memory_kb) most.memory_kb = memory_kb;
        if (descriptors > most.descriptors) most.descriptors = descriptors;
    }
    return most;
}
