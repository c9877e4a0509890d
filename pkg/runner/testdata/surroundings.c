/* Prints what a guest sees of its surroundings. */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long long nanoseconds(clockid_t clock) {
	struct timespec now;
	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv) {
	for (int i = 0; i < argc; i++)
		printf("arg %s\n", argv[i]);
	for (char **variable = environ; *variable; variable++)
		printf("env %s\n", *variable);
	long long before = nanoseconds(CLOCK_MONOTONIC);
	usleep(50000);
	printf("slept %lld\n", nanoseconds(CLOCK_MONOTONIC) - before);
	printf("now %lld\n", nanoseconds(CLOCK_REALTIME));
	unsigned long long random;
	getentropy(&random, sizeof random);
	printf("random %llx\n", random);
	for (int c; (c = getchar()) != EOF;)
		putchar(c);
	FILE *file = fopen("/dir/new", "w");
	if (file == NULL || mkdir("/dir/newdir", 0777) != 0)
		return 1;
	fclose(file);
	return 0;
}
