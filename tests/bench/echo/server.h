/* What the echo servers in C share: arguments, the listening socket, and the promise that a server left
 * behind ends by itself. Every server takes <port> <bufsize>, listens on 127.0.0.1, says "ready" and ends on
 * SIGTERM. */
#ifndef COIR_BENCH_SERVER_H
#define COIR_BENCH_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { server_backlog = 4096, server_life_s = 600 };

struct server_options {
  int port;
  size_t buffer_size;
};

static inline void fail(const char* what) {
  perror(what);
  exit(1);
}

static inline struct server_options server_start(int argc, char** argv) {
  struct server_options options = {argc > 2 ? atoi(argv[1]) : 0, argc > 2 ? (size_t)atol(argv[2]) : 0};
  struct rlimit files;
  if (options.port <= 0 || options.buffer_size == 0) {
    fprintf(stderr, "usage: %s <port> <bufsize>\n", argv[0]);
    exit(2);
  }
  alarm(server_life_s);
  signal(SIGPIPE, SIG_IGN);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  return options;
}

/* `flags` are socket()'s type flags, SOCK_NONBLOCK for the event loops. */
static inline int server_listen(int port, int flags) {
  struct sockaddr_in address;
  int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) fail("socket");
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((unsigned short)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, (struct sockaddr*)&address, sizeof address) < 0) fail("bind");
  if (listen(fd, server_backlog) < 0) fail("listen");
  return fd;
}

static inline void server_ready(void) {
  puts("ready");
  fflush(stdout);
}

#endif
