// winsize prints the size of its terminal, and again whenever that changes, as
// "COLUMNSxROWS". Native only: WASI has no terminals' sizes.
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void changed(int signal) {}

int main(void) {
	sigset_t winch;
	struct sigaction action = {.sa_handler = changed};
	sigaction(SIGWINCH, &action, NULL);
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	// Blocked but while waiting: no change is missed.
	sigprocmask(SIG_BLOCK, &winch, NULL);
	sigset_t none;
	sigemptyset(&none);
	for (;;) {
		struct winsize size;
		if (ioctl(0, TIOCGWINSZ, &size) != 0) {
			perror("winsize");
			return 1;
		}
		printf("%dx%d\n", size.ws_col, size.ws_row);
		fflush(stdout);
		sigsuspend(&none);
	}
}
