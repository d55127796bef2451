/* The simulated network's answer to one packet: bytes in, bytes out, no clock and no device. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stddef.h>
#include <stdint.h>

/* Size of the longest reply: the longest quote of IPv6 (RFC 4443: 1280 with the headers). */
#define REPLY_ROOM 1280

/* tests/load has the same layout. */
struct network {
    uint32_t distance;      /* routers before the target */
    uint8_t silent[256];    /* by TTL: whether this router is silent; index 0: the target */
    uint8_t tcp_open;       /* whether the target accepts TCP connections */
};

enum fate {
    TIME_EXCEEDED,  /* a router answers */
    REACHED,        /* the target answers */
    SILENT,         /* a probe to a silent router or target */
    UNRELATED,      /* not a probe: neighbour discovery, a TCP reset */
    WRONG_CHECKSUM,
    MALFORMED,
    FATES
};

/* Answer `packet`. `reply` has REPLY_ROOM bytes; `*length` is 0 without an answer. `*hop` is the hop
 * that answers; the target is at distance + 1. */
enum fate answer(const struct network *network, const uint8_t *packet, size_t size,
                 uint8_t *reply, size_t *length, unsigned *hop);

#endif
