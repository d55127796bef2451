/* Answers probes over a TUN device, and records the times of reads and writes.
 *
 *     responder --device NAME --distance N [--delay-ns N] [--per-hop-ns N] [--silent TTL,TTL…]
 *               [--silent-target] [--tcp-open] [--ledger-fd N --records N] [--core N] [--urgent]
 *               [--wait]
 *
 * Started by `responder.py` in a network namespace of its own. Prints one line when the device exists.
 * Ends when its input closes, so also when its parent dies.
 *
 * It polls, because a wake-up takes longer than the times to measure. With --wait it sleeps instead,
 * for machines without a spare core. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agenda.h"
#include "answer.h"
#include "record.h"

/* Interval of checking whether the parent still exists. */
enum { LOOK_NS = 5000000 };
/* With --wait: sleep until this long before the next reply is due, then poll the clock. */
enum { SPIN_NS = 100000 };

struct settings {
    struct network network;
    int64_t delay_ns, per_hop_ns;
    const char *device;
    int ledger_fd, core, urgent, wait;
    uint64_t records;
};

static int64_t now(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000 + at.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "responder: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_device(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        fail("/dev/net/tun");
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(device, TUNSETIFF, &request))
        fail("no TUN device");
    return device;
}

static struct ledger *open_ledger(const struct settings *settings)
{
    static struct ledger none; /* counters are kept without --ledger-fd, too */
    if (settings->ledger_fd < 0)
        return &none;
    size_t size = sizeof none + settings->records * sizeof(struct record);
    /* Populated, since a page fault would lengthen an RTT. */
    struct ledger *ledger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                                 settings->ledger_fd, 0);
    if (ledger == MAP_FAILED)
        fail("the ledger");
    ledger->capacity = settings->records;
    return ledger;
}

/* Real-time priority, if this user may have it. */
static void hurry(const struct settings *settings)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (settings->core >= 0) {
        CPU_SET((size_t)settings->core, &cores);
        if (sched_setaffinity(0, sizeof cores, &cores))
            fail("its core");
    }
    if (setpriority(PRIO_PROCESS, 0, -20))
        errno = 0; /* normal priority then */
    struct sched_param first = {.sched_priority = 1};
    if (settings->urgent && sched_setscheduler(0, SCHED_FIFO, &first))
        errno = 0;
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        errno = 0;
}

static struct record *record(struct ledger *ledger, uint64_t number)
{
    return number < ledger->capacity ? ledger->records + number : NULL;
}

static void write_reply(struct ledger *ledger, int device, uint64_t number, const uint8_t *reply,
                        size_t length)
{
    struct record *entry = record(ledger, number);
    if (entry) {
        entry->write_wall = now(CLOCK_REALTIME);
        entry->write_mono = now(CLOCK_MONOTONIC);
    }
    if (write(device, reply, length) < 0)
        ledger->unwritten++;
    else
        ledger->written++;
    if (entry)
        __atomic_store_n(&entry->written_mono, now(CLOCK_MONOTONIC), __ATOMIC_RELEASE);
}

/* Answer a probe now, or queue the answer. */
static void take(const struct settings *settings, struct ledger *ledger, struct agenda *agenda,
                 int device, const uint8_t *packet, size_t size, int64_t read_mono, int64_t empty)
{
    int64_t read_wall = now(CLOCK_REALTIME);
    unsigned hop;
    struct waiting *waiting = agenda_room(agenda);
    if (!waiting) {
        ledger->crowded_out++;
        return;
    }
    enum fate fate =
        answer(&settings->network, packet, size, waiting->reply, &waiting->length, &hop);
    ledger->fates[fate]++;
    if (fate > SILENT)
        return;
    int64_t delay = settings->delay_ns + settings->per_hop_ns * (int64_t)hop;
    uint64_t number = ledger->count;
    struct record *entry = record(ledger, number);
    if (entry) {
        int64_t unread = read_mono - empty;
        entry->read_mono = read_mono;
        entry->read_wall = read_wall;
        entry->planned_mono = read_mono + delay;
        entry->unread_ns = unread > UINT32_MAX ? UINT32_MAX : (uint32_t)unread;
        entry->size = (uint16_t)size;
        entry->fate = (uint8_t)fate;
        entry->hop = (uint8_t)hop;
        memcpy(entry->packet, packet, size < KEPT ? size : KEPT);
    }
    __atomic_store_n(&ledger->count, number + 1, __ATOMIC_RELEASE);
    if (!waiting->length)
        return;
    waiting->record = number;
    if (delay)
        agenda_add(agenda, read_mono + delay);
    else
        write_reply(ledger, device, number, waiting->reply, waiting->length);
}

static int starter_gone(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static void rest(int device, const struct agenda *agenda)
{
    struct pollfd either[] = {{.fd = device, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    int64_t left = agenda->count ? agenda->heap[0].due - now(CLOCK_MONOTONIC) - SPIN_NS : LOOK_NS * 20;
    if (left <= 0)
        return;
    struct timespec most = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    ppoll(either, 2, &most, NULL);
}

static void serve(const struct settings *settings, struct ledger *ledger, int device)
{
    static uint8_t packet[65536];
    struct agenda *agenda = agenda_new();
    if (!agenda)
        fail("no memory");
    hurry(settings);
    int64_t at = now(CLOCK_MONOTONIC), empty = at, looked = at;
    for (;;) {
        int64_t began = at;
        int worked = 0;
        if (agenda->count && agenda->heap[0].due <= at) {
            struct waiting *due = agenda_take(agenda);
            write_reply(ledger, device, due->record, due->reply, due->length);
            worked = 1;
            at = now(CLOCK_MONOTONIC);
        }
        ssize_t size = read(device, packet, sizeof packet);
        int64_t read_mono = now(CLOCK_MONOTONIC);
        if (size > 0) {
            take(settings, ledger, agenda, device, packet, (size_t)size, read_mono, empty);
            worked = 1;
            at = now(CLOCK_MONOTONIC);
        } else {
            /* The next packet arrived after this read began. */
            empty = at;
            at = read_mono;
            if (settings->wait && !worked) {
                rest(device, agenda);
                at = now(CLOCK_MONOTONIC);
            }
        }
        if (worked)
            ledger->busy_ns += (uint64_t)(at - began);
        if (at - looked > LOOK_NS) {
            if (starter_gone())
                return;
            looked = at;
        }
    }
}

static void read_silent(struct network *network, char *list)
{
    for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
        long ttl = strtol(word, NULL, 10);
        if (ttl > 0 && ttl < 256)
            network->silent[ttl] = 1;
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"device", required_argument, NULL, 'd'},    {"distance", required_argument, NULL, 'n'},
        {"delay-ns", required_argument, NULL, 'y'},  {"per-hop-ns", required_argument, NULL, 'p'},
        {"silent", required_argument, NULL, 's'},    {"silent-target", no_argument, NULL, 't'},
        {"tcp-open", no_argument, NULL, 'o'},        {"ledger-fd", required_argument, NULL, 'l'},
        {"records", required_argument, NULL, 'r'},   {"core", required_argument, NULL, 'c'},
        {"urgent", no_argument, NULL, 'u'},          {"wait", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct settings settings = {.device = "world0", .ledger_fd = -1, .core = -1};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'd': settings.device = optarg; break;
        case 'n': settings.network.distance = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'y': settings.delay_ns = strtoll(optarg, NULL, 10); break;
        case 'p': settings.per_hop_ns = strtoll(optarg, NULL, 10); break;
        case 's': read_silent(&settings.network, optarg); break;
        case 't': settings.network.silent[0] = 1; break;
        case 'o': settings.network.tcp_open = 1; break;
        case 'l': settings.ledger_fd = (int)strtol(optarg, NULL, 10); break;
        case 'r': settings.records = strtoull(optarg, NULL, 10); break;
        case 'c': settings.core = (int)strtol(optarg, NULL, 10); break;
        case 'u': settings.urgent = 1; break;
        case 'w': settings.wait = 1; break;
        default: return 2;
        }
    }
    int device = open_device(settings.device);
    struct ledger *ledger = open_ledger(&settings);
    puts("ready");
    fflush(stdout);
    serve(&settings, ledger, device);
    return 0;
}
