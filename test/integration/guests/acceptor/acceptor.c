/* A server of one connection after the other, with plain accept, read and write. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
	const char *start = getenv("LISTEN_FDS_START");
	if (start == NULL) {
		puts("no listener");
		return 1;
	}
	puts("accepting");
	fflush(stdout);
	for (;;) {
		int fd = accept(atoi(start), NULL, NULL);
		if (fd < 0) {
			perror("accept");
			return 1;
		}
		char buffer[4096];
		ssize_t n = read(fd, buffer, sizeof buffer);
		static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nhello from C\n";
		if (n > 0)
			write(fd, answer, strlen(answer));
		close(fd);
	}
}
