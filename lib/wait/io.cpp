#include "wait/io.hpp"

#include <errno.h>
#include <poll.h>

#include "base/raw.hpp"
#include "wait/interrupt.hpp"

namespace coir::wait {

reactor::reactor* reactor_of(sched::scheduler& s) noexcept {
  try {
    return &s.io();
  } catch (...) {
    return nullptr;  // no descriptors or memory left: the caller falls back to the plain call
  }
}

namespace {

// Ends `op`, at which the kernel may still be, and may yet succeed.
void end_early(sched::scheduler& s, waiting_operation& op, const char* reason) noexcept {
  if (op.done || s.opened_io()->stop(op)) return;  // perhaps another reactor than it began at
  waiter last(s);
  op.who = &last;
  last.ends_soon = true;
  if (!op.done) park(last, reason, mode::uninterruptible);
  op.who = nullptr;
}

// Whether it was ended before it came to anything. An error that it found is taken out of the descriptor, and
// nobody else will hear of it.
bool undecided(const waiting_operation& op) noexcept {
  return op.result == -ECANCELED || op.result == -EINTR || op.result == -EAGAIN;
}

// Of several accepts io_uring wakes one for a connection. If that one is ended before it has looked, nobody
// looks, in this process or in another. Whether this one may be it.
bool holds_wake_up(const waiting_operation& op) noexcept {
  if (__builtin_expect(op.kind != reactor::op_kind::accept, 1) || op.closed) return false;
  if (reactor::fd_owners()[op.fd].generation.load(std::memory_order_acquire) != op.generation) return false;
  pollfd p = {op.fd, POLLIN, 0};
  timespec none = {};
  return base::raw(SYS_ppoll, base::word(&p), 1, base::word(&none), 0, 8) == 1;
}

}  // namespace

long perform(sched::scheduler& s, waiting_operation& op, const io_wait& how) noexcept {
  if (const int error = interrupt_errno(*s.current()); __builtin_expect(error != 0, 0)) return -error;
  waiter w(s);
  w.ended_by = how.ends_by_signal ? ending_handlers::all_and_stops : ending_handlers::without_restart;
  op.who = &w;
  s.watch();
  if (const int error = s.opened_io()->start(op); __builtin_expect(error != 0, 0)) return -error;
  const outcome o = park_until(w, how.reason, how.deadline);
  if (__builtin_expect(o == outcome::notified, 1)) return op.result;

  // Something else ended the wait.
  end_early(s, op, how.reason);
  // So it looks once more, and has the connection as if that had come a moment earlier. (What is left for a
  // jump has nobody to give it to.)
  while (undecided(op) && holds_wake_up(op) && !about_to_jump(*s.current())) {
    if (s.opened_io()->start(op) != 0) break;
    end_early(s, op, how.reason);
  }
  if (!undecided(op)) return op.result;
  return o == outcome::timed_out ? -EAGAIN : -error_of(o, *s.current());
}

}  // namespace coir::wait
