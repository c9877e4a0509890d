// multi is the guest of the tests: a few small programs in one, built as a WASI
// module and as a native binary. It is in C because that is compiled in
// milliseconds; a Go guest costs a second of each test.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifndef __wasm__
#include <signal.h>
#endif

extern char **environ;

static int fail(const char *what) {
	fprintf(stderr, "multi: %s: %s\n", what, strerror(errno));
	return 1;
}

static void say(const char *line) {
	puts(line);
	fflush(stdout);
}

// As pid 1 a native process must handle SIGTERM to be ended by it.
#ifdef __wasm__
static void handle_sigterm(void) {}
#else
static void on_sigterm(int signal) { _exit(128 + signal); }
static void handle_sigterm(void) { signal(SIGTERM, on_sigterm); }
#endif

static int cmd_exit(char **args) { exit(args[0] ? atoi(args[0]) : 0); }

static int cmd_echo(char **args) {
	for (int i = 0; args[i]; i++)
		printf(i ? " %s" : "%s", args[i]);
	printf("\n");
	return 0;
}

// args prints each argument on a line of its own.
static int cmd_args(char **args) {
	for (int i = 0; args[i]; i++)
		puts(args[i]);
	return 0;
}

// cat copies stdin to stdout until its end.
static int cmd_cat(char **args) {
	static char buf[64 << 10];
	handle_sigterm();
	for (;;) {
		ssize_t n = read(0, buf, sizeof buf);
		if (n == 0)
			return 0;
		if (n < 0)
			return fail("read stdin");
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(1, buf + done, n - done);
			if (w < 0)
				return fail("write stdout");
			done += w;
		}
	}
}

// spin says "spinning" and then never calls the host again.
static int cmd_spin(char **args) {
	handle_sigterm();
	say("spinning");
	for (volatile unsigned long n = 0;; n++)
		;
}

static void nap(double seconds) {
	struct timespec d = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)};
	nanosleep(&d, NULL);
}

// sleep [SECONDS] says "sleeping", waits a day if not told otherwise, and says
// "awake".
static int cmd_sleep(char **args) {
	handle_sigterm();
	say("sleeping");
	nap(args[0] ? atof(args[0]) : 86400);
	say("awake");
	return 0;
}

// tick writes "tick N" every 100 ms.
static int cmd_tick(char **args) {
	handle_sigterm();
	for (int n = 1;; n++) {
		if (printf("tick %d\n", n) < 0 || fflush(stdout) != 0)
			return fail("write stdout");
		nap(0.1);
	}
}

static int cmd_env(char **args) {
	for (char **e = environ; *e; e++)
		puts(*e);
	return 0;
}

static int cmd_read(char **args) {
	char buf[4096];
	size_t n;
	FILE *f = fopen(args[0], "r");
	if (!f)
		return fail(args[0]);
	while ((n = fread(buf, 1, sizeof buf, f)) > 0)
		fwrite(buf, 1, n, stdout);
	if (ferror(f))
		return fail(args[0]);
	return 0;
}

// write FILE TEXT replaces a file by a line.
static int cmd_write(char **args) {
	FILE *f = fopen(args[0], "w");
	if (!f)
		return fail(args[0]);
	fprintf(f, "%s\n", args[1] ? args[1] : "");
	if (fclose(f) != 0)
		return fail(args[0]);
	return 0;
}

// ls DIR prints the names in a directory.
static int cmd_ls(char **args) {
	DIR *d = opendir(args[0]);
	if (!d)
		return fail(args[0]);
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			puts(e->d_name);
	return 0;
}

// trap ends in the way that abort and wild pointers do.
static int cmd_trap(char **args) {
#ifdef __wasm__
	volatile char *wild = (volatile char *)0xfffffff0;
	*wild = 1; // out of bounds: a module never owns its last page here
#endif
	abort();
}

// alloc MiB [hold] takes memory and touches every page of it. It aborts when
// there is no more.
static int cmd_alloc(char **args) {
	int n = args[0] ? atoi(args[0]) : 1;
	for (int i = 0; i < n; i++) {
		volatile char *block = malloc(1 << 20);
		if (!block)
			abort();
		for (int k = 0; k < 1 << 20; k += 4096)
			block[k] = 1;
	}
	printf("allocated %d MiB\n", n);
	fflush(stdout);
	return args[0] && args[1] ? cmd_sleep(args + 2) : 0;
}

// burst MiB writes that much in lines of 64 bytes, each with its number, and
// ends at once.
static int cmd_burst(char **args) {
	static char buf[64 << 10];
	setvbuf(stdout, buf, _IOFBF, sizeof buf);
	int lines = (args[0] ? atoi(args[0]) : 1) << 14;
	for (int i = 0; i < lines; i++)
		if (printf("%063d\n", i) < 0)
			return fail("write stdout");
	return fflush(stdout) == 0 ? 0 : fail("write stdout");
}

static int cmd_both(char **args) {
	say("to stdout");
	fputs("to stderr\n", stderr);
	return 0;
}

// time prints the seconds since 1970.
static int cmd_time(char **args) {
	printf("%lld\n", (long long)time(NULL));
	return 0;
}

// answer DIR waits for DIR/question, removes it, and writes "answer to" its text
// to DIR/answer; again and again.
static int cmd_answer(char **args) {
	char question[512], answer[512], text[512];
	handle_sigterm();
	snprintf(question, sizeof question, "%s/question", args[0]);
	snprintf(answer, sizeof answer, "%s/answer", args[0]);
	for (;; nap(0.02)) {
		FILE *in = fopen(question, "r");
		if (!in)
			continue;
		size_t n = fread(text, 1, sizeof text - 1, in);
		text[n] = 0;
		fclose(in);
		if (n == 0) // it is being written
			continue;
		if (remove(question) != 0)
			return fail(question);
		FILE *out = fopen(answer, "w");
		if (!out || fprintf(out, "answer to %s\n", text) < 0 || fclose(out) != 0)
			return fail(answer);
	}
}

static const struct {
	const char *name;
	int (*run)(char **args);
} commands[] = {
	{"exit", cmd_exit},   {"echo", cmd_echo},   {"args", cmd_args},   {"cat", cmd_cat},
	{"spin", cmd_spin},   {"sleep", cmd_sleep}, {"tick", cmd_tick},   {"env", cmd_env},
	{"read", cmd_read},   {"write", cmd_write}, {"ls", cmd_ls},       {"trap", cmd_trap},
	{"alloc", cmd_alloc}, {"burst", cmd_burst}, {"both", cmd_both},   {"time", cmd_time},
	{"answer", cmd_answer},
};

int main(int argc, char **argv) {
	if (argc < 2) {
		puts("multi: no command");
		return 0;
	}
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argv + 2);
	fprintf(stderr, "multi: no command \"%s\"\n", argv[1]);
	return 1;
}
