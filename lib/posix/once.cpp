// pthread_once, barriers, joining a thread, and futex(2) itself, for fibers.
#include <errno.h>
#include <linux/futex.h>

#include <climits>
#include <mutex>
#include <utility>

#include "posix/locks.hpp"
#include "posix/offload.hpp"
#include "posix/signals.hpp"
#include "sys/categories.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/landing.hpp"
#include "wait/lot.hpp"

namespace coir::posix {
namespace {

using wait::lot;

// libc's states of a pthread_once_t: 0, running (an odd number that counts the process's forks), done.
constexpr int once_done_state = 2;

// What libc writes while an initialiser runs, so that threads that use libc's code understand it: seen by
// letting libc run one. Only a first use comes here, so it is not remembered.
int running_mark() noexcept {
  static constinit thread_local pthread_once_t* probe = nullptr;
  static constinit thread_local int seen = 0;
  pthread_once_t control = PTHREAD_ONCE_INIT;
  probe = &control;
  sys::real.pthread_once(&control, [] { seen = *probe; });
  return seen;
}

void announce(pthread_once_t* control, int state) noexcept {
  std::atomic_ref<int>(*control).store(state, std::memory_order_release);
  sys::raw(SYS_futex, sys::word(control), FUTEX_WAKE_PRIVATE, INT_MAX);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  once_done(control);
}

// std::call_once tells the function that it gives to pthread_once what to call by two words of the thread,
// set before the call and read when the function begins. Others of the thread's fibers set theirs meanwhile,
// so who waits in pthread_once keeps its own.
class callable {
#if defined(__GLIBCXX__) && defined(_GLIBCXX_HAVE_TLS)
 public:
  void put_back() const noexcept {
    std::__once_callable = what_;
    std::__once_call = call_;
  }

 private:
  void* what_ = std::__once_callable;
  void (*call_)() = std::__once_call;
#else
 public:
  void put_back() const noexcept {}
#endif
};

// An initialiser at work, in the frame of its call.
struct at_work {
  pthread_once_t* control;
  const sched::fiber* of;
  at_work* next;

  explicit at_work(pthread_once_t* c) noexcept;
  ~at_work() { unlink(); }
  void unlink() const noexcept;
};
constinit thread_local at_work* initialisers = nullptr;  // those of the thread's fibers

at_work::at_work(pthread_once_t* c) noexcept
    : control(c), of(scheduler::existing()->current()), next(std::exchange(initialisers, this)) {}

void at_work::unlink() const noexcept {
  at_work** link = &initialisers;
  while (*link != this) link = &(*link)->next;
  *link = next;
}

// libc's layout of a barrier.
struct barrier_words {
  unsigned in;     // arrivals of this round
  unsigned round;  // rounds that are over
  unsigned count;
  int shared;
  unsigned out;
};

}  // namespace

int once(pthread_once_t* control, void (*initialise)()) {
  std::atomic_ref<int> state(*control);
  int seen = state.load(std::memory_order_acquire);
  if ((seen & once_done_state) != 0) return 0;
  const int running = running_mark();
  recheck again;  // the initialiser may run in libc's own code, on a thread that does not tell
  for (;;) {
    if ((seen & once_done_state) != 0) return 0;
    if (seen == running) {
      scheduler& s = *scheduler::existing();
      const callable own;
      wait::lot_waiter w(s);
      lot::park(control, w, "pthread_once", again.next(s, base::never), wait::mode::uninterruptible,
                [&] { return state.load(std::memory_order_seq_cst) == running; });
      own.put_back();
      if (__builtin_expect(wait::about_to_jump(*w.fiber), 0)) return EINTR;
      seen = state.load(std::memory_order_acquire);
    } else if (state.compare_exchange_strong(seen, running, std::memory_order_acq_rel)) {
      try {
        const at_work here(control);
        initialise();
      } catch (...) {  // a cancelled thread's unwinding too
        announce(control, 0);
        throw;
      }
      announce(control, once_done_state);
      return 0;
    }
  }
}

void leave_initialisers(const __jmp_buf_tag* to) noexcept {
  if (__builtin_expect(initialisers == nullptr, 1)) return;
  const char* stack = wait::stack_pointer_of(to);
  const sched::fiber* self = scheduler::existing()->current();
  for (const at_work* i = initialisers; i != nullptr;) {
    const at_work* next = i->next;
    if (i->of == self && reinterpret_cast<const char*>(i) < stack) {
      i->unlink();
      announce(i->control, 0);
    }
    i = next;
  }
}

void once_done(pthread_once_t* control) noexcept {
  if (lot::anyone()) lot::wake(control, lot::all);
}

int barrier_wait(pthread_barrier_t* b) noexcept {
  auto* words = reinterpret_cast<barrier_words*>(b);
  if (words->shared != 0 && detail::cooperative == 0) return sys::real.pthread_barrier_wait(b);
  scheduler& s = scheduler::ensure();
  if (words->shared != 0) {
    return static_cast<int>(offload_call(
        s, "pthread_barrier", [b]() -> long { return sys::real.pthread_barrier_wait(b); }, true));
  }
  wait::lot_waiter w(s);
  const bool last = lot::gather(b, w, [words] {
    if (++words->in != words->count) return false;
    words->in = 0;  // as pthread_barrier_destroy expects to find it
    return true;
  });
  if (last) return PTHREAD_BARRIER_SERIAL_THREAD;
  lot::wait(w, "pthread_barrier", base::never, wait::mode::uninterruptible);
  return 0;
}

int join(pthread_t thread, void** result, clockid_t clock, const timespec* until) noexcept {
  if (::pthread_equal(thread, ::pthread_self()) != 0) return EDEADLK;
  if (const int r = ::pthread_tryjoin_np(thread, result); r != EBUSY) return r;
  if (until != nullptr && !limit::valid(*until)) return EINVAL;
  return static_cast<int>(offload_call(
      *scheduler::existing(), "pthread_join",
      [=]() -> long {
        return until == nullptr ? sys::real.pthread_join(thread, result)
                                : sys::real.pthread_clockjoin_np(thread, result, clock, until);
      },
      true));
}

bool futex(long* address, long op, long value, long third, long third_value, long& result) noexcept {
  const long command = op & FUTEX_CMD_MASK;
  if ((command == FUTEX_WAIT_BITSET || command == FUTEX_WAKE_BITSET) && third_value == 0)
    return false;  // the kernel's to refuse
  const bool wakes = command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET;
  if (wakes) {
    if (in_handler()) {
      lot::wake_later(address);
      return false;
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);  // the word was changed before
    if (!lot::anyone()) return false;
    const auto most = static_cast<unsigned>(value > 0 ? value : 1);
    const unsigned woken = lot::wake(address, most);
    result = woken;
    if (woken < most) {
      const long more =
          sys::raw(SYS_futex, sys::word(address), op, static_cast<long>(most - woken), third, 0, third_value);
      if (more > 0) result += more;
    }
    return true;
  }
  if (!sys::cooperative(sys::category::threads) || (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET))
    return false;
  const auto* duration = reinterpret_cast<const timespec*>(third);
  if (address == nullptr || (reinterpret_cast<std::uintptr_t>(address) & 3) != 0) return false;
  if (duration != nullptr && (!limit::valid(*duration) || duration->tv_sec < 0)) return false;
  scheduler& s = *scheduler::existing();
  limit until;
  if (duration != nullptr && command == FUTEX_WAIT) {
    until = limit(CLOCK_MONOTONIC,
                  base::to_timespec(base::add_saturated(s.now(), base::from_timespec(*duration))));
  } else if (duration != nullptr) {
    until = limit((op & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, *duration);
  }
  const std::atomic_ref<std::uint32_t> word(*reinterpret_cast<std::uint32_t*>(address));
  struct may_be_woken_by_a_handler {
    scheduler& of;
    explicit may_be_woken_by_a_handler(scheduler& sched) noexcept : of(sched) { of.external_wait(1); }
    ~may_be_woken_by_a_handler() { of.external_wait(-1); }
  } const during(s);
  bool equal = true;
  recheck again;
  for (;;) {
    wait::lot_waiter w(s);
    const base::nanoseconds deadline = until.deadline(s);
    const bool others = (op & FUTEX_PRIVATE_FLAG) == 0;  // perhaps another process wakes, unheard
    const wait::outcome o = lot::park(
        address, w, "futex", others ? again.next(s, deadline) : deadline, wait::mode::uninterruptible,
        [&] { return word.load(std::memory_order_seq_cst) == static_cast<std::uint32_t>(value); });
    if (__builtin_expect(wait::about_to_jump(*w.fiber), 0)) {
      if (o == wait::outcome::notified) lot::wake(address, 1);
      result = -EINTR;
      return true;
    }
    if (o == wait::outcome::none) {
      result = equal ? -EAGAIN : 0;
      return true;
    }
    if (o == wait::outcome::notified) result = 0;
    if (o != wait::outcome::notified && !until.passed()) {
      equal = false;  // it was at first; another value now is as good as a wake-up
      continue;
    }
    if (o != wait::outcome::notified) result = -ETIMEDOUT;
    return true;
  }
}

}  // namespace coir::posix
