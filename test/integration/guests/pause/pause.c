// pause is the first process of a pod: it reaps orphans until it is told to end.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_end(int signal) { _exit(0); }

static void on_child(int signal) {
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(void) {
	struct sigaction child = {.sa_handler = on_child, .sa_flags = SA_NOCLDSTOP};
	sigaction(SIGCHLD, &child, NULL);
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	for (;;)
		pause();
}
