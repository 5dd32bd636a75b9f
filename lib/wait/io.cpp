#include "wait/io.hpp"

#include <errno.h>

#include "wait/interrupt.hpp"

namespace coir::wait {

reactor::reactor* reactor_of(sched::scheduler& s) noexcept {
  try {
    return &s.io();
  } catch (...) {
    return nullptr;  // no descriptors or memory left: the caller falls back to the plain call
  }
}

long perform(sched::scheduler& s, waiting_operation& op, const io_wait& how) noexcept {
  if (const int error = interrupt_errno(*s.current()); __builtin_expect(error != 0, 0)) return -error;
  waiter w(s);
  w.ended_by = how.ends_by_signal ? ending_handlers::all_and_stops : ending_handlers::without_restart;
  op.who = &w;
  s.watch();
  if (const int error = s.opened_io()->start(op); __builtin_expect(error != 0, 0)) return -error;
  const outcome o = park_until(w, how.reason, how.deadline);
  if (__builtin_expect(o == outcome::notified, 1)) return op.result;

  // Something else ended the wait. The kernel may still be at it, and may yet succeed.
  if (!op.done && !s.opened_io()->stop(op)) {  // perhaps another than it began at
    waiter last(s);
    op.who = &last;
    last.ends_soon = true;
    if (!op.done) park(last, how.reason, mode::uninterruptible);
  }
  // An error that it found is taken out of the descriptor, and nobody else will hear of it.
  const bool undecided = op.result == -ECANCELED || op.result == -EINTR || op.result == -EAGAIN;
  if (!undecided) return op.result;
  return o == outcome::timed_out ? -EAGAIN : -error_of(o, *s.current());
}

}  // namespace coir::wait
