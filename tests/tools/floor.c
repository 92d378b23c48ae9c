/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: takes datagrams from a UDP port and forgets them. What it costs is what the kernel asks of
 * every collector. With REST_US it sleeps so long whenever its queue is empty, so that one wake-up
 * serves many datagrams: nobody can be cheaper than that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 64,
    DATAGRAM_MAX = 2048,
    BUFFER_BYTES = 4 << 20,
};

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in self = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int bytes = BUFFER_BYTES;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0 ||
        bind(fd, (struct sockaddr *)&self, sizeof self) < 0)
        return -1;
    return fd;
}

static uint64_t receive_and_forget(int fd, long rest_us)
{
    static uint8_t buffers[BATCH][DATAGRAM_MAX];
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    uint64_t datagrams = 0;

    memset(headers, 0, sizeof headers);
    for (unsigned i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){buffers[i], DATAGRAM_MAX};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    while (!stopping) {
        int n = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);

        if (n < 0 && errno != EINTR)
            break;
        datagrams += n > 0 ? (uint64_t)n : 0;
        if (rest_us > 0 && n < BATCH)
            nanosleep(&(struct timespec){.tv_nsec = rest_us * 1000}, NULL);
    }
    return datagrams;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: recvmmsg() must return */

    if (argc < 2 || argc > 3 || argv[1][0] == '-') {
        fputs("Usage: floor PORT [REST_US]\nReceives datagrams on 127.0.0.1:PORT and forgets them; "
              "prints how "
              "many there were\nwhen it is ended by SIGTERM.\n",
              argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int fd = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    if (fd < 0) {
        perror("floor: cannot listen");
        return 1;
    }
    printf("{\"datagrams\":%llu}\n",
           (unsigned long long)receive_and_forget(fd, argc > 2 ? atol(argv[2]) : 0));
    close(fd);
    return 0;
}
