/* The yardstick of bench/fanout.py: the same bytes to as many sockets, with nothing around them.
 *
 *     bare SOCKETS
 *
 * Listens at a free port of 127.0.0.1, prints it, and takes that many connections. Then, for each frame on
 * standard input (two bytes of length, big-endian, and its bytes), writes it to every connection.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_at_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096))
        die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv)
{
    static unsigned char frame[65536];
    int count = argc == 2 ? atoi(argv[1]) : 0, on = 1;
    int *connections = calloc(count, sizeof *connections);
    int listener = listen_at_free_port();

    for (int i = 0; i < count; i++) {
        connections[i] = accept(listener, NULL, NULL);
        if (connections[i] < 0)
            die("accept");
        setsockopt(connections[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    while (fread(frame, 1, 2, stdin) == 2) {
        ssize_t size = frame[0] << 8 | frame[1];
        if (fread(frame, 1, size, stdin) != (size_t)size)
            die("read");
        for (int i = 0; i < count; i++)
            if (write(connections[i], frame, size) != size)
                die("write");
    }
    return 0;
}
