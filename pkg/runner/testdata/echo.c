// A server as C programs are: it waits in accept and read, and knows nothing of
// descriptors that do not block. It ends with its third connection.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
	int listener = atoi(getenv("LISTEN_FDS_START"));
	printf("%s at %d: %s\n", getenv("LISTEN_FDS"), listener, getenv("LISTEN_FDNAMES"));
	fflush(stdout);
	for (int i = 0; i < 3; i++) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0) {
			printf("accept: %s\n", strerror(errno));
			return 1;
		}
		char buffer[1024];
		ssize_t n;
		while ((n = read(fd, buffer, sizeof buffer)) > 0)
			if (send(fd, buffer, n, 0) != n) {
				printf("send: %s\n", strerror(errno));
				return 1;
			}
		close(fd);
	}
	return 0;
}
