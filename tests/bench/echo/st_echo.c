/* The echo server on State Threads, its epoll event system: one of its threads per connection.
 *
 *   st_echo <port> <bufsize>
 */
#include <st.h>
#include <sys/types.h>

#include "server.h"

static size_t buffer_size;

static void* echo(void* argument) {
  st_netfd_t peer = argument;
  char* buffer = malloc(buffer_size);
  while (buffer != NULL) {
    ssize_t received = st_read(peer, buffer, buffer_size, ST_UTIME_NO_TIMEOUT);
    if (received <= 0) break;
    if (st_write(peer, buffer, (size_t)received, ST_UTIME_NO_TIMEOUT) != received) break;
  }
  free(buffer);
  st_netfd_close(peer);
  return NULL;
}

int main(int argc, char** argv) {
  struct server_options options = server_start(argc, argv);
  buffer_size = options.buffer_size;
  if (st_set_eventsys(ST_EVENTSYS_ALT) != 0 || st_init() != 0) fail("st_init");
  st_netfd_t listener = st_netfd_open_socket(server_listen(options.port, 0));
  if (listener == NULL) fail("st_netfd_open_socket");
  server_ready();
  for (;;) {
    st_netfd_t peer = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);
    if (peer == NULL) fail("st_accept");
    if (st_thread_create(echo, peer, 0, 64 * 1024) == NULL) fail("st_thread_create");
  }
}
