/* Prints the datagrams that it receives, each on a line, until one says "end". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(void) {
	int fd = atoi(getenv("LISTEN_FDS_START"));
	char buffer[1500];
	do {
		ssize_t n = recv(fd, buffer, sizeof buffer - 1, 0);
		if (n < 0) {
			perror("recv");
			return 1;
		}
		buffer[n] = 0;
		puts(buffer);
		fflush(stdout);
	} while (strcmp(buffer, "end") != 0);
	return 0;
}
