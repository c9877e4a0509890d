/* Greets from a container that holds nothing but this program. */
#include <stdio.h>

int main(void) {
	puts("Hello from C");
	return 0;
}
