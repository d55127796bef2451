/* Sends frames repeatedly, at a steady rate, from a packet socket.
 *
 *     pace DEVICE RATE SECONDS < frames
 *
 * Input: a line "COUNT SIZE", then the frames, all of one size. About each millisecond the frames that
 * are due are sent in one system call. Prints "SENT SECONDS". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* Not a multiple of a kernel tick, so that sampling by ticks is not in phase with it. */
enum { MOST = 256, LONGEST = 2048, TURN_NS = 1030000 };

static uint8_t frames[MOST][LONGEST];

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000 + at.tv_nsec;
}

static void wait_until(int64_t due)
{
    struct timespec at = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

int main(int argc, char **argv)
{
    unsigned count, size;
    if (argc != 4 || scanf("%u %u", &count, &size) != 2 || getchar() != '\n')
        return 2;
    if (!count || count > MOST || size > LONGEST)
        return 2;
    for (unsigned each = 0; each < count; each++)
        if (fread(frames[each], size, 1, stdin) != 1)
            return 2;
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    int sender = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP),
                             .sll_ifindex = (int)if_nametoindex(argv[1])};
    int bypass = 1;
    if (sender < 0 || bind(sender, (struct sockaddr *)&to, sizeof to) ||
        setsockopt(sender, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass)) {
        perror("pace");
        return 1;
    }
    static struct iovec parts[MOST];
    static struct mmsghdr batch[MOST];
    uint64_t sent = 0;
    int64_t began = now(), turn = began, ends = began + (int64_t)(seconds * 1e9);
    while (turn < ends) {
        uint64_t due = (uint64_t)((double)(turn - began) / 1e9 * rate);
        while (sent < due) {
            unsigned many = due - sent < MOST ? (unsigned)(due - sent) : MOST;
            for (unsigned each = 0; each < many; each++) {
                parts[each] = (struct iovec){frames[(sent + each) % count], size};
                batch[each].msg_hdr = (struct msghdr){.msg_iov = &parts[each], .msg_iovlen = 1};
            }
            int left = sendmmsg(sender, batch, many, 0);
            if (left < 0 && errno != ENOBUFS) {
                perror("pace");
                return 1;
            }
            sent += left > 0 ? (uint64_t)left : many; /* dropped frames are not repeated */
        }
        turn += TURN_NS;
        wait_until(turn);
    }
    printf("%lu %.3f\n", sent, (double)(now() - began) / 1e9);
    return 0;
}
