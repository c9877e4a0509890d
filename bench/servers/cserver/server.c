// An HTTP server of one thread that serves one connection after the other, as small as
// it can be: what it does is accept, recv, send and close.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __wasi__
static int listener(void) { return atoi(getenv("LISTEN_FDS_START")); }
#else
#include <arpa/inet.h>

static int listener(void) {
    char *address = getenv("ADDRESS"), *colon = strchr(address, ':');
    *colon = 0;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1)), .sin_addr.s_addr = inet_addr(address)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0) {
        perror("server: listen");
        exit(1);
    }
    return fd;
}
#endif

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nhello, world\n";

// serve answers requests without bodies until there are no more.
static void serve(int fd) {
    char got[4096];
    size_t n = 0;
    for (;;) {
        ssize_t r = recv(fd, got + n, sizeof got - 1 - n, 0);
        if (r <= 0)
            return;
        got[n += r] = 0;
        if (!strstr(got, "\r\n\r\n")) {
            if (n == sizeof got - 1)
                return;
            continue;
        }
        if (send(fd, answer, sizeof answer - 1, 0) != sizeof answer - 1)
            return;
        if (strstr(got, "\r\nConnection: close"))
            return;
        n = 0;
    }
}

int main(void) {
    for (int l = listener();;) {
        int fd = accept(l, NULL, NULL);
        if (fd < 0) {
            perror("server: accept");
            return 1;
        }
        serve(fd);
        close(fd);
    }
}
