/* A CGI program that does, well or badly, what the path of a request says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *variable(const char *name) {
	const char *value = getenv(name);
	return value ? value : "";
}

static void plain(void) { printf("Content-Type: text/plain\r\n\r\n"); }

static void wait_ms(long ms) {
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* What a request leaves behind, if anything. */
static int requests = 0;
static char *kept = NULL;

int main(int argc, char **argv) {
	const char *path = variable("PATH_INFO"), *query = variable("QUERY_STRING");
	static char buffer[65536];
	if (!strcmp(path, "/env")) {
		plain();
		for (char **e = environ; *e; e++)
			puts(*e);
	} else if (!strcmp(path, "/args")) {
		plain();
		for (int i = 1; i < argc; i++)
			puts(argv[i]);
	} else if (!strcmp(path, "/echo")) {
		size_t n;
		printf("Content-Type: %s\nX-Length: %s\n\n", variable("CONTENT_TYPE"), variable("CONTENT_LENGTH"));
		fflush(stdout); /* the answer begins before the body has been read */
		while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0)
			fwrite(buffer, 1, n, stdout);
	} else if (!strcmp(path, "/count")) { /* reads a body and says how long it was */
		size_t n, all = 0;
		while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0)
			all += n;
		fprintf(stderr, "read %zu of %s\n", all, variable("CONTENT_LENGTH"));
		plain();
		printf("%zu\n", all);
	} else if (!strcmp(path, "/state")) {
		plain();
		printf("%d %s\n", ++requests, kept ? kept : "nothing");
		kept = malloc(1 << 20);
		memset(kept, 'x', 1 << 20);
		setenv("KEPT", "kept", 1);
	} else if (!strcmp(path, "/huge")) {
		plain();
		memset(buffer, 'h', sizeof buffer);
		for (int i = atoi(query); i > 0; i--)
			if (fwrite(buffer, 1, sizeof buffer, stdout) != sizeof buffer || fflush(stdout)) {
				perror("write");
				return 1;
			}
	} else if (!strcmp(path, "/drip")) {
		plain();
		for (int i = 0; i < 3; i++) {
			puts("drop");
			fflush(stdout);
			wait_ms(atoi(query));
		}
	} else if (!strcmp(path, "/wait")) {
		wait_ms(atoi(query));
		plain();
		puts("waited");
	} else if (!strcmp(path, "/grow")) { /* MiB */
		volatile char *memory = malloc((size_t)atoi(query) << 20);
		if (!memory)
			abort();
		for (size_t i = 0; i < (size_t)atoi(query) << 20; i += 4096)
			memory[i] = 1;
		wait_ms(200);
		plain();
		puts("grown");
	} else if (!strcmp(path, "/status")) {
		printf("Status: %s\nContent-Type: text/plain\nSet-Cookie: a=1\nSet-Cookie: b=2\nConnection: close\n\nas asked\n", query);
	} else if (!strcmp(path, "/away")) {
		printf("Location: http://other.test/x\n\n");
	} else if (!strcmp(path, "/here")) {
		printf("Location: /env?redirected=1\n\n");
	} else if (!strcmp(path, "/circle")) {
		printf("Location: /circle\n\n");
	} else if (!strcmp(path, "/length")) {
		printf("Content-Type: text/plain\nContent-Length: %s\n\n12345", query);
	} else if (!strcmp(path, "/trap")) {
		__builtin_trap();
	} else if (!strcmp(path, "/abort")) {
		abort();
	} else if (!strcmp(path, "/exit")) {
		return atoi(query);
	} else if (!strcmp(path, "/garbage")) {
		printf("HTTP/1.1 200 OK\r\n\r\nnot a header of CGI\n");
	} else if (!strcmp(path, "/untyped")) {
		printf("X-Other: 1\n\nbody\n");
	} else if (!strcmp(path, "/endless")) {
		for (;;)
			printf("X-Endless: header\n");
	} else if (!strcmp(path, "/half")) { /* of an answer */
		plain();
		puts("the first half");
		fflush(stdout);
		wait_ms(atoi(query));
		__builtin_trap();
	} else if (!strcmp(path, "/spin")) {
		plain();
		fflush(stdout);
		for (volatile int i = 0;; i++)
			;
	} else if (!strcmp(path, "/file")) { /* reads what another request must not leave open */
		plain();
		for (int fd = 3; fd < 64; fd++)
			if (lseek(fd, 0, SEEK_CUR) >= 0)
				printf("%d is open\n", fd);
		puts(fopen("/data", "r") ? "open" : "no such file");
	} else {
		plain();
		printf("hello from %s\n", path);
	}
	return 0;
}
