// pthread_mutex_t for fibers.
//
// The lock word follows libc's own protocol: 0 free, 1 held, 2 held and perhaps somebody waits. Who waits as
// a fiber sets 2 and parks in the lot; who waits as a thread sets 2 and sleeps in the kernel. I1: an unlock
// that takes a 2 away looks in both places. I2: among fibers the lock is handed over, so nobody overtakes and
// none starves; one unlock in 32 lets everybody race for it, the threads in the kernel too. Robust,
// priority-inheriting and priority-protecting mutexes belong to threads, in the kernel's view: they are
// tried, and tried again.
#include <errno.h>
#include <linux/futex.h>
#include <sys/auxv.h>

#include "posix/locks.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/lot.hpp"

namespace coir::posix {

constinit thread_local int plain_owner = 0;
constinit thread_local const pthread_mutex_t* let_go_of = nullptr;

void note_thread() noexcept {
  plain_owner = static_cast<int>(sys::raw(SYS_gettid));
}

namespace {

using wait::lot;

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): its mixing function.
std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

// What this process has of its own: the kernel's random bytes, and in the child of a fork its number, too.
std::uint64_t of_process(std::uint64_t before) noexcept {
  return mixed(before + static_cast<std::uint64_t>(sys::raw(SYS_getpid)));
}
std::atomic<std::uint64_t> process_mark{[] {
  std::uint64_t random = 0;
  if (const unsigned long at = ::getauxval(AT_RANDOM); at != 0)
    __builtin_memcpy(&random, reinterpret_cast<const void*>(at), sizeof random);
  return of_process(random);
}()};

const bool owners_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
                                   plain_owner = 0;
                                   process_mark = of_process(process_mark);
                                 }) == 0;

enum kind_bits : int { type = 3, robust = 16, inherits = 32, protects = 64, shared = 128 };
constexpr int of_threads = robust | inherits | protects;

std::uint32_t tag_for(const pthread_mutex_t* m) noexcept {
  scheduler& s = *scheduler::existing();
  return (m->__data.__kind & shared) != 0 ? shared_owner_tag(s) : owner_tag(s);
}

std::atomic_ref<int> word(pthread_mutex_t* m) noexcept {
  return std::atomic_ref<int>(m->__data.__lock);
}
std::atomic_ref<int> owner(pthread_mutex_t* m) noexcept {
  return std::atomic_ref<int>(m->__data.__owner);
}

// After the lock word was taken.
void own(pthread_mutex_t* m, std::uint32_t me) noexcept {
  owner(m).store(static_cast<int>(me), std::memory_order_relaxed);
  ++m->__data.__nusers;  // pthread_mutex_destroy looks at it
}

// Which futexes of the kernel the word is; asked before the unlock, after which `m` may be gone.
int wake_operation(const pthread_mutex_t* m) noexcept {
  return FUTEX_WAKE | ((m->__data.__kind & shared) != 0 ? 0 : FUTEX_PRIVATE_FLAG);
}
void wake_thread(pthread_mutex_t* m, int operation) noexcept {
  sys::raw(SYS_futex, sys::word(&m->__data.__lock), operation, 1);
}

// Held by somebody whose unlock coir may not hear of.
bool held_elsewhere(pthread_mutex_t* m, scheduler& s) noexcept {
  const auto who = static_cast<std::uint32_t>(owner(m).load(std::memory_order_relaxed));
  return (m->__data.__kind & shared) != 0 ||
         (!is_fiber_tag(who) && who != static_cast<std::uint32_t>(s.thread_id()));
}

// When to look without having been woken. A fiber's unlock is sure to be heard of, but the lock may pass to a
// thread meanwhile, and be given up inside libc.
base::nanoseconds look_again(pthread_mutex_t* m, scheduler& s, recheck& again,
                             base::nanoseconds deadline) noexcept {
  if (held_elsewhere(m, s)) return again.next(s, deadline);
  constexpr base::nanoseconds long_time = 50'000'000;
  return detail::single_threaded() ? deadline : std::min(deadline, s.now() + long_time);
}

void release(pthread_mutex_t* m) noexcept {
  static thread_local unsigned turn = 0;
  const int operation = wake_operation(m);
  const auto let_go = [m] {
    owner(m).store(0, std::memory_order_relaxed);
    --m->__data.__nusers;
    return word(m).exchange(0, std::memory_order_seq_cst);
  };
  // acquire is not needed: the word is only a hint here, and let_go decides
  const bool hands_over = detail::single_threaded() || ++turn % 32 != 0;
  if (word(m).load(std::memory_order_relaxed) == 2 && hands_over) {
    lot::hand_over(
        m,
        [m](wait::lot_waiter& next) {
          owner(m).store(static_cast<int>(next.tag), std::memory_order_relaxed);
          next.given = true;
        },
        [&] {
          if (let_go() == 2) wake_thread(m, operation);
        });
    return;
  }
  if (let_go() != 2) return;
  if (lot::wake(m, 1) != 0) let_go_of = m;
  wake_thread(m, operation);
}

int lock_slow(pthread_mutex_t* m, std::uint32_t me, const limit& until) noexcept {
  scheduler& s = *scheduler::existing();
  recheck again;
  for (;;) {
    wait::lot_waiter w(s);
    w.tag = me;
    const base::nanoseconds deadline = until.deadline(s);
    bool taken = false;
    const auto take = [&] {
      taken = word(m).exchange(2, std::memory_order_seq_cst) == 0;
      return !taken;
    };
    lot::park(m, w, "pthread_mutex", look_again(m, s, again, deadline), wait::mode::uninterruptible, take);
    if (__builtin_expect(wait::about_to_jump(*w.fiber), 0) && !taken) {
      w.given ? release(m) : mutex_unlocked(m);
      return EINTR;
    }
    if (w.given) return 0;
    // At its limit too: a wake-up that came at the same moment was for whoever can take it.
    if (taken || (until.passed() && !take())) break;
    if (until.passed()) return ETIMEDOUT;
  }
  own(m, me);
  return 0;
}

// glibc's trylock (2.36, as before) keeps the word of a robust mutex that it says is not recoverable; its
// lock does not.
void let_go_of_lost(pthread_mutex_t* m, scheduler& s) noexcept {
  int now = word(m).load(std::memory_order_relaxed);
  const auto mine = [&] { return (now & static_cast<int>(FUTEX_TID_MASK)) == s.thread_id(); };
  while (mine() && !word(m).compare_exchange_weak(now, 0, std::memory_order_release)) {
  }
  if (mine() && (now & static_cast<int>(FUTEX_WAITERS)) != 0) wake_thread(m, wake_operation(m));
}

int lock_of_threads(pthread_mutex_t* m, const limit& until) noexcept {
  scheduler& s = *scheduler::existing();
  recheck again;
  for (;;) {
    const int r = sys::real.pthread_mutex_trylock(m);
    if (r == ENOTRECOVERABLE) let_go_of_lost(m, s);
    if (r != EBUSY) return r;
    if (until.passed()) return ETIMEDOUT;
    wait::waiter w(s);
    w.may_be_left = true;
    wait::park_until(w, "pthread_mutex", again.next(s, until.deadline(s)), wait::mode::uninterruptible);
    if (wait::about_to_jump(*w.fiber)) return EINTR;
  }
}

// What a recursive or error-checking mutex says to its owner who wants it again; -1: it is not the owner.
int again(pthread_mutex_t* m, std::uint32_t me, bool trying) noexcept {
  const int t = m->__data.__kind & type;
  if (static_cast<std::uint32_t>(owner(m).load(std::memory_order_relaxed)) != me) return -1;
  if (t == PTHREAD_MUTEX_RECURSIVE_NP) {
    if (m->__data.__count == ~0U) return EAGAIN;
    ++m->__data.__count;
    return 0;
  }
  return trying ? EBUSY : t == PTHREAD_MUTEX_ERRORCHECK_NP ? EDEADLK : -1;
}

}  // namespace

std::uint32_t shared_owner_tag(scheduler& s) noexcept {
  const sched::fiber* f = s.current();
  if (f->has(sched::is_main)) return owner_tag(s);
  return 0x40000000U | static_cast<std::uint32_t>(mixed(process_mark + f->id) & 0x3fffffff);
}

int mutex_lock(pthread_mutex_t* m, const limit& until) noexcept {
  const int kind = m->__data.__kind;
  const std::uint32_t me = tag_for(m);
  if (__builtin_expect(let_go_of == m, 0)) {
    let_go_of = nullptr;
    scheduler::existing()->yield_any();
  }
  if (__builtin_expect(lock_quickly(m, static_cast<int>(me)), 1)) return 0;
  if (__builtin_expect((kind & of_threads) != 0, 0)) return lock_of_threads(m, until);
  if ((kind & type) != 0)
    if (const int r = again(m, me, false); r >= 0) return r;
  int expected = 0;
  if (__builtin_expect(!word(m).compare_exchange_strong(expected, 1, std::memory_order_acquire), 0)) {
    if (const int r = lock_slow(m, me, until); r != 0) return r;
  } else {
    own(m, me);
  }
  if ((kind & type) == PTHREAD_MUTEX_RECURSIVE_NP) m->__data.__count = 1;
  return 0;
}

int mutex_trylock(pthread_mutex_t* m) noexcept {
  const int kind = m->__data.__kind;
  if (__builtin_expect((kind & of_threads) != 0, 0)) return sys::real.pthread_mutex_trylock(m);
  const std::uint32_t me = tag_for(m);
  if ((kind & type) == PTHREAD_MUTEX_RECURSIVE_NP)
    if (const int r = again(m, me, true); r >= 0) return r;
  int expected = 0;
  if (!word(m).compare_exchange_strong(expected, 1, std::memory_order_acquire)) return EBUSY;
  own(m, me);
  if ((kind & type) == PTHREAD_MUTEX_RECURSIVE_NP) m->__data.__count = 1;
  return 0;
}

int mutex_unlock(pthread_mutex_t* m) noexcept {
  if (__builtin_expect(unlock_quickly(m), 1)) return 0;
  const int kind = m->__data.__kind;
  if (__builtin_expect((kind & of_threads) != 0, 0)) return sys::real.pthread_mutex_unlock(m);
  const int t = kind & type;
  if (t == PTHREAD_MUTEX_RECURSIVE_NP || t == PTHREAD_MUTEX_ERRORCHECK_NP) {
    const auto who = static_cast<std::uint32_t>(owner(m).load(std::memory_order_relaxed));
    if (who != tag_for(m)) return EPERM;
    if (t == PTHREAD_MUTEX_RECURSIVE_NP && --m->__data.__count != 0) return 0;
  }
  release(m);
  return 0;
}

void mutex_unlocked(pthread_mutex_t* m) noexcept {
  if (lot::anyone()) lot::wake(m, 1);
}

}  // namespace coir::posix
