/* The queue of delayed replies, the earliest first: a binary heap of numbered slots. */
#ifndef AGENDA_H
#define AGENDA_H

#include <stdint.h>
#include <stdlib.h>

#include "answer.h"

#define WAITING 32768u

struct waiting {
    uint64_t record;
    size_t length;
    uint8_t reply[REPLY_ROOM];
};

struct agenda {
    struct waiting *slots;
    struct { int64_t due; uint32_t slot; } heap[WAITING];
    uint32_t free[WAITING];
    uint32_t count;
};

static inline struct agenda *agenda_new(void)
{
    struct agenda *agenda = calloc(1, sizeof *agenda);
    if (!agenda || !(agenda->slots = calloc(WAITING, sizeof *agenda->slots)))
        return NULL;
    for (uint32_t slot = 0; slot < WAITING; slot++)
        agenda->free[slot] = slot;
    return agenda;
}

/* The slot to fill for the next `agenda_add`; NULL if the queue is full. */
static inline struct waiting *agenda_room(struct agenda *agenda)
{
    return agenda->count == WAITING ? NULL : agenda->slots + agenda->free[agenda->count];
}

static inline void agenda_add(struct agenda *agenda, int64_t due)
{
    uint32_t slot = agenda->free[agenda->count], at = agenda->count++;
    for (; at && agenda->heap[(at - 1) / 2].due > due; at = (at - 1) / 2)
        agenda->heap[at] = agenda->heap[(at - 1) / 2];
    agenda->heap[at].due = due;
    agenda->heap[at].slot = slot;
}

/* Remove the earliest reply; the result is valid until the next `agenda_add`. */
static inline struct waiting *agenda_take(struct agenda *agenda)
{
    uint32_t slot = agenda->heap[0].slot, at = 0, last = --agenda->count;
    int64_t due = agenda->heap[last].due;
    for (uint32_t child = 1; child < last; child = 2 * at + 1) {
        if (child + 1 < last && agenda->heap[child + 1].due < agenda->heap[child].due)
            child++;
        if (agenda->heap[child].due >= due)
            break;
        agenda->heap[at] = agenda->heap[child];
        at = child;
    }
    agenda->heap[at] = agenda->heap[last];
    agenda->free[last] = slot;
    return agenda->slots + slot;
}

#endif
