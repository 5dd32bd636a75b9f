// What can end a fiber's waits from outside: cancellation, a raised exception, expired timeout scopes,
// deadlock.
//
// fiber::interrupts holds all that is pending; fiber::pending the part that is deliverable now, so that a
// wait tests one byte. Both are touched by the fiber's own thread only; other threads send a message.
// Cancellation and timeouts are sticky: every wait fails until the fiber ends or the scope is left. Raised
// exceptions are thrown once each, in the order of raising.
//
// While the stack of the fiber unwinds, its waits are destructors' clean-up, out of which nothing may be
// thrown: they hear only of the timeouts made inside, in which what is thrown can be caught. Deadlock alone
// still ends a patched call. `pending` does not know of that, as unwinding begins and ends unheard.
#pragma once

#include <errno.h>

#include <cstdint>

#include "coir/timeout.hpp"
#include "sched/fiber.hpp"
#include "sched/timer_wheel.hpp"
#include "wait/waiter.hpp"

namespace coir::wait {

enum interrupt : std::uint8_t {
  cancel = 1,
  raise = 2,
  timeout_expired = 4,
  deadlock_found = 8,
  jumping = 16,  // a signal handler was left by longjmp to the fiber: landing.hpp
};

inline bool interrupt_pending(const sched::fiber& f) noexcept {
  return f.pending != 0;
}

// The C++ way to hear of it: throws cancelled, timed_out, deadlock or the raised exception.
[[noreturn]] void throw_interrupt(sched::fiber& f);
// With something pending: throws, unless the stack unwinds and it is to wait.
void throw_pending(sched::fiber& f);
// Throws if there is something that the current fiber is to hear of now.
inline void throw_if_interrupted(sched::fiber& f) {
  if (__builtin_expect(interrupt_pending(f), 0)) throw_pending(f);
}
// Whether the call that the fiber is in is being left for a jump: what it returns is not looked at.
inline bool about_to_jump(const sched::fiber& f) noexcept {
  return (f.pending & jumping) != 0;
}
mode begin_wait_unwinding(sched::fiber& f);
// How a C++ call is to wait, if it were now; throws as throw_if_interrupted.
inline mode mode_now(sched::scheduler& s, sched::fiber& self) {
  if (__builtin_expect(s.unwinding(), 0)) return begin_wait_unwinding(self);
  throw_if_interrupted(self);
  return mode::interruptible;
}
// How a C++ call that is about to wait, or finds that it need not, is to do it; hears of what has become due.
// Throws as throw_if_interrupted. Nobody else runs.
inline mode begin_wait(sched::scheduler& s, sched::fiber& self) {
  s.attend();
  return mode_now(s, self);
}
inline mode begin_wait(sched::scheduler& s) {
  return begin_wait(s, *s.current());
}
// The same for one that often need not wait, so that it may be called for ever: the others get their turns.
inline mode begin_call(sched::scheduler& s, sched::fiber& self) {
  s.charge();
  return mode_now(s, self);
}
inline mode begin_call(sched::scheduler& s) {
  return begin_call(s, *s.current());
}
// A call that need not wait: as begin_wait, but a limit whose time is over is none of its.
void pass_by(sched::scheduler& s);
// After such a wait: throws if `o` is `interrupted`.
inline void end_wait(sched::scheduler& s, outcome o) {
  if (__builtin_expect(o == outcome::interrupted, 0)) throw_interrupt(*s.current());
}

// The C way: ECANCELED, ETIMEDOUT or EINTR (a jump out of a handler), or 0 if nothing is pending. For who
// will be told of it: an expired scope takes note.
int interrupt_errno(const sched::fiber& f) noexcept;
// What was thrown for `scope` becomes an ETIMEDOUT for its caller.
void told_by_error(const void* scope) noexcept;
// The same for how a wait of `f` ended, after which there is nothing more to ask: also EINTR, if a handler
// ended it; 0 only if neither did.
inline int error_of(outcome o, const sched::fiber& f) noexcept {
  if (__builtin_expect(o == outcome::signalled, 0)) return EINTR;
  if (__builtin_expect(o != outcome::interrupted, 1)) return 0;
  const int error = interrupt_errno(f);
  return error != 0 ? error : EINTR;
}

// Sets an interrupt on a fiber of this thread, and ends its wait if it may be ended; true if it did.
bool deliver(sched::fiber& f, interrupt what) noexcept;
// Recomputes fiber::pending.
void refresh(sched::fiber& f) noexcept;

// Any thread.
void cancel_fiber(sched::fiber& f) noexcept;
void raise_in_fiber(sched::fiber& f, std::exception_ptr error);

// The body of coir::timeout.
class timeout_scope {
 public:
  timeout_scope(sched::scheduler& s, base::nanoseconds deadline) noexcept;
  ~timeout_scope();
  timeout_scope(const timeout_scope&) = delete;
  timeout_scope& operator=(const timeout_scope&) = delete;

  bool expired() const noexcept { return expired_; }
  // It ended waits whose callers were told by ETIMEDOUT only, which they may have swallowed.
  bool cut_short() const noexcept { return expired_ && told_ == told::by_error; }
  void cancel() noexcept;
  void reset(base::nanoseconds deadline) noexcept;

 private:
  enum class told : std::uint8_t { nobody, by_error, by_exception };  // the last is not undone by errors
  struct scope_timer : sched::timer {
    timeout_scope* scope;
  };
  static void on_expiry(sched::timer* t) noexcept;
  void arm(base::nanoseconds deadline) noexcept;

  friend void refresh(sched::fiber& f) noexcept;
  friend timeout_scope* first_expired(const sched::fiber& f) noexcept;
  friend mode begin_wait_unwinding(sched::fiber& f);
  friend int interrupt_errno(const sched::fiber& f) noexcept;
  friend void throw_interrupt(sched::fiber& f);
  friend void settle_timeouts(const sched::fiber& f) noexcept;
  friend void told_by_error(const void* scope) noexcept;
  friend void rearm_after_fork(sched::fiber& f) noexcept;

  scope_timer timer_;
  sched::fiber* fiber_;
  timeout_scope* outer_;
  std::uint32_t shield_depth_;
  unsigned unwinding_;  // how many exceptions unwound the stack when it was made
  bool expired_ = false;
  bool owed_ = false;  // it has ended a wait whose caller has not been told yet
  told told_ = told::nobody;
};

// Of the deliverable expired scopes the one whose deadline was first.
timeout_scope* first_expired(const sched::fiber& f) noexcept;
void rearm_after_fork(sched::fiber& f) noexcept;

// What sched::upcalls asks for.
bool on_deadlock(sched::scheduler& s) noexcept;
void on_ran_down(sched::scheduler& s) noexcept;
void on_signal(sched::scheduler& s, bool asleep) noexcept;
void on_thread_end(sched::scheduler& s) noexcept;

}  // namespace coir::wait
