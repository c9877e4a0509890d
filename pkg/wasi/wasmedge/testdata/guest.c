// A guest that is a server and its client by WasmEdge's functions, of the version
// VERSION. It ends with the line of the first thing that does not work.
#include <fcntl.h>
#include <poll.h>
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
IMPORT(sock_connect)(uint32_t fd, buffer *address, uint32_t port);
IMPORT(sock_getsockopt)(uint32_t fd, uint32_t level, uint32_t name, void *value, uint32_t *size);
IMPORT(sock_setsockopt)(uint32_t fd, uint32_t level, uint32_t name, const void *value, uint32_t size);
IMPORT(sock_send_to)(uint32_t fd, buffer *data, uint32_t count, buffer *address, uint32_t port, uint32_t flags, uint32_t *size);
IMPORT(sock_getaddrinfo)(const char *node, uint32_t node_size, const char *service, uint32_t service_size, const void *hints, void *results, uint32_t most, uint32_t *count);

#if VERSION == 1
typedef uint8_t address[16];
IMPORT(sock_accept)(uint32_t fd, uint32_t *connection);
IMPORT(sock_recv_from)(uint32_t fd, buffer *data, uint32_t count, buffer *address, uint32_t flags, uint32_t *size, uint32_t *out);
IMPORT(sock_getlocaladdr)(uint32_t fd, buffer *address, uint32_t *kind, uint32_t *port);
#define ACCEPT(fd, connection) sock_accept(fd, connection)
#define RECEIVE(fd, data, from, port, size, out) sock_recv_from(fd, data, 1, from, 0, size, out)
#define LOCAL(fd, a, port) sock_getlocaladdr(fd, a, &(uint32_t){0}, port)
static const address home = {127, 0, 0, 1};
#define HOME_SIZE 4
#else
typedef struct {
  uint16_t family;
  uint8_t address[126];
} address;
IMPORT(sock_accept)(uint32_t fd, uint32_t flags, uint32_t *connection);
IMPORT(sock_recv_from)(uint32_t fd, buffer *data, uint32_t count, buffer *address, uint32_t flags, uint32_t *port, uint32_t *size, uint32_t *out);
IMPORT(sock_getlocaladdr)(uint32_t fd, buffer *address, uint32_t *port);
#define ACCEPT(fd, connection) sock_accept(fd, 0, connection)
#define RECEIVE(fd, data, from, port, size, out) sock_recv_from(fd, data, 1, from, 0, port, size, out)
#define LOCAL(fd, a, port) sock_getlocaladdr(fd, a, port)
static const address home = {1, {127, 0, 0, 1}};
#define HOME_SIZE sizeof home
#endif

enum { inet4 = 1, datagram = 1, stream = 2, sol_socket = 0, so_reuseaddr = 0, so_error = 2, in_progress = 26 };

#define CHECK(what)                                                            \
  do {                                                                         \
    if (!(what)) {                                                             \
      fprintf(stderr, "line %d: %s\n", __LINE__, #what);                       \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

static uint32_t bound(uint32_t type, uint32_t *port) {
  uint32_t fd, one = 1;
  buffer at = {&home, HOME_SIZE};
  CHECK(sock_open(inet4, type, &fd) == 0);
  CHECK(sock_setsockopt(fd, sol_socket, so_reuseaddr, &one, sizeof one) == 0);
  CHECK(sock_bind(fd, &at, 0) == 0);
  address own;
  buffer to = {&own, sizeof own};
  CHECK(LOCAL(fd, &to, port) == 0);
  CHECK(memcmp(&own, &home, HOME_SIZE) == 0 && *port > 0);
  return fd;
}

static void streams(void) {
  uint32_t port, client, connection;
  uint32_t server = bound(stream, &port);
  CHECK(sock_listen(server, 10) == 0);
  CHECK(sock_open(inet4, stream, &client) == 0);
  CHECK(fcntl(client, F_SETFL, O_NONBLOCK) == 0);
  buffer at = {&home, HOME_SIZE};
  uint32_t error = sock_connect(client, &at, port);
  CHECK(error == 0 || error == in_progress);
  struct pollfd fds[] = {{.fd = client, .events = POLLOUT}, {.fd = server, .events = POLLIN}};
  CHECK(poll(fds, 2, 10000) > 0);
  uint32_t size = sizeof error;
  CHECK(sock_getsockopt(client, sol_socket, so_error, &error, &size) == 0 && error == 0 && size == 4);
  CHECK(ACCEPT(server, &connection) == 0);
  char text[8];
  CHECK(recv(client, text, sizeof text, 0) == -1); // it does not block
  CHECK(send(connection, "hello", 5, 0) == 5 && close(connection) == 0);
  CHECK(poll(&(struct pollfd){.fd = client, .events = POLLIN}, 1, 10000) == 1);
  CHECK(read(client, text, sizeof text) == 5 && memcmp(text, "hello", 5) == 0);
  CHECK(poll(&(struct pollfd){.fd = client, .events = POLLIN}, 1, 10000) == 1);
  CHECK(read(client, text, sizeof text) == 0);
}

static void datagrams(void) {
  uint32_t port, from_port, size, out;
  uint32_t server = bound(datagram, &port), client = bound(datagram, &from_port);
  buffer at = {&home, HOME_SIZE}, sent = {"datagram", 8};
  CHECK(sock_send_to(client, &sent, 1, &at, port, 0, &size) == 0 && size == 8);
  char text[8];
  address from;
  uint32_t port_of_client = from_port;
  buffer data = {text, sizeof text}, to = {&from, sizeof from};
  CHECK(RECEIVE(server, &data, &to, &port_of_client, &size, &out) == 0);
  CHECK(size == 8 && memcmp(text, "datagram", 8) == 0 && memcmp(&from, &home, HOME_SIZE) == 0 && port_of_client == from_port);
}

static void names(void) {
  struct {
    uint16_t flags;
    uint8_t family, type, protocol;
    uint32_t length;
    void *address;
    char *canonical;
    uint32_t canonical_length;
    void *next;
  } hints = {.family = inet4, .type = stream}, result = {0}, *first = &result;
  uint8_t bytes[26];
  struct {
    uint8_t family;
    uint32_t size;
    uint8_t *data;
  } name = {0, 14, bytes};
  result.address = &name;
  uint32_t count;
  CHECK(sock_getaddrinfo("localhost", 10, "80", 3, &hints, &first, 1, &count) == 0 && count == 1);
  CHECK(name.family == inet4 && memcmp(bytes, "\0\x50\x7f\0\0\1", 6) == 0);
}

int main(void) {
  streams();
  datagrams();
  names();
  puts("done");
}
