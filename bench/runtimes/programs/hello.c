/* Says a word; after "idle" it does nothing until it is killed. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
	const char *word = argc > 1 ? argv[1] : "hello";
	/* A width keeps compilers from making a puts of it: a hello of usual size has printf. */
	printf("%*s\n", 0, word);
	fflush(stdout);
	while (!strcmp(word, "idle"))
		sleep(1000);
	return 0;
}
