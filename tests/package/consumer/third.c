/* A third-party library: it knows nothing of coir, and only here are the calls that must be patched. */
#include "third.h"

#include <sys/socket.h>
#include <unistd.h>

int third_sleep(unsigned milliseconds) {
  return usleep(milliseconds * 1000);
}

/* The size of `buffer` is known to the compiler and `size` is not: with _FORTIFY_SOURCE these two call
 * __recv_chk and __read_chk. */
long third_recv(int fd, unsigned long size) {
  char buffer[64];
  return recv(fd, buffer, size, 0);
}

long third_read(int fd, unsigned long size) {
  char buffer[64];
  return read(fd, buffer, size);
}

int third_pair(int ends[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
}

long third_send(int fd, const char* data, unsigned long size) {
  return send(fd, data, size, 0);
}
