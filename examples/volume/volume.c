/* Prints the files that are its arguments, from a volume that is mounted into
   the container. A relative name is looked up from the container's root. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int print(const char *name) {
	char buffer[4096];
	size_t n;
	FILE *file = fopen(name, "r");
	if (file == NULL) {
		fprintf(stderr, "open %s: %s\n", name, strerror(errno));
		return 1;
	}
	while ((n = fread(buffer, 1, sizeof buffer, file)) > 0)
		fwrite(buffer, 1, n, stdout);
	fclose(file);
	return 0;
}

int main(int argc, char **argv) {
	int status = 0;
	for (int i = 1; i < argc; i++)
		status |= print(argv[i]);
	return status;
}
