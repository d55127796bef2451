/* Sends probes as fast as the kernel takes them, and counts the replies.
 *
 *     blast TARGETS ROUTERS SECONDS
 *
 * UDP over IPv4 through a raw socket, 64 packets in each system call, TTL 1 to ROUTERS + 1 in turn, to
 * 203.0.113.0 and following addresses. Prints "SENT RECEIVED SECONDS". The rate depends on both ends;
 * the responder's ledger has the CPU time of the responder alone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, SIZE = 44, ROOM = 128, FIRST_TARGET = 0xcb007100 };

static uint8_t out[BATCH][SIZE], in[BATCH][ROOM];
static struct sockaddr_in to[BATCH];
static struct mmsghdr sending[BATCH], receiving[BATCH];
static struct iovec out_parts[BATCH], in_parts[BATCH];

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void prepare(void)
{
    /* The kernel sets source, id and IP checksum; no UDP checksum (RFC 768). */
    static const uint8_t header[28] = {0x45, 0, 0, SIZE, 0,    0,    0,    0, 1, IPPROTO_UDP,
                                       [20] = 0xc0, 1, 0x82, 0x9a, 0, SIZE - 20};
    for (int each = 0; each < BATCH; each++) {
        memcpy(out[each], header, sizeof header);
        to[each].sin_family = AF_INET;
        out_parts[each] = (struct iovec){out[each], SIZE};
        in_parts[each] = (struct iovec){in[each], ROOM};
        sending[each].msg_hdr = (struct msghdr){.msg_name = &to[each], .msg_namelen = sizeof *to,
                                                .msg_iov = &out_parts[each], .msg_iovlen = 1};
        receiving[each].msg_hdr = (struct msghdr){.msg_iov = &in_parts[each], .msg_iovlen = 1};
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    uint32_t targets = (uint32_t)atol(argv[1]), hops = (uint32_t)atol(argv[2]) + 1;
    double lasts = atof(argv[3]);
    int sender = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    int receiver = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    int room = 8 << 20;
    if (sender < 0 || receiver < 0) {
        perror("blast");
        return 1;
    }
    if (setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room))
        errno = 0; /* replies beyond the buffer are then not counted */
    prepare();
    uint64_t sent = 0, received = 0, number = 0;
    double began = now(), took;
    do {
        for (int each = 0; each < BATCH; each++, number++) {
            to[each].sin_addr.s_addr = htonl(FIRST_TARGET + (uint32_t)(number / hops % targets));
            memcpy(out[each] + 16, &to[each].sin_addr, 4);
            out[each][8] = (uint8_t)(number % hops + 1);
        }
        int count = sendmmsg(sender, sending, BATCH, 0);
        sent += count > 0 ? (uint64_t)count : 0;
        while ((count = recvmmsg(receiver, receiving, BATCH, MSG_DONTWAIT, NULL)) > 0)
            received += (uint64_t)count;
        took = now() - began;
    } while (took < lasts);
    printf("%lu %lu %.3f\n", sent, received, took);
    return 0;
}
