// Where fibers wait for what has an address and no room for a queue: libc's locks, condition variables,
// semaphores.
//
// A hash table of queues, keyed by address ("parking lot": WTF::ParkingLot, the kernel's futex table).
// Protocol against lost wake-ups, for a word that anybody changes by atomic operations:
//   waiter: 1. enqueue, count itself in `parked_`   2. change or read the word   3. park, unless it is free
//   waker:  1. change the word                      2. read `parked_`            3. not zero: look in the lot
// Both first steps are full barriers on the waiter's side (enqueue) and the waker's (an atomic
// read-modify-write), so at least one of them sees the other.
// I1: a waiter is in its bucket from `enter` until it leaves or is claimed, under the bucket's lock.
#pragma once

#include "wait/waiter.hpp"

namespace coir::wait {

struct lot_waiter : queued_waiter {
  using queued_waiter::queued_waiter;
  const void* key = nullptr;
  std::uint32_t tag = 0;  // for the owner's use: who it is, what it wants
  bool given = false;     // the waker has done for it what it waited for
};

class lot {
 public:
  using busy = sched::mailbox::busy;

  // Whether anybody waits for anything that the caller has just changed by an atomic operation.
  static bool anyone() noexcept {
#ifndef __x86_64__  // there such an operation is a full barrier, also inside libc
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
    return parked_.load(std::memory_order_seq_cst) != 0;
  }

  // Puts a waiter where wakers of `key` find it. Followed by `wait` or `leave`.
  static void enter(const void* key, lot_waiter& w) noexcept;
  // Takes it out again. False: somebody has claimed it meanwhile, so `wait` is still to be called.
  static bool leave(lot_waiter& w) noexcept;
  // Waits until a waker takes this waiter, the deadline, or an interruption (mode). `interrupted` also in an
  // uninterruptible wait: the fiber is about to jump out of a handler, so the caller returns, whatever it
  // says, and takes nothing.
  static outcome wait(lot_waiter& w, const char* reason, base::nanoseconds deadline, mode m) noexcept;

  // The three in one. `still()` is asked in between; if it says no, nothing is waited for, and the outcome is
  // `none`.
  template <class Still>
  static outcome park(const void* key, lot_waiter& w, const char* reason, base::nanoseconds deadline, mode m,
                      Still still) noexcept {
    enter(key, w);
    if (still()) return wait(w, reason, deadline, m);
    if (leave(w)) return outcome::none;
    wait(w, reason, base::never, mode::uninterruptible);  // returns at once
    if (!w.given) wake(key, 1);                           // the wake-up was for somebody who needs it
    return outcome::none;
  }

  // Takes out, claims and wakes up to `most` waiters of `key`, the longest waiting first. Returns how many.
  static unsigned wake(const void* key, unsigned most) noexcept;
  static constexpr unsigned all = ~0U;

  // For hand-overs: with the bucket locked calls `give(w)` with the first waiter of `key`, claimed and out of
  // the lot, and wakes it; or calls `none()` if there is no waiter. Returns whether there was one.
  template <class Give, class None>
  static bool hand_over(const void* key, Give give, None none) noexcept {
    const busy during;
    detail::wait_list& b = bucket(key);
    b.lock.lock();
    lot_waiter* w = claim_first_locked(b, key);
    if (w != nullptr)
      give(*w);
    else
      none();
    b.lock.unlock();
    if (w != nullptr) w->wake();
    return w != nullptr;
  }

  // For barriers: with the bucket locked asks `arrive()`. True: takes out, claims and wakes all waiters of
  // `key`, and returns true. False: puts `w` among them, to be waited for.
  template <class Arrive>
  static bool gather(const void* key, lot_waiter& w, Arrive arrive) noexcept {
    detail::wait_list& b = bucket(key);
    b.lock.lock();
    const bool last = arrive();
    if (last) {
      wake_locked(b, key, all);
    } else {
      w.key = key;
      enqueue_locked(b, w);
      parked_.fetch_add(1, std::memory_order_relaxed);  // the bucket's lock orders it
    }
    b.lock.unlock();
    return last;
  }

  // For signal handlers, whose thread may hold a bucket's lock: `wake(key, 1)` when the thread's scheduler
  // hears of the handler, or `wake(key, all)` if it was late more than once: for waiters that look again. A
  // 33rd key that is late is forgotten.
  static void wake_later(const void* key) noexcept;
  static bool has_late() noexcept {
    return busy::put_off.load(std::memory_order_relaxed) != 0;
  }
  static void wake_late() noexcept;
  // In a handler of a thread without a scheduler: now, or when the call that it interrupted is over.
  static void wake_late_on_plain_thread() noexcept;

  // In the child of a fork: nobody waits.
  static void forget_in_child() noexcept;

 private:
  static detail::wait_list& bucket(const void* key) noexcept;
  static void remove_locked(detail::wait_list& b, lot_waiter& w) noexcept;
  static lot_waiter* claim_first_locked(detail::wait_list& b, const void* key) noexcept;
  static unsigned wake_locked(detail::wait_list& b, const void* key, unsigned most) noexcept;

  static constexpr unsigned most_late = 32;
  static constexpr std::uintptr_t more_than_once = 1;  // beside a key, which is a multiple of 4

  static std::atomic<std::uint32_t> parked_;
  static std::atomic<std::uintptr_t> late_[most_late];
};

}  // namespace coir::wait
