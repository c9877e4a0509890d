/* Opens its own file until it cannot, reads by what it has, and closes all; twice. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { most = 1 << 21 };
static int open_files[most];

static int magic(int fd) {
	char start[4];
	return read(fd, start, sizeof start) == sizeof start && memcmp(start, "\0asm", 4) == 0;
}

int main(int argc, char **argv) {
	for (int round = 0; round < 2; round++) {
		int count = 0, bad = 0;
		while (count < most && (open_files[count] = open(argv[0], O_RDONLY)) >= 0)
			count++;
		printf("%d open: %s\n", count, strerror(errno));
		fflush(stdout);
		for (int i = 0; i < count; i++)
			bad += !magic(open_files[i]) + (close(open_files[i]) != 0);
		printf("%d bad\n", bad);
	}
	return 0;
}
