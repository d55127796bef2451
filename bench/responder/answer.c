/* Routers that send time exceeded, and a target that answers like an ordinary host.
 *
 *     echo request       echo reply
 *     UDP                port unreachable
 *     TCP SYN            RST-ACK, or SYN-ACK if the port is open
 *     GRE                IPv4: protocol unreachable; IPv6: Parameter Problem at the next header
 *
 * Every destination is a target. The router at TTL k is 198.18.k.1 or 2001:db8:k::1. Packets that a
 * strict network would drop (wrong checksum) are dropped, so that wrong probes get no answers. */
#include "answer.h"

#include <arpa/inet.h>
#include <string.h>

enum { ICMP = 1, TCP = 6, UDP = 17, GRE = 47, ICMP6 = 58 };
enum { SYN = 0x02, RST = 0x04, ACK = 0x10 };
enum { IP4_HEADER = 20, IP6_HEADER = 40, TCP_HEADER = 20, ICMP_HEADER = 8 };
/* RFC 1812, 4.3.2.3, and RFC 4443, 2.4 (c): length of the quote in an error. */
enum { LONGEST4 = 576, LONGEST6 = REPLY_ROOM };

/* A parsed packet. */
struct probe {
    const uint8_t *packet, *payload, *from, *to;
    size_t size, header, payload_size;
    uint8_t protocol, ttl;
    int six;
};

/* The sum of the Internet checksum (RFC 1071). It does not depend on the byte order, so words are read
 * in host order. `data` must begin at an even offset of the summed data. */
static uint64_t sum(uint64_t total, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint32_t word;
    for (; size >= 4; at += 4, size -= 4) {
        memcpy(&word, at, 4);
        total += word;
    }
    if (size) {
        word = 0;
        memcpy(&word, at, size);
        total += word;
    }
    return total;
}

static uint16_t folded(uint64_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)~total;
}

static uint64_t pseudo_header(const uint8_t *from, const uint8_t *to, size_t address,
                              uint8_t protocol, size_t size)
{
    uint64_t total = sum(sum(0, from, address), to, address);
    return total + htons(protocol) + htons((uint16_t)size);
}

static void put16(uint8_t *at, size_t value)
{
    uint16_t word = htons((uint16_t)value);
    memcpy(at, &word, 2);
}

static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

/* Parse the packet; UNRELATED means that it is well-formed and not yet classified. */
static enum fate dissect(const uint8_t *packet, size_t size, struct probe *probe)
{
    *probe = (struct probe){.packet = packet, .size = size};
    if (size >= IP4_HEADER && packet[0] >> 4 == 4) {
        probe->header = (size_t)(packet[0] & 15) * 4;
        if (probe->header < IP4_HEADER || get16(packet + 2) != size || probe->header > size)
            return MALFORMED;
        if (folded(sum(0, packet, probe->header)))
            return WRONG_CHECKSUM;
        if (get16(packet + 6) & 0x3fff)
            return UNRELATED; /* a fragment */
        probe->protocol = packet[9];
        probe->ttl = packet[8];
        probe->from = packet + 12;
        probe->to = packet + 16;
    } else if (size >= IP6_HEADER && packet[0] >> 4 == 6) {
        probe->header = IP6_HEADER;
        if (get16(packet + 4) != size - IP6_HEADER)
            return MALFORMED;
        probe->protocol = packet[6];
        probe->ttl = packet[7];
        probe->from = packet + 8;
        probe->to = packet + 24;
        probe->six = 1;
    } else {
        return MALFORMED;
    }
    probe->payload = packet + probe->header;
    probe->payload_size = size - probe->header;
    return UNRELATED;
}

/* Classify the payload; SILENT means that it is a valid probe. */
static enum fate judge(const struct probe *probe)
{
    const uint8_t *payload = probe->payload;
    size_t size = probe->payload_size;
    uint64_t covered = 0;
    switch (probe->protocol) {
    case GRE:
        return size < 4 ? MALFORMED : SILENT;
    case ICMP:
    case ICMP6:
        if (probe->six != (probe->protocol == ICMP6))
            return UNRELATED;
        if (size < ICMP_HEADER)
            return MALFORMED;
        if (payload[0] != (probe->six ? 128 : 8))
            return UNRELATED;
        break;
    case UDP:
        if (size < 8 || get16(payload + 4) != size)
            return MALFORMED;
        if (!probe->six && !get16(payload + 6))
            return SILENT; /* RFC 768: not computed */
        break;
    case TCP:
        if (size < TCP_HEADER)
            return MALFORMED;
        if ((payload[13] & (SYN | ACK | RST)) != SYN)
            return UNRELATED;
        break;
    default:
        return UNRELATED;
    }
    if (probe->protocol != ICMP)
        covered = pseudo_header(probe->from, probe->to, probe->six ? 16 : 4, probe->protocol, size);
    return folded(sum(covered, payload, size)) ? WRONG_CHECKSUM : SILENT;
}

/* Write an IP header before `size` bytes of payload; returns the total length. */
static size_t enclose(uint8_t *reply, const struct probe *probe, const uint8_t *from,
                      uint8_t protocol, uint8_t ttl, size_t size)
{
    static uint16_t id;
    if (probe->six) {
        const uint8_t start[] = {0x60, 0, 0, 0, (uint8_t)(size >> 8), (uint8_t)size, protocol, ttl};
        memcpy(reply, start, 8);
        memcpy(reply + 8, from, 16);
        memcpy(reply + 24, probe->from, 16);
        return IP6_HEADER + size;
    }
    memset(reply, 0, IP4_HEADER);
    reply[0] = 0x45;
    put16(reply + 2, IP4_HEADER + size);
    put16(reply + 4, ++id);
    reply[8] = ttl;
    reply[9] = protocol;
    memcpy(reply + 12, from, 4);
    memcpy(reply + 16, probe->from, 4);
    uint16_t check = folded(sum(0, reply, IP4_HEADER));
    memcpy(reply + 10, &check, 2);
    return IP4_HEADER + size;
}

static void check(uint8_t *payload, size_t size, size_t at, uint64_t covered)
{
    memset(payload + at, 0, 2);
    uint16_t value = folded(sum(covered, payload, size));
    memcpy(payload + at, &value, 2);
}

/* An ICMP error that quotes the probe as it arrived, with its remaining TTL. */
static size_t error(uint8_t *reply, const struct probe *probe, const uint8_t *from, uint8_t type,
                    uint8_t code, uint32_t rest, unsigned hop, uint8_t ttl)
{
    size_t header = probe->six ? IP6_HEADER : IP4_HEADER;
    size_t most = (probe->six ? LONGEST6 : LONGEST4) - header - ICMP_HEADER;
    size_t quoted = probe->size < most ? probe->size : most;
    uint8_t *icmp = reply + header, *quote = icmp + ICMP_HEADER;
    icmp[0] = type;
    icmp[1] = code;
    rest = htonl(rest);
    memcpy(icmp + 4, &rest, 4);
    memcpy(quote, probe->packet, quoted);
    quote[probe->six ? 7 : 8] = (uint8_t)(probe->ttl - (hop - 1));
    if (!probe->six)
        check(quote, probe->header, 10, 0);
    size_t size = ICMP_HEADER + quoted;
    uint64_t covered = probe->six ? pseudo_header(from, probe->from, 16, ICMP6, size) : 0;
    check(icmp, size, 2, covered);
    return enclose(reply, probe, from, probe->six ? ICMP6 : ICMP, ttl, size);
}

static size_t echo(uint8_t *reply, const struct probe *probe, uint8_t ttl)
{
    size_t header = probe->six ? IP6_HEADER : IP4_HEADER, size = probe->payload_size;
    if (header + size > REPLY_ROOM)
        return 0;
    uint8_t *icmp = reply + header;
    memcpy(icmp, probe->payload, size);
    icmp[0] = probe->six ? 129 : 0;
    uint64_t covered = probe->six ? pseudo_header(probe->to, probe->from, 16, ICMP6, size) : 0;
    check(icmp, size, 2, covered);
    return enclose(reply, probe, probe->to, probe->protocol, ttl, size);
}

static size_t segment(uint8_t *reply, const struct probe *probe, int open, uint8_t ttl)
{
    uint8_t *tcp = reply + (probe->six ? IP6_HEADER : IP4_HEADER);
    const uint8_t *syn = probe->payload;
    uint32_t number;
    memset(tcp, 0, TCP_HEADER);
    memcpy(tcp, syn + 2, 2);
    memcpy(tcp + 2, syn, 2);
    memcpy(&number, syn + 4, 4);
    number = htonl(ntohl(number) + 1);
    memcpy(tcp + 8, &number, 4);
    if (open)
        memcpy(tcp + 4, "colo", 4); /* an arbitrary initial sequence number */
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = open ? SYN | ACK : RST | ACK;
    if (open)
        put16(tcp + 14, 65535);
    size_t address = probe->six ? 16 : 4;
    check(tcp, TCP_HEADER, 16, pseudo_header(probe->to, probe->from, address, TCP, TCP_HEADER));
    return enclose(reply, probe, probe->to, TCP, ttl, TCP_HEADER);
}

static size_t of_target(const struct network *network, const struct probe *probe, uint8_t *reply,
                        unsigned hop)
{
    uint8_t ttl = (uint8_t)(64 - (hop - 1) % 64);
    if (probe->protocol == TCP)
        return segment(reply, probe, network->tcp_open, ttl);
    if (probe->protocol == UDP)
        return probe->six ? error(reply, probe, probe->to, 1, 4, 0, hop, ttl)
                          : error(reply, probe, probe->to, 3, 3, 0, hop, ttl);
    if (probe->protocol == GRE)
        return probe->six ? error(reply, probe, probe->to, 4, 1, 6, hop, ttl)
                          : error(reply, probe, probe->to, 3, 2, 0, hop, ttl);
    return echo(reply, probe, ttl);
}

static size_t of_router(const struct probe *probe, uint8_t *reply, unsigned hop)
{
    const uint8_t four[4] = {198, 18, (uint8_t)hop, 1};
    const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t)hop, [15] = 1};
    uint8_t ttl = (uint8_t)(255 - (hop - 1));
    return probe->six ? error(reply, probe, six, 3, 0, 0, hop, ttl)
                      : error(reply, probe, four, 11, 0, 0, hop, ttl);
}

enum fate answer(const struct network *network, const uint8_t *packet, size_t size,
                 uint8_t *reply, size_t *length, unsigned *hop)
{
    struct probe probe;
    *length = 0;
    *hop = 0;
    enum fate fate = dissect(packet, size, &probe);
    if (fate == UNRELATED)
        fate = judge(&probe);
    if (fate != SILENT)
        return fate;
    if (probe.ttl == 0)
        return MALFORMED;
    int reached = probe.ttl > network->distance;
    *hop = reached ? network->distance + 1 : probe.ttl;
    if (network->silent[reached ? 0 : *hop])
        return SILENT;
    *length = reached ? of_target(network, &probe, reply, *hop) : of_router(&probe, reply, *hop);
    return reached ? REACHED : TIME_EXCEEDED;
}
