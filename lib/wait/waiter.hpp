// One waiter, one winner (D5): every park in coir goes through here.
//
// A waiter lives in the frame of whoever waits:   none ──claim──▶ one outcome, for good
// Recipe for waiting:
//   1. `interrupt_pending`? Then do not wait.  2. Make a waiter, put it where wakers find it.  3. `park`.
//   4. Unless the outcome is `notified`, take it back out from where wakers find it.
// Recipe for waking: with the waiter reachable (its queue locked, or on its own thread), `claim` it; whoever
// gets true owns the wake-up and must call `wake`, after which the waiter may be gone. I1: `wake` is called
// exactly once, by the winner of `claim`. I2: only the waiter's own thread claims it for its deadline or an
// interrupt.
#pragma once

#include <atomic>
#include <new>

#include "base/clock.hpp"
#include "coir/detail/switch.hpp"
#include "coir/detail/wait_list.hpp"
#include "sched/scheduler.hpp"

namespace coir::wait {

enum class outcome : std::uint8_t {
  none,
  notified,     // what was waited for happened
  timed_out,    // the wait's own deadline passed
  interrupted,  // the fiber was cancelled, raised in, or a timeout scope of it expired: see interrupt.hpp
  signalled,    // a signal handler ran, and this wait is one that signals end
};

// Which signal handlers end a wait, with EINTR for the caller.
enum class ending_handlers : std::uint8_t {
  none,
  without_restart,  // those installed without SA_RESTART
  all,
  all_and_stops,  // the kernel says EINTR to such a call too when the process was stopped and goes on
};

enum class mode : std::uint8_t { interruptible, uninterruptible };

struct waiter {
  sched::fiber* fiber;
  std::atomic<outcome> result{outcome::none};
  ending_handlers ended_by = ending_handlers::none;
  bool heeds_handlers_only = false;  // of what interrupts: neither cancellation nor timeouts
  // Although only handlers are heeded, a jump out of one (landing.hpp) …
  bool may_be_left = false;  // … ends the wait as an interruption, which nothing else does
  bool ends_soon = false;    // … is made when the wait has ended by itself

  // The signal mask in force for the wait, where that is not the fiber's.
  const std::uint64_t* mask = nullptr;

  waiter() : waiter(sched::scheduler::ensure()) {}
  explicit waiter(sched::scheduler& s) noexcept : fiber(s.current()) {}
  explicit waiter(sched::fiber& self) noexcept : fiber(&self) {}

  void heed_nothing() noexcept {
    ended_by = ending_handlers::none;
    heeds_handlers_only = true;
  }

  bool claim(outcome o) noexcept {
    outcome expected = outcome::none;
    if (detail::single_threaded()) {
      if (result.load(std::memory_order_relaxed) != outcome::none) return false;
      result.store(o, std::memory_order_relaxed);
      return true;
    }
    // acq_rel: the waiter sees what the winner did before; a loser sees that it lost.
    return result.compare_exchange_strong(expected, o, std::memory_order_acq_rel);
  }

  // After a won claim. The waiter may be gone when this returns.
  void wake() noexcept { sched::scheduler::wake(fiber); }
};

// Suspends until `w` is claimed. `w` is reachable by its wakers. `deadline`: on the scheduler's clock; a
// waiter is never woken before it. An uninterruptible wait is not ended by cancellation or timeouts.
outcome park_until_deadline(waiter& w, const char* reason, base::nanoseconds deadline, mode m) noexcept;

[[gnu::always_inline]] inline outcome park(waiter& w, const char* reason,
                                           mode m = mode::interruptible) noexcept {
  sched::fiber* f = w.fiber;
  if (m == mode::uninterruptible) w.heed_nothing();
  f->waiting = &w;
  f->home->park(reason);
  f->waiting = nullptr;
  return w.result.load(std::memory_order_acquire);  // pairs with claim
}

[[gnu::always_inline]] inline outcome park_until(waiter& w, const char* reason, base::nanoseconds deadline,
                                                 mode m = mode::interruptible) noexcept {
  return __builtin_expect(deadline == base::never, 1) ? park(w, reason, m)
                                                      : park_until_deadline(w, reason, deadline, m);
}

// A waiter in a detail::wait_list.
struct queued_waiter : detail::wait_node, waiter {
  using waiter::waiter;
  bool queued = false;     // guarded by the list's lock
  bool closed = false;     // notified because what it waits for was closed
  bool retry = false;      // notified for nothing: the hand-over threw
  bool is_choice = false;  // a `choice`
  void* item = nullptr;    // for hand-overs

  // Hides waiter's: of the choices of one chooser only one is ever claimed.
  bool claim(outcome o) noexcept {
    return __builtin_expect(is_choice, 0) ? claim_choice(o) : waiter::claim(o);
  }

 private:
  bool claim_choice(outcome o) noexcept;
};

static_assert(sizeof(queued_waiter) <= sizeof(detail::wait_frame));

struct choice;

// Who waits for the first of several things (lib/sync/select.cpp): claimed, and parked, by itself; each of
// the things has a choice of it in its list. I3: whoever claims a choice claims its chooser.
struct chooser : waiter {
  using waiter::waiter;
  choice* won = nullptr;  // written between claim and wake
};

struct choice : queued_waiter {
  explicit choice(chooser& c) noexcept : queued_waiter(*c.fiber->home), of(c) { is_choice = true; }
  chooser& of;
};

// All of these with list.lock held.
inline void enqueue_locked(detail::wait_list& list, queued_waiter& w) noexcept {
  w.queued = true;
  list.push_back(&w);
}
inline void dequeue_locked(detail::wait_list& list, queued_waiter& w) noexcept {
  if (!w.queued) return;
  w.queued = false;
  list.remove(&w);
}
// Takes out and claims the first waiter that is still waiting; null if there is none. The caller wakes it,
// after unlocking if it likes.
inline queued_waiter* claim_first_locked(detail::wait_list& list) noexcept {
  while (detail::wait_node* n = list.head) {
    auto* w = static_cast<queued_waiter*>(n);
    dequeue_locked(list, *w);
    if (w->claim(outcome::notified)) return w;
  }
  return nullptr;
}
// Claims and wakes all.
void wake_all_locked(detail::wait_list& list) noexcept;

// Parks a waiter enqueued in `list`, whose lock is not held, and takes it out again unless it was notified.
// The three steps of an infinite wait in `list` whose middle one is made by the caller's own code: see
// coir/detail/switch.hpp. The waiter lives in `frame`.
inline queued_waiter& waiter_in(detail::wait_frame& frame) noexcept {
  return *std::launder(reinterpret_cast<queued_waiter*>(frame.bytes));
}
// The call is one that begin_wait or begin_call began.
inline detail::switch_request suspend_in(queued_waiter& w, sched::scheduler& s, const char* reason,
                                         mode m) noexcept {
  if (m == mode::uninterruptible) w.heed_nothing();
  w.fiber->waiting = &w;
  return s.begin_counted_park(reason);
}
inline outcome resumed(queued_waiter& w) noexcept {
  w.fiber->waiting = nullptr;
  return w.result.load(std::memory_order_acquire);  // pairs with claim
}
// Takes it out of the list again, if it is still there.
inline outcome finish_queued(detail::wait_list& list, queued_waiter& w) noexcept {
  const outcome result = resumed(w);
  list.lock.lock();
  dequeue_locked(list, w);
  list.lock.unlock();
  return result;
}

// All this is inlined into the primitives: each return between a switch and its caller may be mispredicted.
[[gnu::always_inline]] inline outcome park_queued(detail::wait_list& list, queued_waiter& w,
                                                  const char* reason,
                                                  base::nanoseconds deadline = base::never,
                                                  mode m = mode::interruptible) noexcept {
  const outcome result = park_until(w, reason, deadline, m);
  // Also when notified: the notifier may still hold the lock, and the caller may destroy the list once it
  // returns.
  list.lock.lock();
  dequeue_locked(list, w);
  list.lock.unlock();
  return result;
}

}  // namespace coir::wait
