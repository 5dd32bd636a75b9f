// Transfers between two descriptors inside the kernel.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <new>

#include "posix/descriptor.hpp"
#include "posix/files.hpp"
#include "posix/offload.hpp"
#include "posix/peek.hpp"
#include "posix/sockets.hpp"
#include "sys/kernel.hpp"
#include "sys/raw.hpp"

namespace coir::posix {
namespace {

bool waits_in_poll(call& c) noexcept {
  const fd_kind k = kind_of(c);
  return k != fd_kind::file && k != fd_kind::quick && k != fd_kind::unknown;
}

// Whether the next `count` bytes of a file, from `at` or its position, are in memory. False if the kernel
// does not know cachestat(2) (Linux 6.5).
bool in_memory(int fd, const off64_t* at, std::size_t count) noexcept {
  constexpr long cachestat = 451;
  struct stat st;
  const long begin = at != nullptr ? *at : sys::raw(SYS_lseek, fd, 0, SEEK_CUR);
  if (begin < 0 || ::fstat(fd, &st) != 0) return false;
  const auto page = static_cast<long>(sys::page_size());
  const long end = count < static_cast<std::size_t>(st.st_size)
                       ? std::min<long>(begin + static_cast<long>(count), st.st_size)
                       : st.st_size;
  if (begin >= end) return true;
  const std::uint64_t range[2] = {static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end - begin)};
  std::uint64_t found[5] = {};  // the first: pages in the cache
  if (sys::raw(cachestat, fd, sys::word(range), sys::word(found), 0) != 0) return false;
  return found[0] == static_cast<std::uint64_t>((end - 1) / page - begin / page + 1);
}

// Waits until `c` is ready for `d`, as far as it can be waited for and the user lets it wait. 0: it is.
// Meanwhile others may be able to use what the `other` end is ready for.
long wait_end(call& c, direction d, call& other) noexcept {
  base::nanoseconds deadline = base::never;
  if (!waits_in_poll(c)) return 0;
  while (!ready_now(c.fd, d)) {
    if (const int error = may_wait(c, d, deadline)) return -error;
    other.leave_to_others();
    const long r = wait_ready(c, d, deadline);
    if (r == -EPERM) return 0;
    if (r < 0) return r;
  }
  return 0;
}

// From memory to memory this much is copied on the thread.
constexpr std::size_t much_to_copy = 256 * 1024;

bool is_file(call& c) noexcept {
  return kind_of(c) == fd_kind::file;
}
bool is_socket(call& c) noexcept {
  return kind_of(c) == fd_kind::tcp || kind_of(c) == fd_kind::socket;
}

bool can_read(int fd) noexcept {
  return (sys::raw(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
}
bool can_write(int fd) noexcept {
  return (sys::raw(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

// A socket that is never ready for what is asked of it, which the kernel says at once.
bool listens(int socket) noexcept {
  int yes = 0;
  socklen_t size = sizeof yes;
  return sys::raw(SYS_getsockopt, socket, SOL_SOCKET, SO_ACCEPTCONN, sys::word(&yes), sys::word(&size)) ==
             0 &&
         yes != 0;
}

// Whether a pipe to write to has lost its last reader.
bool is_unread(int pipe) noexcept {
  pollfd p = {pipe, 0, 0};
  timespec none = {};
  return sys::raw(SYS_ppoll, sys::word(&p), 1, sys::word(&none), 0, 8) == 1 && (p.revents & POLLERR) != 0;
}

// Repeats `make(count, flags)` with SPLICE_F_NONBLOCK, waiting in between.
//
// That flag is about pipes. A blocking TCP socket to read from is looked at first; one to write to gets a
// page at a time while it polls as writable, which it takes without waiting.
template <class Make>
long splice_like(int in, const off64_t* at, int out, const char* name, size_t count, unsigned flags,
                 Make make) noexcept {
  scheduler::existing()->charge();
  call from(in, name), to(out, name);
  if (from.state == nullptr || to.state == nullptr || (flags & SPLICE_F_NONBLOCK) != 0)
    return make(count, flags);
  const auto no_pipe = [&] { return kind_of(from) != fd_kind::pipe && kind_of(to) != fd_kind::pipe; };
  if (no_pipe() && kind_holds(from) && kind_holds(to) && no_pipe()) return make(count, flags);  // EINVAL
  constexpr std::size_t page = 4096, most_in_pipe = 1 << 20;  // unless a privileged one made it larger
  base::nanoseconds unused = base::never;
  const bool by_page = is_socket(to) && may_wait(to, direction::out, unused) == 0;
  const bool on_disk = is_file(from) || is_file(to);
  std::size_t done = 0;
  for (;;) {
    long r = -EAGAIN;
    if ((!is_socket(from) || at != nullptr || ready_now(in, direction::in)) &&
        (!by_page || ready_now(out, direction::out) || listens(out))) {
      const std::size_t piece = by_page ? std::min(count - done, page) : count - done;
      const auto attempt = [&]() -> long { return make(piece, flags | SPLICE_F_NONBLOCK); };
      const bool waits = on_disk && (is_file(to) || !in_memory(in, at, std::min(piece, most_in_pipe)));
      r = waits ? offload_call(from.s, name, attempt) : attempt();
    }
    if (r > 0) done += static_cast<std::size_t>(r);
    if (r > 0 && by_page && done < count) continue;
    // A page at a time looks like one call: it ends where the pipe does.
    if (r != -EAGAIN || (done > 0 && !ready_now(in, direction::in)))
      return done > 0 ? static_cast<long>(done) : r;
    // What cannot be read or written is said before anything is waited for.
    if (done == 0 && (!can_read(in) || !can_write(out) || (is_socket(from) && listens(in)) ||
                      (kind_of(to) == fd_kind::pipe && is_unread(out))))
      return make(count, flags);
    // Between pipes the one that does not wait speaks for both, and one that is written to for an AF_UNIX
    // socket.
    if (kind_of(to) == fd_kind::pipe && kind_of(from) != fd_kind::tcp) {
      const bool from_pipe = kind_of(from) == fd_kind::pipe;
      if ((from_pipe && may_wait(from, direction::in, unused) != 0) ||
          ((from_pipe || (is_socket(from) && is_unix(in))) && may_wait(to, direction::out, unused) != 0))
        return done > 0 ? static_cast<long>(done) : -EAGAIN;
    }
    // As the kernel: out of a pipe for data first, and else for room first, as it does not look before at
    // what it is to read from, which may be nothing that can be spliced.
    const bool data_is_next = kind_of(from) == fd_kind::pipe
                                  ? !ready_now(in, direction::in)
                                  : !waits_in_poll(to) || ready_now(out, direction::out);
    long w = data_is_next ? wait_end(from, direction::in, to) : wait_end(to, direction::out, from);
    if (w == 0 && !(still_open(from) && still_open(to))) w = -EBADF;
    if (w < 0) return done > 0 ? static_cast<long>(done) : w;
  }
}

// File to socket through memory: a blocking sendfile cannot be told not to wait for the socket.
ssize_t copy_to_socket(call& from, call& to, off_t* at, size_t count) noexcept {
  constexpr std::size_t piece = 64 * 1024;
  const std::unique_ptr<char[]> buffer(new (std::nothrow) char[piece]);
  if (buffer == nullptr) return answer(-ENOMEM);
  off_t position = 0;
  if (at != nullptr && !peek(sys::word(at), position)) return answer(-EFAULT);
  std::size_t done = 0;
  ssize_t result = 0;
  while (done < count && still_open(from)) {
    const std::size_t n = std::min(piece, count - done);
    const ssize_t got = at != nullptr ? posix::pread(from.fd, buffer.get(), n, position)
                                      : posix::read(from.fd, buffer.get(), n);
    if (got <= 0) {
      result = got;
      break;
    }
    const ssize_t sent =
        still_open(to) ? posix::send(to.fd, buffer.get(), static_cast<size_t>(got), 0) : answer(-EBADF);
    result = sent;
    const ssize_t unsent = got - std::max<ssize_t>(sent, 0);
    if (at == nullptr && unsent > 0 && still_open(from)) sys::raw(SYS_lseek, from.fd, -unsent, SEEK_CUR);
    if (sent <= 0) break;
    done += static_cast<std::size_t>(sent);
    position += sent;
    if (unsent > 0) break;
  }
  if (at != nullptr) *at = position;
  return done > 0 ? static_cast<ssize_t>(done) : result;
}

}  // namespace

ssize_t sendfile(int out, int in, off_t* at, size_t count) noexcept {
  call from(in, "sendfile"), to(out, "sendfile");
  const auto plain = [&]() -> long {
    return sys::raw(SYS_sendfile, out, in, sys::word(at), static_cast<long>(count));
  };
  if (from.state == nullptr || to.state == nullptr) return answer(plain());
  base::nanoseconds deadline = base::never;
  const auto to_pipe = [&] {
    return kind_of(to) == fd_kind::pipe && may_wait(to, direction::out, deadline) == 0;
  };
  // Of a pipe it wants room, though it has nothing to write.
  if (count == 0 && (at == nullptr || !waits_in_poll(from)) && kind_of(to) == fd_kind::pipe) {
    if (to_pipe() && can_read(in) && can_write(out))
      if (const long r = wait_end(to, direction::out, from); r < 0) return answer(r);
    return answer(plain());
  }
  if (waits_in_poll(from) && (kind_holds(from) || waits_in_poll(from))) {
    if (at != nullptr) return answer(plain());  // ESPIPE
    // Also to one that does not wait: then the socket still does.
    if (kind_of(to) == fd_kind::pipe && kind_of(from) != fd_kind::pipe)
      return posix::splice(in, nullptr, out, nullptr, count, 0);
    if (!to_pipe()) return answer(plain());  // EINVAL
    // EINVAL, once there is room.
    if (can_read(in) && can_write(out))
      if (const long r = wait_end(to, direction::out, from); r < 0) return answer(r);
    return answer(plain());
  }
  const fd_kind source = kind_of(from);
  if (source == fd_kind::unknown) return answer(plain());
  if (is_socket(to)) {
    if (may_wait(to, direction::out, deadline) != 0) return answer(plain());
    const int before = errno;
    const ssize_t r = copy_to_socket(from, to, at, count);
    if (!proved_no_socket(to, r, before)) return r;
  }
  // To a pipe it is a splice.
  if (to_pipe()) return posix::splice(in, at, out, nullptr, count, 0);
  if (source == fd_kind::quick && kind_of(to) != fd_kind::file && count <= much_to_copy)
    return answer(plain());
  return answer(offload_call(from.s, "sendfile", plain));
}

ssize_t splice(int in, off64_t* in_at, int out, off64_t* out_at, size_t count, unsigned flags) noexcept {
  return answer(splice_like(in, in_at, out, "splice", count, flags, [&](size_t n, unsigned f) {
    return sys::raw(SYS_splice, in, sys::word(in_at), out, sys::word(out_at), static_cast<long>(n), f);
  }));
}

ssize_t tee(int in, int out, size_t count, unsigned flags) noexcept {
  {
    call from(in, "tee"), to(out, "tee");
    const auto both_pipes = [&] { return kind_of(from) == fd_kind::pipe && kind_of(to) == fd_kind::pipe; };
    const bool known = from.state != nullptr && to.state != nullptr;
    if (known && !both_pipes() && kind_holds(from) && kind_holds(to) && !both_pipes())
      return answer(sys::raw(SYS_tee, in, out, static_cast<long>(count), flags));  // EINVAL, EBADF
  }
  return answer(splice_like(in, nullptr, out, "tee", count, flags, [&](size_t n, unsigned f) {
    return sys::raw(SYS_tee, in, out, static_cast<long>(n), f);
  }));
}

ssize_t vmsplice(int fd, const iovec* v, size_t count, unsigned flags) noexcept {
  call c(fd, "vmsplice");
  const auto make = [&](unsigned f) {
    return sys::raw(SYS_vmsplice, fd, sys::word(v), static_cast<long>(count), f);
  };
  if (c.state == nullptr || (flags & SPLICE_F_NONBLOCK) != 0) return answer(make(flags));
  const long access = sys::raw(SYS_fcntl, fd, F_GETFL);
  const direction d = access >= 0 && (access & O_ACCMODE) == O_RDONLY ? direction::in : direction::out;
  for (;;) {
    const long r = make(flags | SPLICE_F_NONBLOCK);
    if (r != -EAGAIN) return answer(r);
    base::nanoseconds deadline = base::never;
    if (const int error = may_wait(c, d, deadline)) return answer(-error);
    if (const long w = wait_ready(c, d, deadline); w < 0) return answer(w);
  }
}

ssize_t copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t count,
                        unsigned flags) noexcept {
  call c(in, "copy_file_range"), to(out, "copy_file_range");
  const auto plain = [&]() -> long {
    return sys::raw(SYS_copy_file_range, in, sys::word(in_at), out, sys::word(out_at),
                    static_cast<long>(count), flags);
  };
  const bool waits =
      c.state != nullptr && to.state != nullptr && (is_file(c) || is_file(to) || count > much_to_copy);
  return answer(waits ? offload_call(c.s, "copy_file_range", plain) : plain());
}

}  // namespace coir::posix
