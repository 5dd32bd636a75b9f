/* The bar: a hand-written edge-triggered epoll echo loop, one recv and one send per request.
 *
 *   epoll_loop <port> <bufsize> [--shared]
 *
 * Each descriptor is registered once, for everything. A recv that came back short has drained the socket, so
 * no second one asks for EAGAIN. An answer goes out at once; only what the socket does not take waits for
 * EPOLLOUT. A connection has a buffer of its own, as a fiber's handler has; with --shared all use one, which
 * stays in the first-level cache: what only a loop without per-connection state can do.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include "server.h"

enum { max_events = 1024 };

struct connection {
  int fd;
  char* buffer; /* its own, or the shared one */
  char* unsent; /* what the socket did not take: points into the buffer, or is owned when that is shared */
  size_t unsent_size;
  char* owned; /* the copy to free, when the shared buffer had to be left */
};

static size_t buffer_size;
static char* shared_buffer;

static void* allocate(size_t size) {
  void* memory = malloc(size);
  if (memory == NULL) fail("malloc");
  return memory;
}

static void drop(struct connection* c) {
  close(c->fd);
  free(c->owned);
  if (c->buffer != shared_buffer) free(c->buffer);
  free(c);
}

static void keep_unsent(struct connection* c, char* rest, size_t size) {
  if (c->buffer == shared_buffer) {
    c->owned = allocate(size);
    rest = memcpy(c->owned, rest, size);
  }
  c->unsent = rest;
  c->unsent_size = size;
}

/* Returns false when the connection is gone. */
static bool flush_unsent(struct connection* c) {
  while (c->unsent_size > 0) {
    ssize_t sent = send(c->fd, c->unsent, c->unsent_size, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    c->unsent += sent;
    c->unsent_size -= (size_t)sent;
  }
  free(c->owned);
  c->owned = NULL;
  return true;
}

/* Returns false when the connection is to be dropped. */
static bool echo(struct connection* c, unsigned events) {
  if (c->unsent_size > 0) {
    if (!flush_unsent(c)) return false;
    if (c->unsent_size > 0) return true;
    events |= EPOLLIN; /* what came while the answer was stuck has had its edge */
  }
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return true;
  for (;;) {
    ssize_t received = recv(c->fd, c->buffer, buffer_size, 0);
    if (received <= 0) return received < 0 && errno == EAGAIN;
    ssize_t sent = send(c->fd, c->buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent != received) {
      size_t taken = sent < 0 ? 0 : (size_t)sent;
      keep_unsent(c, c->buffer + taken, (size_t)received - taken);
      return true;
    }
    bool drained = (size_t)received < buffer_size;
    if (drained && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return true;
  }
}

static void accept_all(int listener, int epoll) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct connection* c = allocate(sizeof *c);
    *c = (struct connection){.fd = fd, .buffer = shared_buffer};
    if (c->buffer == NULL) c->buffer = allocate(buffer_size);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) drop(c);
  }
}

int main(int argc, char** argv) {
  static struct epoll_event events[max_events];
  struct server_options options = server_start(argc, argv);
  buffer_size = options.buffer_size;
  if (argc > 3 && strcmp(argv[3], "--shared") == 0) shared_buffer = allocate(buffer_size);

  int listener = server_listen(options.port, SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) fail("epoll");
  server_ready();
  for (;;) {
    int count = epoll_wait(epoll, events, max_events, -1);
    for (int i = 0; i < count; ++i) {
      struct connection* c = events[i].data.ptr;
      if (c == NULL) {
        accept_all(listener, epoll);
      } else if (!echo(c, events[i].events)) {
        drop(c);
      }
    }
  }
}
