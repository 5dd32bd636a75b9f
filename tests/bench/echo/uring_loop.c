/* The other bar: a hand-written io_uring echo loop.
 *
 *   uring_loop <port> <bufsize> [buffers, a power of two]
 *
 * One multishot accept puts connections straight into the ring's own file table; one multishot receive per
 * connection fills buffers from a ring the kernel picks from; the answer is sent from the buffer it came in.
 * One io_uring_enter per turn submits all answers and waits. Single issuer, task work only when we ask for
 * it.
 *
 * I1  Of one connection at most one send is in flight; what arrives meanwhile waits in its chain of
 *     buffers, so answers never overtake each other.
 *
 * I2  A buffer is the kernel's from `give_back` to its receive completion, and ours from there to its send
 *     completion. When the kernel runs out, the receive ends with ENOBUFS and is armed again once there are
 *     some.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "server.h"

enum { max_connections = 4096, ring_entries = 2048, completion_entries = 8192, group = 0, nobody = -1 };
enum operation { op_accept, op_receive, op_send, op_close };

struct connection {
  int first, last; /* chain of buffers still to be sent; first is the one in flight */
  bool receiving, starved, finished;
};

struct buffer {
  int next;
  unsigned size;
};

static struct io_uring ring;
static struct io_uring_buf_ring* buffer_ring;
static struct connection connections[max_connections];
static struct buffer* buffers;
static char* memory;
static size_t buffer_size;
static unsigned buffer_count, given_back;
static int starved[max_connections], starved_count;

static struct io_uring_sqe* new_sqe(void) {
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  if (sqe == NULL) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) fail("io_uring_get_sqe");
  }
  return sqe;
}

/* Preparing an entry clears its user_data in some versions of liburing: this comes after. */
static void label(struct io_uring_sqe* sqe, enum operation op, int connection) {
  io_uring_sqe_set_data64(sqe, (uint64_t)op << 32 | (uint32_t)connection);
}

static void arm_accept(int listener) {
  struct io_uring_sqe* sqe = new_sqe();
  io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
  label(sqe, op_accept, 0);
}

static void arm_receive(int id) {
  struct io_uring_sqe* sqe = new_sqe();
  io_uring_prep_recv_multishot(sqe, id, NULL, 0, 0);
  sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
  sqe->buf_group = group;
  label(sqe, op_receive, id);
  connections[id].receiving = true;
}

static void send_first(int id) {
  int buffer = connections[id].first;
  struct io_uring_sqe* sqe = new_sqe();
  io_uring_prep_send(sqe, id, memory + (size_t)buffer * buffer_size, buffers[buffer].size,
                     MSG_WAITALL | MSG_NOSIGNAL);
  sqe->flags |= IOSQE_FIXED_FILE;
  label(sqe, op_send, id);
}

static void give_back(int buffer) {
  io_uring_buf_ring_add(buffer_ring, memory + (size_t)buffer * buffer_size, (unsigned)buffer_size,
                        (unsigned short)buffer, io_uring_buf_ring_mask(buffer_count), (int)given_back);
  ++given_back;
}

static void close_when_idle(int id) {
  struct connection* c = &connections[id];
  if (!c->finished || c->receiving || c->starved || c->first != nobody) return;
  struct io_uring_sqe* sqe = new_sqe();
  io_uring_prep_close_direct(sqe, (unsigned)id);
  label(sqe, op_close, id);
}

static void on_receive(int id, const struct io_uring_cqe* cqe) {
  struct connection* c = &connections[id];
  if (cqe->res > 0) {
    int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    buffers[buffer] = (struct buffer){nobody, (unsigned)cqe->res};
    if (c->first == nobody) {
      c->first = c->last = buffer;
      send_first(id);
    } else {
      buffers[c->last].next = buffer;
      c->last = buffer;
    }
  } else if (cqe->res != -ENOBUFS) {
    c->finished = true;
  }
  if (cqe->flags & IORING_CQE_F_MORE) return;
  c->receiving = false;
  if (cqe->res == -ENOBUFS) {
    c->starved = true;
    starved[starved_count++] = id;
  } else if (!c->finished) {
    arm_receive(id);
  }
  close_when_idle(id);
}

static void on_send(int id, int result) {
  struct connection* c = &connections[id];
  int done = c->first;
  bool failed = result < 0 || (unsigned)result != buffers[done].size;
  c->first = buffers[done].next;
  give_back(done);
  if (failed) {
    c->finished = true; /* the peer is gone: the receive ends by itself */
    for (; c->first != nobody; c->first = buffers[c->first].next) give_back(c->first);
  }
  if (c->first != nobody) send_first(id);
  close_when_idle(id);
}

static void on_accept(int listener, const struct io_uring_cqe* cqe) {
  if (cqe->res >= 0) {
    connections[cqe->res] = (struct connection){.first = nobody, .last = nobody};
    arm_receive(cqe->res);
  }
  if (!(cqe->flags & IORING_CQE_F_MORE)) arm_accept(listener);
}

static void end_of_turn(void) {
  if (given_back == 0) return;
  io_uring_buf_ring_advance(buffer_ring, (int)given_back);
  given_back = 0;
  while (starved_count > 0) {
    int id = starved[--starved_count];
    connections[id].starved = false;
    if (connections[id].finished)
      close_when_idle(id);
    else
      arm_receive(id);
  }
}

static void make_ring(void) {
  struct io_uring_params params = {.cq_entries = completion_entries};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
  errno = -io_uring_queue_init_params(ring_entries, &ring, &params);
  if (errno != 0) fail("io_uring_queue_init");
  if (io_uring_register_files_sparse(&ring, max_connections) < 0) fail("io_uring_register_files_sparse");

  void* pages = NULL;
  if (posix_memalign(&pages, 4096, buffer_count * sizeof(struct io_uring_buf)) != 0) fail("posix_memalign");
  buffer_ring = pages;
  struct io_uring_buf_reg registration = {
      .ring_addr = (uint64_t)(uintptr_t)pages, .ring_entries = buffer_count, .bgid = group};
  errno = -io_uring_register_buf_ring(&ring, &registration, 0);
  if (errno != 0) fail("io_uring_register_buf_ring");
  io_uring_buf_ring_init(buffer_ring);
  memory = malloc(buffer_count * buffer_size);
  buffers = calloc(buffer_count, sizeof *buffers);
  if (memory == NULL || buffers == NULL) fail("malloc");
  for (unsigned i = 0; i < buffer_count; ++i) give_back((int)i);
}

/* As many as connections that may be ready at once, but no more memory than the caches like: measured. */
static unsigned default_buffer_count(void) {
  unsigned count = 128;
  while (count < 1024 && 2 * count * buffer_size <= 8 * 1024 * 1024) count *= 2;
  return count;
}

int main(int argc, char** argv) {
  struct server_options options = server_start(argc, argv);
  buffer_size = options.buffer_size;
  buffer_count = argc > 3 ? (unsigned)atoi(argv[3]) : default_buffer_count();
  make_ring();
  end_of_turn();
  int listener = server_listen(options.port, 0);
  arm_accept(listener);
  server_ready();
  for (;;) {
    struct io_uring_cqe* cqe;
    unsigned head, seen = 0;
    int result = io_uring_submit_and_wait(&ring, 1);
    if (result < 0 && result != -EINTR) fail("io_uring_submit_and_wait");
    io_uring_for_each_cqe(&ring, head, cqe) {
      int id = (int)(uint32_t)cqe->user_data;
      ++seen;
      switch ((enum operation)(cqe->user_data >> 32)) {
        case op_accept:
          on_accept(listener, cqe);
          break;
        case op_receive:
          on_receive(id, cqe);
          break;
        case op_send:
          on_send(id, cqe->res);
          break;
        case op_close:
          break;
      }
    }
    io_uring_cq_advance(&ring, seen);
    end_of_turn();
  }
}
