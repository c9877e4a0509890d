// A guest that uses all that there is of sockets, WasmEdge's extension included. It
// ends with the line number of the first thing that does not work.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IMPORT(name)                                                           \
  __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) \
  uint32_t name

typedef struct {
  const void *data;
  uint32_t size;
} buffer;

IMPORT(sock_open)(uint32_t family, uint32_t type, uint32_t *fd);
IMPORT(sock_bind)(uint32_t fd, buffer *address, uint32_t port);
IMPORT(sock_listen)(uint32_t fd, uint32_t backlog);
IMPORT(sock_accept)(uint32_t fd, uint32_t *connection);
IMPORT(sock_connect)(uint32_t fd, buffer *address, uint32_t port);
IMPORT(sock_getsockopt)(uint32_t fd, uint32_t level, uint32_t name, void *value, uint32_t *size);
IMPORT(sock_setsockopt)(uint32_t fd, uint32_t level, uint32_t name, const void *value, uint32_t size);
IMPORT(sock_recv_from)(uint32_t fd, buffer *data, uint32_t count, buffer *address, uint32_t flags, uint32_t *port, uint32_t *size, uint32_t *out);
IMPORT(sock_send_to)(uint32_t fd, buffer *data, uint32_t count, buffer *address, uint32_t port, uint32_t flags, uint32_t *size);
IMPORT(sock_getlocaladdr)(uint32_t fd, buffer *address, uint32_t *kind, uint32_t *port);
IMPORT(sock_getpeeraddr)(uint32_t fd, buffer *address, uint32_t *kind, uint32_t *port);

#define CHECK(what)                                                            \
  do {                                                                         \
    if (!(what)) {                                                             \
      fprintf(stderr, "line %d: %s\n", __LINE__, #what);                       \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

enum { inet4 = 1, inet6 = 2, datagram = 1, stream = 2 };

static const uint8_t home4[4] = {127, 0, 0, 1}, home6[16] = {[15] = 1};

static buffer home(uint32_t family) {
  return family == inet4 ? (buffer){home4, 4} : (buffer){home6, 16};
}

static uint32_t bound(uint32_t family, uint32_t type, uint32_t *port) {
  uint32_t fd, kind;
  uint8_t own[16];
  buffer at = home(family), to = {own, sizeof own};
  CHECK(sock_open(family, type, &fd) == 0);
  CHECK(sock_bind(fd, &at, 0) == 0);
  CHECK(sock_getlocaladdr(fd, &to, &kind, port) == 0 && *port > 0);
  return fd;
}

static void streams(uint32_t family) {
  uint32_t port, client, connection, kind;
  uint32_t server = bound(family, stream, &port);
  buffer at = home(family);
  CHECK(sock_listen(server, 10) == 0);
  CHECK(sock_open(family, stream, &client) == 0);
  CHECK(sock_connect(client, &at, port) == 0);
  CHECK(sock_accept(server, &connection) == 0);
  uint8_t other[16];
  buffer to = {other, sizeof other};
  CHECK(sock_getpeeraddr(connection, &to, &kind, &port) == 0);
  char text[8];
  CHECK(send(connection, "hello", 5, 0) == 5);
  CHECK(recv(client, text, 5, MSG_PEEK) == 5 && recv(client, text, 5, MSG_WAITALL) == 5);
  CHECK(shutdown(connection, SHUT_WR) == 0 && recv(client, text, 5, 0) == 0);
}

static void datagrams(uint32_t family) {
  uint32_t port, other, size, out;
  uint32_t server = bound(family, datagram, &port), client = bound(family, datagram, &other);
  buffer at = home(family), sent = {"datagram", 8};
  CHECK(sock_send_to(client, &sent, 1, &at, port, 0, &size) == 0 && size == 8);
  char text[8];
  uint8_t from[16];
  buffer data = {text, sizeof text}, to = {from, sizeof from};
  CHECK(sock_recv_from(server, &data, 1, &to, 0, &port, &size, &out) == 0 && size == 8 && port == other);
}

// options sets each, and asks for one of each level.
static void options(void) {
  uint32_t fd, one = 1, size = sizeof one;
  struct {
    uint32_t on, seconds;
  } linger = {1, 1};
  struct {
    uint64_t seconds, microseconds;
  } time = {1, 0};
  CHECK(sock_open(inet4, stream, &fd) == 0);
  for (uint32_t option = 0; option <= 14; option++) {
    switch (option) {
    case 1: // the type
    case 2: // the error
    case 13: // whether it listens
      break;
    case 9:
      CHECK(sock_setsockopt(fd, 0, option, &linger, sizeof linger) == 0);
      break;
    case 11:
    case 12:
      CHECK(sock_setsockopt(fd, 0, option, &time, sizeof time) == 0);
      break;
    case 14:
      CHECK(sock_setsockopt(fd, 0, option, "", 0) == 0);
      break;
    default:
      CHECK(sock_setsockopt(fd, 0, option, &one, sizeof one) == 0);
    }
  }
  CHECK(sock_getsockopt(fd, 0, 0, &one, &size) == 0 && one == 1);
  CHECK(sock_setsockopt(fd, 6, 15, &one, sizeof one) == 0);
  CHECK(sock_getsockopt(fd, 6, 15, &one, &size) == 0 && one == 1);
}

int main(void) {
  streams(inet4);
  streams(inet6);
  datagrams(inet4);
  datagrams(inet6);
  options();
  puts("done");
}
