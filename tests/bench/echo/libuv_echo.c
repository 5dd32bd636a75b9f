/* The echo server on libuv: a buffer per connection, the answer tried at once and queued only where the
 * socket does not take all of it.
 *
 *   libuv_echo <port> <bufsize>
 */
#include <uv.h>

#include "server.h"

struct connection {
  uv_tcp_t handle; /* first: a handle is its connection */
  char* buffer;
};

struct write_rest {
  uv_write_t request;
  char bytes[];
};

static size_t buffer_size;

static void check(int result, const char* what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, uv_strerror(result));
  exit(1);
}

static void release(uv_handle_t* handle) {
  struct connection* c = (struct connection*)handle;
  free(c->buffer);
  free(c);
}

static void drop(uv_stream_t* stream) {
  if (!uv_is_closing((uv_handle_t*)stream)) uv_close((uv_handle_t*)stream, release);
}

static void lend_buffer(uv_handle_t* handle, size_t suggested, uv_buf_t* buf) {
  (void)suggested;
  *buf = uv_buf_init(((struct connection*)handle)->buffer, (unsigned)buffer_size);
}

static void rest_written(uv_write_t* request, int status) {
  if (status < 0) drop(request->handle);
  free(request);
}

static void send_later(uv_stream_t* stream, const char* bytes, size_t size) {
  struct write_rest* rest = malloc(sizeof *rest + size);
  if (rest == NULL) fail("malloc");
  for (size_t i = 0; i < size; ++i) rest->bytes[i] = bytes[i];
  uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)size);
  if (uv_write(&rest->request, stream, &buf, 1, rest_written) != 0) {
    free(rest);
    drop(stream);
  }
}

static void on_read(uv_stream_t* stream, ssize_t received, const uv_buf_t* buf) {
  if (received < 0) {
    drop(stream);
  } else if (received > 0) {
    uv_buf_t answer = uv_buf_init(buf->base, (unsigned)received);
    int sent = uv_try_write(stream, &answer, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
      drop(stream);
    } else if (sent != (int)received) {
      size_t taken = sent < 0 ? 0 : (size_t)sent;
      send_later(stream, buf->base + taken, (size_t)received - taken);
    }
  }
}

static void on_connection(uv_stream_t* listener, int status) {
  check(status, "accept");
  struct connection* c = malloc(sizeof *c);
  if (c == NULL || (c->buffer = malloc(buffer_size)) == NULL) fail("malloc");
  check(uv_tcp_init(listener->loop, &c->handle), "uv_tcp_init");
  check(uv_accept(listener, (uv_stream_t*)&c->handle), "uv_accept");
  check(uv_read_start((uv_stream_t*)&c->handle, lend_buffer, on_read), "uv_read_start");
}

int main(int argc, char** argv) {
  struct server_options options = server_start(argc, argv);
  uv_loop_t* loop = uv_default_loop();
  uv_tcp_t listener;
  struct sockaddr_in address;
  buffer_size = options.buffer_size;
  check(uv_tcp_init(loop, &listener), "uv_tcp_init");
  check(uv_ip4_addr("127.0.0.1", options.port, &address), "uv_ip4_addr");
  check(uv_tcp_bind(&listener, (const struct sockaddr*)&address, 0), "uv_tcp_bind");
  check(uv_listen((uv_stream_t*)&listener, server_backlog, on_connection), "uv_listen");
  server_ready();
  return uv_run(loop, UV_RUN_DEFAULT);
}
