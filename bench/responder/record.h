/* What is written down of each probe, in memory that the starting process reads too.
 *
 * The same layout is stated in `record.py`. Nothing here waits: the reader looks at what is
 * finished, by `count` and by stamps that are not 0. */
#ifndef RECORD_H
#define RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "answer.h"

#define KEPT 64

struct record {
    int64_t read_mono, read_wall;       /* after the read that brought it */
    int64_t write_mono, write_wall;     /* before the write of its reply; 0: none */
    int64_t written_mono;               /* after that write: the kernel then has delivered it */
    int64_t planned_mono;               /* when the reply was due */
    uint32_t unread_ns;                 /* at most so long it lay unread: the device was empty then */
    uint16_t size;
    uint8_t fate, hop;
    uint8_t packet[KEPT];               /* its first bytes */
    uint8_t unused[8];
};
_Static_assert(sizeof(struct record) == 128, "as the reader has it");

struct ledger {
    uint64_t capacity, count;           /* of records; count goes on where the room has ended */
    uint64_t fates[8];
    uint64_t written, unwritten;        /* replies that left, and that the device refused */
    uint64_t crowded_out;               /* replies for which there was no room to wait */
    uint64_t busy_ns;                   /* time in turns that read or wrote something */
    uint64_t unused[50];
    struct record records[];
};
_Static_assert(offsetof(struct ledger, records) == 512, "as the reader has it");

#endif
