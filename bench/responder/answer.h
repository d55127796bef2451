/* What a made-up network answers to one packet: bytes in, bytes out, no clock and no device. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stddef.h>
#include <stdint.h>

/* Room for the longest reply: a whole quote of IPv6 (RFC 4443: 1280 with the headers). */
#define REPLY_ROOM 1280

/* The same layout is stated in `build.py`. */
struct network {
    uint32_t distance;      /* routers before the target */
    uint8_t silent[256];    /* by TTL: this router says nothing; at 0: the target */
    uint8_t tcp_open;       /* the target takes connections */
};

enum fate {
    TIME_EXCEEDED,  /* a router answers */
    REACHED,        /* the target answers */
    SILENT,         /* a probe, but whoever it came to says nothing */
    UNRELATED,      /* no probe: neighbour discovery, a reset of a connection */
    WRONG_CHECKSUM,
    MALFORMED,
    FATES
};

/* Answer `packet`. `reply` has REPLY_ROOM bytes; `*length` is 0 where nothing is said. `*hop` is
 * the TTL of whoever answers, the target's being distance + 1. */
enum fate answer(const struct network *network, const uint8_t *packet, size_t size,
                 uint8_t *reply, size_t *length, unsigned *hop);

#endif
