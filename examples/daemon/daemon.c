/* Runs until it is stopped, with a heartbeat every second. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
	/* A log line is of use when it happens, not when a buffer is full. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("daemon: started");
	for (unsigned long beat = 1;; beat++) {
		sleep(1);
		printf("daemon: heartbeat %lu\n", beat);
	}
}
