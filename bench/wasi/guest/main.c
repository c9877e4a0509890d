// What the benchmark repeats: guest OPERATION TIMES, in the directory "/".
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char buffer[1 << 16];

static void must(int ok, const char *what) {
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void open_read(const char *path) {
	int fd = open(path, O_RDONLY);
	must(fd >= 0, path);
	must(read(fd, buffer, 4096) == 4096, "read");
	must(close(fd) == 0, "close");
}

static void list(const char *path) {
	DIR *dir = opendir(path);
	must(dir != NULL, path);
	int n = 0;
	while (readdir(dir) != NULL) n++;
	must(n >= 1000, "entries");
	closedir(dir);
}

static void create(const char *path) {
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
	must(fd >= 0, path);
	must(close(fd) == 0, "close");
	must(unlink(path) == 0, "unlink");
}

static void write_parts(int fd, struct iovec *parts) {
	must(lseek(fd, 0, SEEK_SET) == 0, "lseek");
	must(writev(fd, parts, 8) == 4096, "writev");
}

int main(int argc, char **argv) {
	if (argc != 3) return 2;
	const char *op = argv[1];
	long n = atol(argv[2]);
	struct stat st;
	int fd = open("/scratch", O_RDWR | O_CREAT, 0666);
	must(fd >= 0, "scratch");
	must(ftruncate(fd, sizeof buffer) == 0, "ftruncate");
	struct iovec parts[8];
	for (int i = 0; i < 8; i++) parts[i] = (struct iovec){buffer + i * 4096, 512};
#define IS(name) (strcmp(op, name) == 0)
#define REPEAT(call) for (long i = 0; i < n; i++) call
	if (IS("nothing")) return 0;
	else if (IS("open+read")) REPEAT(open_read("/file"));
	else if (IS("open+read deep")) REPEAT(open_read("/a/b/c/d/file"));
	else if (IS("open+read link")) REPEAT(open_read("/link"));
	else if (IS("stat")) REPEAT(must(stat("/file", &st) == 0, "stat"));
	else if (IS("stat deep")) REPEAT(must(stat("/a/b/c/d/file", &st) == 0, "stat"));
	else if (IS("stat missing")) REPEAT(must(stat("/nothing", &st) != 0, "stat"));
	else if (IS("fstat")) REPEAT(must(fstat(fd, &st) == 0, "fstat"));
	else if (IS("read 1")) REPEAT(must(pread(fd, buffer, 1, 0) == 1, "pread"));
	else if (IS("read 4k")) REPEAT(must(pread(fd, buffer, 4096, 0) == 4096, "pread"));
	else if (IS("read 64k")) REPEAT(must(pread(fd, buffer, sizeof buffer, 0) == sizeof buffer, "pread"));
	else if (IS("write 1")) REPEAT(must(pwrite(fd, buffer, 1, 0) == 1, "pwrite"));
	else if (IS("write 4k")) REPEAT(must(pwrite(fd, buffer, 4096, 0) == 4096, "pwrite"));
	else if (IS("write 64k")) REPEAT(must(pwrite(fd, buffer, sizeof buffer, 0) == sizeof buffer, "pwrite"));
	else if (IS("writev 8")) REPEAT(write_parts(fd, parts));
	else if (IS("seek")) REPEAT(must(lseek(fd, i & 1023, SEEK_SET) >= 0, "lseek"));
	else if (IS("create+unlink")) REPEAT(create("/new"));
	else if (IS("readdir 1000")) REPEAT(list("/many"));
	else return 2;
	return 0;
}
