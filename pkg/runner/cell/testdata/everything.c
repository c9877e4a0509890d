// A guest that uses all of WASI that concerns files, clocks and memory. It ends
// with the line number of the first thing that does not work; a name as its
// argument chooses what it does.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                            \
  do {                                                                         \
    if (!(what)) {                                                             \
      fprintf(stderr, "line %d: %s: %s\n", __LINE__, #what, strerror(errno));  \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

static void data(void) {
  char buf[8] = {0};
  int fd = open("/dir/file", O_RDWR | O_CREAT | O_EXCL, 0666);
  CHECK(fd >= 0);
  CHECK(write(fd, "hello", 5) == 5);
  CHECK(pwrite(fd, "J", 1, 0) == 1);
  CHECK(pread(fd, buf, 5, 0) == 5 && !strcmp(buf, "Jello"));
  CHECK(lseek(fd, 1, SEEK_SET) == 1);
  CHECK(read(fd, buf, 4) == 4 && buf[0] == 'e');
  char a[2], b[2];
  struct iovec parts[2] = {{a, 2}, {b, 2}};
  CHECK(preadv(fd, parts, 2, 1) == 4 && a[0] == 'e' && b[1] == 'o');
  CHECK(pwritev(fd, parts, 2, 1) == 4);
  CHECK(lseek(fd, 1, SEEK_SET) == 1 && readv(fd, parts, 2) == 4 && b[1] == 'o');
  CHECK(writev(fd, parts, 2) == 4);
  CHECK(posix_fadvise(fd, 0, 9, POSIX_FADV_WILLNEED) == 0);
  CHECK(fcntl(fd, F_SETFL, O_SYNC) == 0 && pwrite(fd, "J", 1, 0) == 1 && fcntl(fd, F_SETFL, 0) == 0);
  CHECK(fsync(fd) == 0);
  CHECK(fdatasync(fd) == 0);
  CHECK(ftruncate(fd, 2) == 0);
  CHECK(posix_fallocate(fd, 0, 100) == 0);
  struct stat st;
  CHECK(fstat(fd, &st) == 0 && st.st_size == 100);
  struct timespec times[2] = {{1000000000, 0}, {1000000001, 0}};
  CHECK(futimens(fd, times) == 0);
  CHECK(close(fd) == 0);
  fd = open("/dir/file", O_WRONLY | O_APPEND | O_TRUNC | O_NONBLOCK | O_SYNC);
  CHECK(fd >= 0 && write(fd, "a", 1) == 1);
  CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0);
  CHECK(close(fd) == 0);
}

static void names(void) {
  struct stat st;
  CHECK(mkdir("/dir/a", 0777) == 0 && mkdir("/dir/b", 0777) == 0);
  CHECK(rename("/dir/file", "/dir/a/file") == 0);
  CHECK(rename("/dir/a/file", "/dir/b/file") == 0);
  CHECK(link("/dir/b/file", "/dir/link") == 0);
  CHECK(symlink("b/file", "/dir/symlink") == 0);
  char target[16] = {0};
  CHECK(readlink("/dir/symlink", target, sizeof target) == 6 && !strcmp(target, "b/file"));
  CHECK(stat("/dir/symlink", &st) == 0 && S_ISREG(st.st_mode));
  CHECK(lstat("/dir/symlink", &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(stat("/dir/b/file", &st) == 0 && st.st_nlink == 2);
  struct timespec times[2] = {{1000000000, 0}, {1000000001, 0}};
  CHECK(utimensat(AT_FDCWD, "/dir/b/file", times, 0) == 0);
  CHECK(open("/dir/none/file", O_RDONLY) < 0 && errno == ENOENT);
  CHECK(unlink("/dir/symlink") == 0 && unlink("/dir/link") == 0);
  CHECK(rmdir("/dir/a") == 0);
}

static void list(void) {
  char name[64];
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "/dir/b/%d", i);
    int fd = open(name, O_WRONLY | O_CREAT, 0666);
    CHECK(fd >= 0 && close(fd) == 0);
  }
  DIR *dir = opendir("/dir/b");
  CHECK(dir != NULL);
  int n = 0;
  while (readdir(dir) != NULL)
    n++;
  CHECK(n == 1003);
  CHECK(closedir(dir) == 0);
}

static void waiting(void) {
  struct timespec before, after, short_time = {0, 2000000};
  CHECK(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
  CHECK(nanosleep(&short_time, NULL) == 0);
  CHECK(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
  CHECK(after.tv_sec > before.tv_sec || after.tv_nsec - before.tv_nsec >= 2000000);
  for (int i = 0; i < 1020; i++) // the last of them sleep
    CHECK(sched_yield() == 0);
  struct pollfd fd = {0, POLLIN, 0};
  CHECK(poll(&fd, 1, 10) == 0);
  char byte;
  CHECK(getentropy(&byte, 1) == 0);
  puts("waiting");
  fflush(stdout);
  CHECK(poll(&fd, 1, 60000) == 1);
  int ready = 0;
  CHECK(ioctl(0, FIONREAD, &ready) == 0 && ready == 2);
  CHECK(read(0, &byte, 1) == 1);
  struct timespec resolution;
  CHECK(clock_getres(CLOCK_REALTIME, &resolution) == 0);
  CHECK((fd.fd = open("/proc/self/fd/1", O_WRONLY)) >= 0 && close(fd.fd) == 0);
}

static void memory(void) {
  for (int i = 0; i < 16; i++) {
    char *p = malloc(1 << 20);
    CHECK(p != NULL);
    memset(p, 1, 1 << 20);
  }
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : "";
  if (!strcmp(only, "trap"))
    __builtin_trap();
  if (!strcmp(only, "exit"))
    exit(7);
  if (!strcmp(only, "greedy")) {
    for (volatile char *p; (p = malloc(1 << 20)) != NULL;)
      *p = 1;
    exit(3);
  }
  if (!strcmp(only, "pipe"))
    return write(1, "x", 1) < 0 ? errno : 0;
  if (!strcmp(only, "terminal"))
    return isatty(0) ? 11 : 1;
  data();
  names();
  list();
  memory();
  waiting();
  puts("done");
}
