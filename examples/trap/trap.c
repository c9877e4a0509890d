/* Ends in a trap, to show what its user gets to see. */
#include <stdio.h>

__attribute__((noinline)) static int divide(volatile int a, volatile int b) {
	return a / b;
}

__attribute__((noinline)) static int average(int sum, int count) {
	return divide(sum, count);
}

int main(void) {
	puts("About to divide by zero");
	fflush(stdout);
	return average(42, 0);
}
