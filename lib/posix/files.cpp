// read and write: first without waiting (RWF_NOWAIT), then as the kind of file asks.
//
// pipes            wait for readiness, try again
// regular files    at an offset: the reactor's own operation (io_uring), or a helper thread
//                  at their position: one real call, which alone takes the kernel's lock on it. Here if it is
//                  sure to find its data in memory, else on a helper thread. A part now and the rest later
//                  would let others who share the position (fibers, threads, processes) in between
// others           that know no RWF_NOWAIT (terminals, inotify, writes to named FIFOs): wait for readiness,
//                  then the plain call; a named FIFO is read by vmsplice, which need not wait
#include "posix/files.hpp"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "posix/descriptor.hpp"
#include "posix/offload.hpp"
#include "posix/sockets.hpp"
#include "posix/vector.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"

namespace coir::posix {
namespace {

constexpr int rwf_nowait = 0x8;
// No errno: the descriptor proved to be of another kind, and the call is to begin again.
constexpr long another_kind = -5000;

struct request {
  const iovec* v;
  long count;
  off_t at;
  int flags;
  direction d;
  output_source* source = nullptr;  // of a write that is over as soon as something is written

  long make(int fd, const iovec* now, long n, off_t offset, int extra) const noexcept {
    const int all = flags | extra;
    const long number = d == direction::in ? SYS_preadv2 : SYS_pwritev2;
    return sys::raw(number, fd, sys::word(now), n, offset, 0, all);
  }
  // Without flags on the current position: read and write work on what knows no positions or flags.
  long make_plain(int fd, const iovec* now, long n, off_t offset) const noexcept {
    if (flags != 0) return make(fd, now, n, offset, 0);
    if (offset == -1) return sys::raw(d == direction::in ? SYS_readv : SYS_writev, fd, sys::word(now), n);
    return sys::raw(d == direction::in ? SYS_preadv : SYS_pwritev, fd, sys::word(now), n, offset, 0);
  }
};

// Beyond such a limit a write raises SIGXFSZ in the thread that makes it; of io_uring that is one of the
// kernel's, and nobody hears of it.
bool is_limited() noexcept {
  rlimit limit;
  return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

// A regular file whose data is not in memory, or a write to one, at an offset.
long on_file(call& c, const request& q, const iovec* v, long count, off_t at) noexcept {
  // Alone, the plain call: the ring's workers are threads too, and nobody else runs meanwhile.
  if (c.s.alone()) return q.make_plain(c.fd, v, count, at);
  if (q.flags == 0 && count == 1 && completes_io(c) && (q.d == direction::in || !is_limited())) {
    wait::waiting_operation op;
    op.kind = q.d == direction::in ? reactor::op_kind::read : reactor::op_kind::write;
    op.fd = c.fd;
    op.state = c.state;
    op.buffer = v->iov_base;
    op.size = v->iov_len < INT_MAX ? v->iov_len : INT_MAX;
    op.offset = at;
    const long r = wait::perform(c.s, op, {c.name});
    if (r != -EINTR && r != -EAGAIN) return r;
  }
  return offload_call(c.s, c.name, [&]() -> long { return q.make_plain(c.fd, v, count, at); });
}

// Whether a read of `q` from `at` on finds all of it in memory, or the end of the file. What it looks at goes
// nowhere.
bool in_memory(call& c, const request& q, off_t at) noexcept {
  constexpr std::size_t piece = 4096, most = 64;
  static char nowhere[piece];
  std::size_t total = 0;
  for (long i = 0; i < q.count; ++i) {
    if (q.v[i].iov_len > most * piece - total) return false;  // worth a helper thread
    total += q.v[i].iov_len;
  }
  iovec v[most];
  long count = 0;
  for (std::size_t i = 0; i < total; i += piece) v[count++] = {nowhere, std::min(piece, total - i)};
  const auto look = [&](const iovec* where, long n, off_t from) noexcept {
    return sys::raw(SYS_preadv2, c.fd, sys::word(where), n, from, 0, rwf_nowait);
  };
  const long r = look(v, count, at);
  if (r == -EOPNOTSUPP) c.state->refuses_nowait[0] = true;
  if (r <= 0 || static_cast<std::size_t>(r) == total) return r >= 0;
  const iovec next = {nowhere, 1};
  return look(&next, 1, at + r) == 0;
}

// A regular file at its position.
long at_position(call& c, const request& q) noexcept {
  const auto whole = [&]() -> long { return q.make_plain(c.fd, q.v, q.count, -1); };
  if ((q.flags & rwf_nowait) != 0) return whole();
  // While a fiber of this thread moves the position on a helper thread, another call would wait for it.
  if (q.d == direction::in && c.state->movers == 0 && !c.state->refuses_nowait[0]) {
    const long at = sys::raw(SYS_lseek, c.fd, 0, SEEK_CUR);
    if (at >= 0 && in_memory(c, q, at)) return whole();
  }
  if (!kind_holds(c)) return another_kind;
  ++c.state->movers;
  const long r = offload_call(c.s, c.name, whole);
  --c.state->movers;
  return r;
}

// Terminals take a bounded piece while they poll as writable; a longer write would block inside.
long on_other(call& c, const request& q, const iovec* v, long count, off_t at,
              base::nanoseconds deadline) noexcept {
  // vmsplice(2) reads a FIFO without waiting, and tells its end from data that is still to come, which poll
  // does not before the first writer. One that can be written as well has a writer, and vmsplice would write.
  const bool is_fifo = q.d == direction::in && q.flags == 0 && kind_of(c) == fd_kind::pipe &&
                       (sys::raw(SYS_fcntl, c.fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
  for (;;) {
    const long got = is_fifo ? sys::raw(SYS_vmsplice, c.fd, sys::word(v), count, SPLICE_F_NONBLOCK) : -ENOSYS;
    if (got >= 0 || got == -EFAULT) return got;
    if (got != -EAGAIN && ready_now(c.fd, q.d)) break;
    const long r = wait_ready(c, q.d, deadline);
    if (r == -EPERM) break;
    if (r < 0) return r;
  }
  if (q.d == direction::in) return q.make_plain(c.fd, v, count, at);
  iovec rest;
  if (q.source != nullptr) {
    rest = q.source->rest();
    if (rest.iov_len == 0) return 0;
    v = &rest;
    count = 1;
  }
  // A FIFO that polls as writable takes PIPE_BUF bytes, and must not tear them.
  const std::size_t piece = kind_of(c) == fd_kind::pipe ? PIPE_BUF : 1024;
  std::size_t total = 0;
  for (long i = 0; i < count && total <= piece; ++i) total += v[i].iov_len;
  if (total <= piece) return q.make_plain(c.fd, v, count, at);
  while (v->iov_len == 0) ++v;
  const iovec part = {v->iov_base, std::min(v->iov_len, piece)};
  return q.make_plain(c.fd, &part, 1, at);
}

// Whether a blocking call would not end with the `got` bytes that one which did not wait has transferred,
// from `at` on. A read returns what there is, except that a file has all of it up to its end.
bool goes_on(call& c, const request& q, off_t at, long got) noexcept {
  const fd_kind kind = kind_of(c);
  struct stat st;
  if (q.d == direction::in)  // devices of memory stop at a page's end when others are to run
    return kind == fd_kind::file ||
           (kind == fd_kind::quick && got % 4096 == 0 && ::fstat(c.fd, &st) == 0 && S_ISCHR(st.st_mode));
  if (kind != fd_kind::file && kind != fd_kind::quick) return true;
  // What would be beyond RLIMIT_FSIZE was cut off; who asks for that alone gets a signal.
  rlimit limit = {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return true;
  const long end = at >= 0 ? at + got : sys::raw(SYS_lseek, c.fd, 0, SEEK_CUR);
  return end >= 0 && static_cast<rlim_t>(end) < limit.rlim_cur;
}

long transfer(call& c, const request& q) noexcept {
  if (q.at == -1 && kind_of(c) == fd_kind::file) return at_position(c, q);
  remaining_vector rest(q.v, static_cast<std::size_t>(q.count));
  base::nanoseconds deadline = base::never;
  bool asked = false, was_ready = false;
  bool& refuses_nowait = c.state->refuses_nowait[q.d == direction::out];
  // That it knows no positions is said before anything is waited for.
  bool knows_nowait = !refuses_nowait || q.at != -1;
  std::size_t done = 0;
  // What has been transferred counts more than an error; the next call will see that.
  const auto result = [&](long r) noexcept {
    if (q.source != nullptr && r > 0) q.source->written(static_cast<std::size_t>(r));
    return done > 0 ? static_cast<long>(done) : r;
  };
  for (;;) {
    const off_t at = q.at == -1 ? -1 : q.at + static_cast<off_t>(done);
    const iovec* v = rest.data();
    long count = static_cast<long>(rest.count());
    iovec now;
    if (q.source != nullptr) {
      now = q.source->rest();
      if (now.iov_len == 0) return result(0);
      v = &now;
      count = 1;
    }
    long r = knows_nowait ? q.make(c.fd, v, count, at, rwf_nowait) : -EOPNOTSUPP;
    if (r == -EAGAIN || r == -EOPNOTSUPP) {
      knows_nowait = r == -EAGAIN;
      if (__builtin_expect(was_ready, 0) && !kind_holds(c)) return done > 0 ? result(r) : another_kind;
      const fd_kind kind = kind_of(c);
      if (kind == fd_kind::quick) {
        if (done == 0 && !kind_holds(c)) return another_kind;
        r = q.make_plain(c.fd, v, count, at);
      } else if (kind == fd_kind::file) {
        if (q.at == -1) return done > 0 ? result(r) : another_kind;
        if (knows_nowait && (q.flags & rwf_nowait) != 0) return r;
        r = on_file(c, q, v, count, at);
      } else {
        if ((q.flags & rwf_nowait) != 0) return r;
        if (q.flags == 0) refuses_nowait = !knows_nowait;
        if (!asked) {
          const int error = may_wait(c, q.d, deadline);
          if (error != 0) return result(knows_nowait ? -error : q.make_plain(c.fd, v, count, at));
          asked = true;
        }
        if (!knows_nowait) {
          r = on_other(c, q, v, count, at, deadline);
        } else {
          r = wait_ready(c, q.d, deadline);
          was_ready = r == 0;
          if (was_ready) continue;
          if (r == -EPERM) r = kind_holds(c) ? q.make_plain(c.fd, v, count, at) : another_kind;
          if (r == another_kind) return r;
        }
      }
    }
    if (r <= 0) return result(r);
    done += static_cast<std::size_t>(r);
    if (q.source != nullptr || done >= rest.total() || !goes_on(c, q, at, r)) return result(r);
    if (!rest.skip_to(done) || !still_open(c)) return result(r);
  }
}

// Sockets go their own way: they have MSG_DONTWAIT, and more to say about waiting.
bool is_socket(call& c) noexcept {
  const fd_kind k = kind_of(c);
  return k == fd_kind::tcp || k == fd_kind::socket;
}

// A read into no room at all returns 0 at once, whatever it reads from.
bool has_room(const iovec* v, int count) noexcept {
  return std::any_of(v, v + count, [](const iovec& one) { return one.iov_len != 0; });
}

}  // namespace

ssize_t preadv2(int fd, const iovec* v, int count, off_t at, int flags, const char* name) noexcept {
  scheduler::existing()->charge();
  const int before = errno;
  for (;;) {
    call c(fd, name);
    const request q = {v, count, at, flags, direction::in};
    if (c.state == nullptr || count <= 0 || count > IOV_MAX || v == nullptr)
      return answer(q.make_plain(fd, v, count, at));
    if (at == -1 && flags == 0 && is_socket(c)) {
      if (!has_room(v, count)) return answer(q.make_plain(fd, v, count, at));
      msghdr m = {};
      m.msg_iov = const_cast<iovec*>(v);
      m.msg_iovlen = static_cast<size_t>(count);
      const ssize_t r = posix::recvmsg(fd, &m, 0);
      if (!proved_no_socket(c, r, before)) return r;
      continue;
    }
    if (const long r = transfer(c, q); r != another_kind) return answer(r);
  }
}

ssize_t pwritev2(int fd, const iovec* v, int count, off_t at, int flags, const char* name) noexcept {
  scheduler::existing()->charge();
  const int before = errno;
  for (;;) {
    call c(fd, name);
    const request q = {v, count, at, flags, direction::out};
    if (c.state == nullptr || count <= 0 || count > IOV_MAX || v == nullptr)
      return answer(q.make_plain(fd, v, count, at));
    if (at == -1 && flags == 0 && is_socket(c)) {
      msghdr m = {};
      m.msg_iov = const_cast<iovec*>(v);
      m.msg_iovlen = static_cast<size_t>(count);
      const ssize_t r = posix::sendmsg(fd, &m, 0);
      if (!proved_no_socket(c, r, before)) return r;
      continue;
    }
    if (const long r = transfer(c, q); r != another_kind) return answer(r);
  }
}

ssize_t read(int fd, void* buffer, size_t size) noexcept {
  for (;;) {
    call c(fd, "read");
    if (c.state == nullptr || static_cast<ssize_t>(size) <= 0)
      return answer(sys::raw(SYS_read, fd, sys::word(buffer), static_cast<long>(size)));
    if (is_socket(c)) {
      const long r = receive_bytes(c, buffer, size, 0);
      if (__builtin_expect(r != -ENOTSOCK, 1)) return answer(r);
      ask_anew(c);
    } else if (!c.s.charge()) {  // if others ran, the number may be of another file
      const iovec v = {buffer, size};
      if (const long r = transfer(c, {&v, 1, -1, 0, direction::in}); r != another_kind) return answer(r);
    }
  }
}

ssize_t write(int fd, const void* buffer, size_t size) noexcept {
  for (;;) {
    call c(fd, "write");
    if (c.state == nullptr || static_cast<ssize_t>(size) <= 0)
      return answer(sys::raw(SYS_write, fd, sys::word(buffer), static_cast<long>(size)));
    if (is_socket(c)) {
      const long r = send_bytes(c, buffer, size, 0);
      if (__builtin_expect(r != -ENOTSOCK, 1)) return answer(r);
      ask_anew(c);
    } else if (!c.s.charge()) {
      const iovec v = {const_cast<void*>(buffer), size};
      if (const long r = transfer(c, {&v, 1, -1, 0, direction::out}); r != another_kind) return answer(r);
    }
  }
}

ssize_t write_some(int fd, output_source& from) noexcept {
  scheduler::existing()->charge();
  const int before = errno;
  call c(fd, "write");
  if (c.state != nullptr && is_socket(c)) {
    const ssize_t r = send_some(fd, from);
    if (!proved_no_socket(c, r, before)) return r;
  }
  if (c.state != nullptr && kind_of(c) != fd_kind::file) {
    const long r = transfer(c, {nullptr, 0, -1, 0, direction::out, &from});
    if (r != another_kind) return answer(r);
  }
  const iovec v = from.rest();
  const long r = sys::raw(SYS_write, fd, sys::word(v.iov_base), static_cast<long>(v.iov_len));
  if (r > 0) from.written(static_cast<std::size_t>(r));
  return answer(r);
}

ssize_t pread(int fd, void* buffer, size_t size, off_t at) noexcept {
  if (at < 0 || size == 0)
    return answer(sys::raw(SYS_pread64, fd, sys::word(buffer), static_cast<long>(size), at));
  const iovec v = {buffer, size};
  return preadv2(fd, &v, 1, at, 0, "pread");
}

ssize_t pwrite(int fd, const void* buffer, size_t size, off_t at) noexcept {
  if (at < 0 || size == 0)
    return answer(sys::raw(SYS_pwrite64, fd, sys::word(buffer), static_cast<long>(size), at));
  const iovec v = {const_cast<void*>(buffer), size};
  return pwritev2(fd, &v, 1, at, 0, "pwrite");
}

}  // namespace coir::posix
