/* Records of probes, in memory shared with the parent process.
 *
 * `record.py` has the same layout. There are no locks: a record is complete if its index is below
 * `count` and its time stamps are not 0. */
#ifndef RECORD_H
#define RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "answer.h"

#define KEPT 64

struct record {
    int64_t read_mono, read_wall;       /* after the read of the probe */
    int64_t write_mono, write_wall;     /* before the write of its reply; 0: none */
    int64_t written_mono;               /* after that write: the kernel has delivered it */
    int64_t planned_mono;               /* when the reply was due */
    uint32_t unread_ns;                 /* upper bound of the wait before the read */
    uint16_t size;
    uint8_t fate, hop;
    uint8_t packet[KEPT];               /* its first bytes */
    uint8_t unused[8];
};
_Static_assert(sizeof(struct record) == 128, "as in record.py");

struct ledger {
    uint64_t capacity, count;           /* of records; count may exceed capacity */
    uint64_t fates[8];
    uint64_t written, unwritten;        /* replies written, and refused by the device */
    uint64_t crowded_out;               /* replies that did not fit into the queue */
    uint64_t busy_ns;                   /* time of turns that read or wrote a packet */
    uint64_t unused[50];
    struct record records[];
};
_Static_assert(offsetof(struct ledger, records) == 512, "as in record.py");

#endif
