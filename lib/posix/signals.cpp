#include "posix/signals.hpp"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/signalfd.h>
#include <ucontext.h>

#include <utility>

#include "base/signal_bits.hpp"
#include "posix/audit.hpp"
#include "posix/close.hpp"
#include "posix/patience.hpp"
#include "sys/categories.hpp"
#include "sys/raw.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"
#include "wait/lot.hpp"

extern "C" [[gnu::weak]] void __asan_handle_no_return();

namespace coir::posix {
namespace {

using handler = void (*)(int, siginfo_t*, void*);

// The program's handlers. An entry outlives its handler: what is replaced may still be about to run.
struct entry {
  std::atomic<handler> run{nullptr};
  std::atomic<int> flags{0};
};
entry table[NSIG];

std::atomic<std::uint64_t> interrupting{0};  // by siginterrupt: signal() installs without SA_RESTART
std::atomic<bool> installs{true};

// A handler of the program's that runs on this thread, in the frame of the one of coir's that called it.
struct running_handler {
  running_handler* outer;
  std::uint32_t off;
  const char* interrupted_stack;  // null: not known
  std::uint64_t interrupted_mask;
  bool fault;     // of the running code, which would only fault again
  jmp_buf leave;  // back to where it was called, as if it had returned

  running_handler(bool is_fault, const void* context) noexcept;
  ~running_handler();  // also when the handler is left by an exception
  running_handler(const running_handler&) = delete;
  running_handler& operator=(const running_handler&) = delete;
};
constinit thread_local running_handler* innermost __attribute__((tls_model("initial-exec"))) = nullptr;

running_handler::running_handler(bool is_fault, const void* context) noexcept
    : outer(innermost), off(std::exchange(detail::patch_off, sys::all_categories)), fault(is_fault) {
  const auto& c = *static_cast<const ucontext_t*>(context);
#ifdef __x86_64__
  interrupted_stack = reinterpret_cast<const char*>(c.uc_mcontext.gregs[REG_RSP]);
#else
  interrupted_stack = nullptr;
#endif
  interrupted_mask = *reinterpret_cast<const std::uint64_t*>(&c.uc_sigmask);
  innermost = this;
}
running_handler::~running_handler() {
  innermost = outer;
  detail::patch_off = off;
}

// Whether the signal was meant for what the handler interrupted, and for no other fiber.
bool is_own(int number, const siginfo_t& info) noexcept {
  if ((base::error_signals & base::bit(number)) != 0) return info.si_code > 0;
  switch (number) {
    case SIGPIPE:
    case SIGPROF:  // of the time that the thread worked
    case SIGVTALRM:
    case SIGXCPU:
      return true;
    default:
      return info.si_code == SI_TKILL;
  }
}

// False if it was left by a jump, which is to be made elsewhere.
bool run_to_its_end(const entry& e, int number, siginfo_t* info, void* context) {
  const bool fault = (base::error_signals & base::bit(number)) != 0 && info->si_code > 0;
  running_handler during(fault, context);
  if (_setjmp(during.leave) != 0) return false;
  e.run.load(std::memory_order_acquire)(number, info, context);
  return true;
}

// What the kernel runs.
void run_handler(int number, siginfo_t* info, void* context) {
  const entry& e = table[number];
  const bool jumps = !run_to_its_end(e, number, info, context);
  scheduler* s = scheduler::existing();
  if (s == nullptr) return wait::lot::wake_late_on_plain_thread();
  if (jumps) {
    s->note_own_handler();
    return s->note_handler(0, true);
  }
  if ((sched::silent_signals.load(std::memory_order_relaxed) >> (number - 1) & 1) != 0) number = 0;
  // A signal that finds a fiber at work has interrupted no call, if it was meant for this fiber, or for the
  // main one, whose signals come first. Otherwise it is for one that waits.
  if (number != 0 && !s->idle() && (s->own_current() == &s->main() || is_own(number, *info))) number = 0;
  if (number == 0 && !wait::lot::has_late()) return;
  s->note_handler(number, (e.flags.load(std::memory_order_relaxed) & SA_RESTART) != 0);
}

bool is_handler(const struct sigaction& a) noexcept {
  return a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN && a.sa_handler != SIG_ERR;
}

bool is_ours(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) != 0 && a.sa_sigaction == run_handler;
}

}  // namespace

int sigaction(int number, const struct sigaction* now, struct sigaction* before) noexcept {
  if (number <= 0 || number >= NSIG || (now == nullptr && before == nullptr))
    return sys::real.sigaction(number, now, before);
  if (audits_by(number)) {  // the program's own is never run
    if (before != nullptr) *before = {};
    return 0;
  }
  // The child of a vfork changes its own handlers, but this table would be its parent's.
  if (now != nullptr && in_vfork_child()) return sys::real.sigaction(number, now, before);
  entry& e = table[number];
  const handler old_run = e.run.load(std::memory_order_acquire);
  const int old_flags = e.flags.load(std::memory_order_relaxed);
  struct sigaction wrapped, old;
  if (now != nullptr && is_handler(*now) && installs.load(std::memory_order_relaxed)) {
    wrapped = *now;
    if (now->sa_sigaction == run_handler) {  // a call that is not patched told of it: what it runs stays
      const int wants_info = old_flags & SA_SIGINFO;
      e.flags.store((now->sa_flags & ~SA_SIGINFO) | wants_info, std::memory_order_relaxed);
    } else {
      e.flags.store(now->sa_flags, std::memory_order_relaxed);
      e.run.store(now->sa_sigaction, std::memory_order_release);
    }
    wrapped.sa_sigaction = run_handler;
    sched::in_handler.store(in_handler, std::memory_order_relaxed);
    sched::telling_handler.store(reinterpret_cast<void*>(run_handler), std::memory_order_release);
    wrapped.sa_flags |= SA_SIGINFO;
    *reinterpret_cast<std::uint64_t*>(&wrapped.sa_mask) &= ~sched::never_blocked;
    now = &wrapped;
  } else if (now != nullptr) {
    e.flags.store(0, std::memory_order_relaxed);
  }
  const int r = context::exchange_action(number, now, &old);
  if (r != 0) {
    e.flags.store(old_flags, std::memory_order_relaxed);
    e.run.store(old_run, std::memory_order_release);
  }
  if (r != 0 || before == nullptr) return r;
  if (is_ours(old)) {
    old.sa_sigaction = old_run;
    if ((old_flags & SA_SIGINFO) == 0) old.sa_flags &= ~SA_SIGINFO;
  } else if (old.sa_handler == SIG_DFL && (old_flags & static_cast<int>(SA_RESETHAND)) != 0) {
    if ((old_flags & SA_SIGINFO) == 0) old.sa_flags &= ~SA_SIGINFO;  // the kernel's own doing
  }
  *before = old;
  return r;
}

sighandler_t signal(int number, sighandler_t run) noexcept {
  struct sigaction now = {}, before;
  if (run == SIG_ERR || number <= 0 || number >= NSIG) {
    errno = EINVAL;
    return SIG_ERR;
  }
  now.sa_handler = run;
  sigemptyset(&now.sa_mask);
  sigaddset(&now.sa_mask, number);
  now.sa_flags = (interrupting.load(std::memory_order_relaxed) >> (number - 1) & 1) != 0 ? 0 : SA_RESTART;
  return posix::sigaction(number, &now, &before) == 0 ? before.sa_handler : SIG_ERR;
}

int siginterrupt(int number, int interrupts) noexcept {
  struct sigaction a;
  if (posix::sigaction(number, nullptr, &a) != 0) return -1;
  const std::uint64_t bit = base::bit(number);
  if (interrupts != 0)
    interrupting.fetch_or(bit, std::memory_order_relaxed);
  else
    interrupting.fetch_and(~bit, std::memory_order_relaxed);
  a.sa_flags = interrupts != 0 ? a.sa_flags & ~SA_RESTART : a.sa_flags | SA_RESTART;
  return posix::sigaction(number, &a, nullptr);
}

int sigaltstack(const stack_t* now, stack_t* before) noexcept {
  return context::exchange_alternate_stack(now, before);
}

bool in_handler() noexcept {
  return innermost != nullptr;
}

namespace {

// The handlers that a jump there, from `from`, leaves: whose frames lie below. Sets `innermost` to the one
// that is left last; null: it leaves none.
const running_handler* left_last(const char* from, const char* to) noexcept {
  const running_handler* last = nullptr;
  for (running_handler* h = innermost; h != nullptr; h = h->outer) {
    const char* frame = reinterpret_cast<const char*>(h);
    if (to != nullptr && to >= from && to < frame) break;  // made in this handler, or in what it calls
    last = h;
    from = h->interrupted_stack;
  }
  return last;
}

int handlers_from(const running_handler* last) noexcept {
  int n = 1;
  for (const running_handler* h = innermost; h != last; h = h->outer) ++n;
  return n;
}

std::uint64_t mask_of_thread() noexcept {
  std::uint64_t mask = 0;
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, 0, sys::word(&mask), sizeof mask);
  return mask;
}

}  // namespace

bool about_to_jump() noexcept {
  return wait::about_to_jump(*scheduler::existing()->current());
}

void note_patch_code(wait::code_range code) noexcept {
  wait::note_code(code);
}

void leave_handler(__jmp_buf_tag* to, int value, void (*make)(const wait::jump& j) noexcept) noexcept {
  if (innermost == nullptr) return;
  const char* stack = wait::stack_pointer_of(to);
  const running_handler* last = left_last(static_cast<const char*>(__builtin_frame_address(0)), stack);
  if (last == nullptr) return;
  const auto go_now = [last] {
    innermost = last->outer;
    detail::patch_off = last->off;
  };
  scheduler* s = scheduler::existing();
  if (s == nullptr) {
    go_now();
    return wait::lot::wake_late_on_plain_thread();
  }
  if (last->outer != nullptr) return go_now();  // it goes on in a handler
  const bool own = s->guest() == nullptr && wait::can_land();
  sched::fiber* f = own ? wait::whose_stack(*s, stack) : nullptr;
  if (f == nullptr && s->idle() && !last->fault) wait::refuse_jump(*s->own_current());
  const bool at_work = !s->idle() && (f == nullptr || f == s->own_current());
  const int handlers = handlers_from(last);
  if (last->fault || (at_work && (f == nullptr || wait::direct_call::can_be_left(stack) ||
                                  !wait::leaves_coir(stack, handlers, false)))) {
    go_now();
    wait::direct_call::left(stack);
    s->switch_patch_off(0);
    if (wait::lot::has_late()) s->note_handler(0, true);
    return;
  }
  const std::uint64_t blocks = to->__mask_was_saved != 0 ? 0 : mask_of_thread() & ~last->interrupted_mask;
  wait::note({.of = f, .to = to, .value = value, .blocks = blocks, .make = make});
  if (at_work) wait::leaves_coir(stack, handlers, true);
  innermost = const_cast<running_handler*>(last);
  if (&__asan_handle_no_return != nullptr) __asan_handle_no_return();
  sys::real.siglongjmp(innermost->leave, 1);
}

void leave_handlers_alone() noexcept {
  installs.store(false, std::memory_order_relaxed);
}

bool has_masks_of_fibers() noexcept {
  scheduler* s = scheduler::existing();
  if (s == nullptr || in_handler()) return false;
  return (detail::cooperative != 0 || s->own_current()->has_signal_mask) && !in_vfork_child();
}

int change_mask(int how, const sigset_t* set, sigset_t* before) noexcept {
  return static_cast<int>(-scheduler::existing()->change_signal_mask(
      how, reinterpret_cast<const std::uint64_t*>(set), reinterpret_cast<std::uint64_t*>(before)));
}

int sigsuspend(const sigset_t* mask) noexcept {
  scheduler& s = *scheduler::existing();
  if (const int error = wait::interrupt_errno(*s.current())) return static_cast<int>(answer(-error));
  if (lets_signal_through(mask)) return static_cast<int>(answer(-EINTR));
  const masked during(mask);
  wait::waiter w(s);
  w.ended_by = wait::ending_handlers::all;
  w.mask = during.mask();
  s.external_wait(1);
  const wait::outcome o = wait::park(w, "sigsuspend");
  s.external_wait(-1);
  return static_cast<int>(answer(-wait::error_of(o, *s.current())));
}

bool lets_signal_through(const sigset_t* mask) noexcept {
  if (mask == nullptr) return false;
  scheduler& s = *scheduler::existing();
  const scheduler::handled others = s.take_handled();
  timespec none = {};
  const bool one = sys::raw(SYS_ppoll, 0, 0, sys::word(&none), sys::word(mask), 8) == -EINTR;
  if (one) s.take_handled();
  s.put_back(others);
  return one;
}

namespace {

// The signals that a fiber of this thread waits for, while it does.
class awaited {
 public:
  explicit awaited(const sigset_t& set) noexcept : set_(*reinterpret_cast<const std::uint64_t*>(&set)) {
    next_ = first;
    first = this;
    apply();
  }
  ~awaited() {
    awaited** at = &first;
    while (*at != this) at = &(*at)->next_;
    *at = next_;
    apply();
  }
  static void forget() noexcept { first = nullptr; }  // in the child of a fork
  awaited(const awaited&) = delete;
  awaited& operator=(const awaited&) = delete;

 private:
  static void apply() noexcept {
    std::uint64_t all = 0;
    for (const awaited* a = first; a != nullptr; a = a->next_) all |= a->set_;
    scheduler::existing()->await_signals(all);
  }
  static inline thread_local awaited* first = nullptr;

  std::uint64_t set_;
  awaited* next_;
};

}  // namespace

long wait_for_signal(const sigset_t* set, siginfo_t* info, const timespec* duration,
                     const char* name) noexcept {
  scheduler& s = *scheduler::existing();
  const timespec none = {};
  const auto take = [&] {
    return sys::raw(SYS_rt_sigtimedwait, sys::word(set), sys::word(info), sys::word(&none), 8);
  };
  if (duration != nullptr && (duration->tv_sec < 0 || !limit::valid(*duration))) return -EINVAL;
  const base::nanoseconds deadline =
      duration == nullptr ? base::never : base::add_saturated(s.now(), base::from_timespec(*duration));
  long r = take();
  if (r != -EAGAIN || (duration != nullptr && deadline <= s.now())) return r;
  const int fd = ::signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0 && errno != EMFILE && errno != ENFILE) return -errno;
  if (fd < 0) {  // then only looking tells
    const awaited during(*set);
    recheck again;
    for (;;) {
      if (const int error = wait::interrupt_errno(*s.current())) return -error;
      wait::waiter w(s);
      w.ended_by = wait::ending_handlers::all_and_stops;
      const wait::outcome o = wait::park_until(w, name, again.next(s, deadline));
      r = take();
      const int error = wait::error_of(o, *s.current());
      if (r != -EAGAIN || s.now() >= deadline) return r;
      if (error != 0 && o != wait::outcome::timed_out) return -error;
    }
  }
  call c(fd, name);
  if (c.state == nullptr) {
    posix::close(fd);
    return -EMFILE;
  }
  c.ends_by_signal = true;
  const awaited during(*set);
  do {
    const long w = wait_ready(c, direction::in, deadline, false);
    r = take();  // also at the deadline
    if (r == -EAGAIN && w < 0) r = w;
  } while (r == -EAGAIN && s.now() < deadline);
  posix::close(fd);
  return r;
}

thread_local masked* masked::innermost = nullptr;

const bool masked::told_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
                                    innermost = nullptr;
                                    awaited::forget();
                                  }) == 0;

masked::masked(const sigset_t* mask) noexcept : active_(mask != nullptr) {
  if (!active_) return;
  mask_ = *reinterpret_cast<const std::uint64_t*>(mask);  // the kernel's part of it
  next_ = innermost;
  innermost = this;
  apply();
}

masked::~masked() {
  if (!active_) return;
  masked** at = &innermost;
  while (*at != this) at = &(*at)->next_;
  *at = next_;
  apply();
}

void masked::apply() noexcept {
  std::uint64_t all = ~std::uint64_t{0};
  for (const masked* m = innermost; m != nullptr; m = m->next_) all &= m->mask_;
  scheduler::existing()->overlay_signal_mask(innermost != nullptr ? &all : nullptr);
}

}  // namespace coir::posix
