// witness does a list of things, each of which is a word and its arguments, and
// prints what comes of them, so that two of its kind can be compared.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void result(const char *what, const char *path, int failed) {
	printf("%s %s: %s\n", what, path, failed ? strerror(errno) : "ok");
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// skipped are places that are different on purpose.
static int skipped(const char *path) {
	return !strcmp(path, "/proc") || !strcmp(path, "/sys") || !strcmp(path, "/dev");
}

// walk prints all that is below a directory, in the order of the names.
static void walk(const char *dir) {
	char *names[512];
	int n = 0;
	DIR *d = opendir(dir);
	if (!d) {
		result("walk", dir, 1);
		return;
	}
	for (struct dirent *e; (e = readdir(d)) && n < 512;)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			names[n++] = strdup(e->d_name);
	closedir(d);
	qsort(names, n, sizeof *names, by_name);
	for (int i = 0; i < n; i++) {
		char path[4096];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") ? dir : "", names[i]);
		free(names[i]);
		if (skipped(path))
			continue;
		if (lstat(path, &st) != 0) {
			result("stat", path, 1);
			continue;
		}
		const char *type = S_ISDIR(st.st_mode) ? "directory" : S_ISREG(st.st_mode) ? "file" : S_ISLNK(st.st_mode) ? "link" : S_ISCHR(st.st_mode) ? "device" : "other";
		printf("%s %s links %d", path, type, S_ISDIR(st.st_mode) ? 0 : (int)st.st_nlink);
		if (S_ISREG(st.st_mode))
			printf(" size %lld", (long long)st.st_size);
		if (S_ISREG(st.st_mode) && st.st_mtime < time(NULL) - 3600) // not made by a test
			printf(" time %lld", (long long)st.st_mtime);
		printf("\n");
		if (S_ISDIR(st.st_mode))
			walk(path);
	}
}

static void show(const char *path) {
	char buf[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf);
	if (n < 0)
		result("read", path, 1);
	else
		printf("read %s: \"%.*s\"\n", path, (int)n, buf);
	if (fd >= 0)
		close(fd);
}

static void make(const char *path) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	result("write", path, fd < 0 || write(fd, "made\n", 5) != 5);
	if (fd >= 0)
		close(fd);
}

// grow writes KiB after KiB, up to a number, and tells how far it got.
static void grow(const char *path, int limit) {
	static char block[1024];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666), n = 0;
	errno = 0;
	while (fd >= 0 && n < limit && write(fd, block, sizeof block) == sizeof block)
		n++;
	printf("grow %s: %d KiB, %s\n", path, n, n < limit ? strerror(errno) : "ok");
	if (fd >= 0)
		close(fd);
}

// many opens a file again and again, up to a number, and tells why it did not
// get there.
static void many(const char *path, int limit) {
	int n = 0;
	while (n < limit && open(path, O_RDONLY) >= 0)
		n++;
	printf("many %s: %s\n", path, n < limit ? strerror(errno) : "ok");
}

static void copy_stdin(void) {
	char buf[4096];
	for (ssize_t n; (n = read(0, buf, sizeof buf)) > 0;)
		fwrite(buf, 1, n, stdout);
	printf("end of stdin\n");
}

int main(int argc, char **argv) {
	for (int i = 1; i < argc; i++) {
		const char *what = argv[i], *one = i + 1 < argc ? argv[i + 1] : "";
		if (!strcmp(what, "arguments")) {
			for (int k = 0; k < argc; k++)
				printf("argument %d: %s\n", k, argv[k]);
		} else if (!strcmp(what, "environment")) {
			for (char **e = environ; *e; e++)
				printf("environment: %s\n", *e);
		} else if (!strcmp(what, "stdin")) {
			copy_stdin();
		} else if (!strcmp(what, "stderr")) {
			fprintf(stderr, "to stderr\n");
		} else if (!strcmp(what, "terminal")) {
			printf("terminal: %d %d %d\n", isatty(0), isatty(1), isatty(2));
		} else if (!strcmp(what, "wait")) {
			printf("waiting\n");
			fflush(stdout);
			sleep(86400);
		} else {
			i++;
			if (!strcmp(what, "walk"))
				walk(one);
			else if (!strcmp(what, "read"))
				show(one);
			else if (!strcmp(what, "write"))
				make(one);
			else if (!strcmp(what, "directory"))
				result("directory", one, mkdir(one, 0777));
			else if (!strcmp(what, "link")) {
				const char *at = i + 1 < argc ? argv[++i] : "";
				result("link", at, symlink(one, at));
			} else if (!strcmp(what, "grow"))
				grow(one, 4096);
			else if (!strcmp(what, "many"))
				many(one, 4096);
			else if (!strcmp(what, "exit"))
				exit(atoi(one));
			else
				printf("what is \"%s\"\n", what);
		}
	}
	return 0;
}
