/* Looks at thousands of sockets for bench/tabs.py, and does with most of what came all that there is to do.
 *
 * What is to be thought about goes to Python: sockets that are not read here, all that comes to those
 * that are being opened, what begins with another frame than a whole text or ping, and texts that hold a resume token.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#if !defined MOST || !defined READ || !defined NOTED
#error "reader.py says how many"
#endif

enum { TEXT = 0x81, PING = 0x89, LONG = 126 };
enum { READY = -2, BROKEN = -1 };
enum { UNREAD = 0, NOBODY = -1, ALL_LEFT = -2 };

struct came {
    double at;     /* by the monotonic clock */
    int whose;     /* of a text that is noted, the number of who looks at it; of what is left, the file */
    int size;      /* of its part of the bytes, which are in the same order; or READY or BROKEN, with none */
};

/* What the last look has found. bench/reader.py knows it by the same names, in the same order. */
struct {
    const int *whose;                      /* of each file: UNREAD, ALL_LEFT, NOBODY, or the number of who looks */
    long received, sent;                   /* bytes, since the beginning */
    double last;                           /* when the last text came */
    int texts;                             /* also those that nobody looks at */
    int noted_count, left_count;
    int noted_size, left_size;
    struct came noted[NOTED];              /* texts, each a whole frame */
    struct came left[MOST];                /* what is left to Python: one for each socket at most */
    unsigned char noted_bytes[MOST * READ];
    unsigned char left_bytes[MOST * READ];
} found;

const size_t found_size = sizeof found;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void leave(double at, int file, int size, const unsigned char *bytes)
{
    found.left[found.left_count++] = (struct came){at, file, size};
    if (size > 0) {
        memcpy(found.left_bytes + found.left_size, bytes, size);
        found.left_size += size;
    }
}

static void note(double at, int whose, int size, const unsigned char *frame)
{
    found.noted[found.noted_count++] = (struct came){at, whose, size};
    memcpy(found.noted_bytes + found.noted_size, frame, size);
    found.noted_size += size;
}

/* Returns how many bytes a whole frame has; 0 for one that has not come whole, or is very long. */
static int whole(const unsigned char *data, int size)
{
    int begin = 2, length;

    if (size < 2)
        return 0;
    length = data[1];
    if (length > LONG || (length == LONG && size < 4))
        return 0;
    if (length == LONG) {
        begin = 4;
        length = data[2] << 8 | data[3];
    }
    return begin + length <= size ? begin + length : 0;
}

/* Returns how much of its pong the kernel has taken. */
static int answer(int file, const unsigned char *ping, int size)
{
    unsigned char pong[6 + 125] = {0x8a, 0x80 | ping[1]};
    int sent;

    memcpy(pong + 6, ping + 2, size - 2);
    sent = send(file, pong, size + 4, MSG_NOSIGNAL);
    found.sent += sent > 0 ? sent : 0;
    return sent;
}

static void read_quickly(int file, int whose)
{
    unsigned char data[READ];
    ssize_t got = recv(file, data, READ, 0);
    double at;
    int begin = 0, size;

    if (got < 0 && errno == EAGAIN)
        return;
    at = now();
    if (got <= 0) {
        leave(at, file, BROKEN, NULL);
        return;
    }
    found.received += got;
    /* After as much as this there may be more, which Python reads. */
    while (whose != ALL_LEFT && got < READ && (size = whole(data + begin, got - begin))) {
        unsigned char *frame = data + begin;

        if (frame[0] == TEXT && !memmem(frame, size, "\"resume\"", 8)) {
            if (found.noted_count == NOTED)
                break;
            found.texts++;
            found.last = at;
            if (whose != NOBODY)
                note(at, whose, size, frame);
        } else if (frame[0] != PING || size > 2 + 125) {
            break;
        } else if (answer(file, frame, size) != size + 4) {
            leave(at, file, BROKEN, NULL);
            return;
        }
        begin += size;
    }
    if (begin < got)
        leave(at, file, got - begin, data + begin);
}

/* Returns what epoll_wait does. */
int look(int poll, int milliseconds)
{
    static struct epoll_event events[MOST];
    int ready = epoll_wait(poll, events, MOST, milliseconds);

    found.noted_count = found.left_count = 0;
    found.noted_size = found.left_size = found.texts = 0;
    for (int i = 0; i < ready; i++) {
        int file = events[i].data.fd, whose = found.whose[file];

        /* The end of a connection may come together with the last bytes, and is told but once. */
        if (whose != UNREAD && !(events[i].events & ~(EPOLLIN | EPOLLOUT)))
            read_quickly(file, whose);
        else
            leave(0, file, READY, NULL);
    }
    return ready;
}
