// What a guest can do with less than it usually has.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void tell(const char *what, int failed) { printf("%s: %s\n", what, failed ? strerror(errno) : "done"); }

static int touch(const char *path) {
	int fd = open(path, O_WRONLY | O_CREAT, 0666);
	return fd < 0 ? -1 : close(fd);
}

static int fine(clockid_t id) {
	for (int i = 0; i < 100; i++) {
		struct timespec ts;
		clock_gettime(id, &ts);
		if (ts.tv_nsec % 1000000)
			return 1;
	}
	return 0;
}

int main(void) {
	char content[8] = "";
	int fd = open("/ro/file", O_RDONLY);
	tell("read /ro/file", fd < 0 || read(fd, content, 7) < 0);
	tell("write /ro/file", open("/ro/file", O_RDWR) < 0);
	tell("create /ro/new", touch("/ro/new"));
	tell("mkdir /ro/dir", mkdir("/ro/dir", 0777));
	tell("remove /ro/file", unlink("/ro/file"));
	tell("rename /ro/file", rename("/ro/file", "/rw/file"));
	tell("create /rw/new", touch("/rw/new"));
	tell("list /", open("/", O_RDONLY | O_DIRECTORY) < 0);
	tell("read /etc/hostname", open("/etc/hostname", O_RDONLY) < 0);
	tell("read /rw/link", open("/rw/link", O_RDONLY) < 0);
	printf("environment: %s\n", environ && *environ ? *environ : "none");
	struct timespec resolution;
	clock_getres(CLOCK_MONOTONIC, &resolution);
	printf("clocks: %s\n", fine(CLOCK_REALTIME) || fine(CLOCK_MONOTONIC) || resolution.tv_nsec < 1000000 ? "fine" : "coarse");
}
