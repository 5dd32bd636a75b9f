// Signals as calls of ordinary functions. The kernel's handler only notes which signal came, and posts to the
// mailbox of each thread that wants it; there a fiber makes the call.
//
// A handler may run on any thread, but a mailbox is pushed to from its own thread's handlers only, so the
// signal is sent on to each other thread that wants it. What was sent on is told by a bit in its `forwarded`.
// I1: a station is never freed, and in the list for ever; a later thread may have it. So handlers walk the
// list
//     without a lock.
// I2: `lock` guards the lists of subscriptions and `actions`; handlers do not take it.
#include "coir/on_signal.hpp"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

#include "base/list.hpp"
#include "base/raw.hpp"
#include "base/signal_bits.hpp"
#include "coir/detail/context.hpp"
#include "coir/fiber.hpp"
#include "task/data.hpp"
#include "task/life.hpp"
#include "task/report.hpp"
#include "wait/interrupt.hpp"

namespace coir::detail {

namespace {
struct station;
}

class signal_subscription : public base::list_node, public std::enable_shared_from_this<signal_subscription> {
 public:
  signal_subscription(int number, std::function<void(int)> function)
      : signal(number), f(std::move(function)), seen(context::of_caller()) {}

  const int signal;
  const std::function<void(int)> f;
  const context seen;
  std::atomic<bool> ended{false};
  // guarded by lock
  bool due = false;
  station* home = nullptr;
  // the thread's own
  bool running = false;
  bool again = false;
};

using base::bit;

namespace {

// What a thread has that wants signals.
struct station : base::inbox_node {
  std::atomic<std::uint64_t> wanted{0};
  std::atomic<std::uint64_t> come{0};
  std::atomic<std::uint64_t> forwarded{0};
  std::atomic<bool> posted{false};
  std::atomic<int> thread{0};  // tid; 0: nobody's
  sched::mailbox* mail = nullptr;
  std::uint64_t mail_generation = 0;
  base::list<signal_subscription> subscriptions;
  station* next = nullptr;
};

// What is done with a signal while anybody subscribes to it.
struct action {
  unsigned subscriptions = 0;
  struct sigaction before = {};
  // the function that was there: one of them, or none
  std::atomic<void (*)(int)> chained{nullptr};
  std::atomic<void (*)(int, siginfo_t*, void*)> chained_with_info{nullptr};
};

constinit spin_lock lock;
std::atomic<station*> stations{nullptr};
action actions[NSIG];
// The signals whose former handlers are running, and the frame of the last of them. A handler may be left by
// a jump, so both may be of one that runs no more.
constinit thread_local volatile std::uint64_t chaining __attribute__((tls_model("initial-exec"))) = 0;
constinit thread_local const char* volatile chaining_from __attribute__((tls_model("initial-exec"))) =
    nullptr;
constinit thread_local station* mine __attribute__((tls_model("initial-exec"))) = nullptr;

// --- in signal handlers ---

void notify(station& own, int number) noexcept {
  own.come.fetch_or(bit(number), std::memory_order_acq_rel);
  sched::scheduler* s = sched::scheduler::existing();
  if (s == nullptr) return;
  s->note_own_handler();
  // acq_rel: pairs with deliver, which sees what came before
  if (!own.posted.exchange(true, std::memory_order_acq_rel)) s->mail().push_from_handler(&own);
}

// `here`: the frame of `handle`. acquire: pairs with install_locked
void run_chained(const char* here, int number, siginfo_t* info, void* context) noexcept {
  const action& a = actions[number];
  const char* const before = chaining_from;
  chaining = chaining | bit(number);
  chaining_from = here;
  if (const auto f = a.chained_with_info.load(std::memory_order_acquire)) f(number, info, context);
  if (const auto f = a.chained.load(std::memory_order_acquire)) f(number);
  chaining_from = before;
  chaining = chaining & ~bit(number);
}

// Whether it was a former handler that called, taking this one for what was there before it: with what it was
// given itself, while the kernel puts a context right above the frame of the call that it is for.
bool is_called_back(const char* here, int number, const void* context) noexcept {
  const char* const outer = chaining_from;
  const auto* made = static_cast<const char*>(context);
  return (chaining & bit(number)) != 0 && here < outer && !(here < made && made < outer);
}

void handle(int number, siginfo_t* info, void* context) {
  const auto* here = static_cast<const char*>(__builtin_frame_address(0));
  if (is_called_back(here, number, context)) return;
  const int saved = errno;
  station* own = mine;
  if (own != nullptr &&
      (own->forwarded.fetch_and(~bit(number), std::memory_order_acq_rel) & bit(number)) != 0) {
    notify(*own, number);
    errno = saved;
    return;
  }
  for (station* t = stations.load(std::memory_order_acquire); t != nullptr; t = t->next) {
    if ((t->wanted.load(std::memory_order_acquire) & bit(number)) == 0) continue;
    if (t == own) {
      notify(*t, number);
      continue;
    }
    t->forwarded.fetch_or(bit(number), std::memory_order_acq_rel);
    if (base::raw(SYS_tgkill, base::raw(SYS_getpid), t->thread.load(std::memory_order_relaxed), number) != 0)
      t->forwarded.fetch_and(~bit(number), std::memory_order_acq_rel);
  }
  run_chained(here, number, info, context);  // last: it may be left by a jump
  errno = saved;
}

// --- with `lock` held ---

bool is_function(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) != 0 || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
}

bool is_installed(int number) noexcept {
  struct sigaction now;
  return ::sigaction(number, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
         now.sa_sigaction == handle;
}

void uninstall_locked(int number) noexcept {
  action& a = actions[number];
  if (--a.subscriptions != 0) return;
  if (is_installed(number)) ::sigaction(number, &a.before, nullptr);
  sched::silent_signals.fetch_and(~bit(number));
}

void refresh_locked(station& t) noexcept {
  std::uint64_t wanted = 0;
  for (auto* s = t.subscriptions.front(); s != nullptr; s = t.subscriptions.after(s))
    wanted |= bit(s->signal);
  t.wanted.store(wanted, std::memory_order_release);
}

void enter_locked(station& t, signal_subscription& s) {
  t.subscriptions.push_back(&s);
  s.home = &t;
  refresh_locked(t);
}

void leave_locked(signal_subscription& s) noexcept {
  if (!s.linked()) return;
  s.ended.store(true, std::memory_order_relaxed);
  s.due = false;
  s.unlink();
  refresh_locked(*s.home);
  uninstall_locked(s.signal);
}

void install_locked(signal_subscription& s) {
  const int number = s.signal;
  action& a = actions[number];
  if (a.subscriptions++ != 0 && is_installed(number)) return;
  if (::sigaction(number, nullptr, &a.before) != 0) {
    leave_locked(s);
    throw std::invalid_argument("coir::on_signal: signal=" + std::to_string(number) +
                                ": the kernel refuses it");
  }
  const bool chains = is_function(a.before);
  struct sigaction now = {};
  now.sa_sigaction = handle;
  now.sa_flags = SA_SIGINFO | (chains ? a.before.sa_flags & SA_RESTART : SA_RESTART) |
                 (a.before.sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_ONSTACK));
  if (chains)
    now.sa_mask = a.before.sa_mask;
  else
    sigemptyset(&now.sa_mask);
  if (number == SIGCHLD && !chains && a.before.sa_handler == SIG_IGN) now.sa_flags |= SA_NOCLDWAIT;
  const bool with_info = (a.before.sa_flags & SA_SIGINFO) != 0;
  a.chained.store(chains && !with_info ? a.before.sa_handler : nullptr, std::memory_order_release);
  a.chained_with_info.store(with_info ? a.before.sa_sigaction : nullptr, std::memory_order_release);
  if (chains)
    sched::silent_signals.fetch_and(~bit(number));
  else
    sched::silent_signals.fetch_or(bit(number));
  ::sigaction(number, &now, nullptr);
}

// On the thread: whether a signal may have a call made here, so that its calls must be such as can be
// interrupted.
void cooperate(const station& t) noexcept {
  if (sched::scheduler* s = sched::scheduler::existing())
    s->cooperate(sched::scheduler::handlers, t.wanted.load(std::memory_order_relaxed) != 0);
}

// When the last subscription is ended by another thread.
void have_cooperate_locked(station& t) noexcept {
  if (t.thread.load(std::memory_order_relaxed) == 0 || t.wanted.load(std::memory_order_relaxed) != 0) return;
  // acq_rel: pairs with deliver
  if (!t.posted.exchange(true, std::memory_order_acq_rel) && !t.mail->post(&t, t.mail_generation))
    t.posted.store(false, std::memory_order_release);
}

void close_locked(station& t) noexcept {
  while (signal_subscription* s = t.subscriptions.front()) leave_locked(*s);
  t.thread.store(0, std::memory_order_relaxed);
}

// --- on the thread ---

// The fiber that makes the calls of a subscription.
class caller {
 public:
  explicit caller(std::shared_ptr<signal_subscription> s) noexcept : for_(std::move(s)) {}
  caller(caller&&) noexcept = default;
  ~caller() {
    if (for_ == nullptr || !for_->running) return;
    for_->running = false;
    if (for_->again && !for_->ended) start(for_);  // its function threw meanwhile
  }
  void operator()() {
    do {
      for_->again = false;
      for_->f(for_->signal);
    } while (for_->again && !for_->ended);
  }

  static void start(const std::shared_ptr<signal_subscription>& s) noexcept {
    if (s->running) {
      s->again = true;
      return;
    }
    sched::scheduler* here = sched::scheduler::existing();
    if (here == nullptr || here->ending()) return;
    s->again = false;
    try {
      const fiber<void> f = spawn(attributes{.name = "on_signal"}, caller(s));
      here->disinherit(sched::record(f.base()));
      task::give_values(*sched::record(f.base()), s->seen);
      s->running = true;
    } catch (...) {
      task::report_exception(std::current_exception(),
                             "making a fiber for signal " + std::to_string(s->signal));
    }
  }

 private:
  std::shared_ptr<signal_subscription> for_;
};

void deliver(base::inbox_node* node) noexcept {
  auto* t = static_cast<station*>(node);
  t->posted.exchange(false, std::memory_order_acq_rel);  // pairs with notify
  const std::uint64_t come = t->come.exchange(0, std::memory_order_acq_rel);
  lock.lock();
  for (auto* s = t->subscriptions.front(); s != nullptr; s = t->subscriptions.after(s))
    if ((come & bit(s->signal)) != 0) s->due = true;
  lock.unlock();
  for (;;) {
    std::shared_ptr<signal_subscription> due;
    lock.lock();
    auto* s = t->subscriptions.front();
    while (s != nullptr && !s->due) s = t->subscriptions.after(s);
    if (s != nullptr) {
      s->due = false;
      due = s->shared_from_this();
    }
    lock.unlock();
    if (due == nullptr) return cooperate(*t);
    caller::start(due);
  }
}

station& station_of(sched::scheduler& s) {
  if (mine != nullptr) return *mine;
  struct leaving {
    ~leaving() {
      const std::lock_guard held(lock);
      close_locked(*mine);
      mine = nullptr;
    }
  };
  auto fresh = std::make_unique<station>();
  lock.lock();
  station* t = stations.load(std::memory_order_relaxed);
  while (t != nullptr && (t->thread.load(std::memory_order_relaxed) != 0 || t->posted.load())) t = t->next;
  if (t == nullptr) {
    t = fresh.release();
    t->deliver = deliver;
    t->next = stations.load(std::memory_order_relaxed);
    stations.store(t, std::memory_order_release);
  }
  t->come.store(0, std::memory_order_relaxed);
  t->forwarded.store(0, std::memory_order_relaxed);
  t->thread.store(s.thread_id(), std::memory_order_relaxed);
  t->mail = &s.mail();
  t->mail_generation = t->mail->generation();
  lock.unlock();
  mine = t;
  static thread_local leaving at_end;
  (void)&at_end;
  return *t;
}

// In the child of a fork, with `lock` held: other threads' subscriptions end.
void forked_locked() noexcept {
  for (station* t = stations.load(std::memory_order_relaxed); t != nullptr; t = t->next) {
    t->posted.store(false, std::memory_order_relaxed);  // mailboxes were emptied
    t->come.store(0, std::memory_order_relaxed);
    t->forwarded.store(0, std::memory_order_relaxed);
    if (t != mine) {
      close_locked(*t);
      continue;
    }
    t->thread.store(static_cast<int>(base::raw(SYS_gettid)), std::memory_order_relaxed);
    for (auto* s = t->subscriptions.front(); s != nullptr; s = t->subscriptions.after(s))
      s->running = s->again = false;  // the fiber that calls is the parent's
  }
}

const bool subscriptions_told_at_fork =
    ::pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); }, [] { lock.unlock(); }) == 0;

void check_signal(int number) {
  const char* name = number > 0 && number < NSIG ? ::sigabbrev_np(number) : nullptr;
  const std::string what = "coir::on_signal: signal=" + std::to_string(number) +
                           (name != nullptr ? " (SIG" + std::string(name) + ")" : "") + ": expected ";
  if (number <= 0 || number >= NSIG || (number > SIGSYS && number < SIGRTMIN))
    throw std::invalid_argument(what + "1 to 31, or SIGRTMIN to SIGRTMAX");
  if (number == SIGKILL || number == SIGSTOP) throw std::invalid_argument(what + "one that can be caught");
  if ((base::error_signals & bit(number)) != 0)
    throw std::invalid_argument(what + "one that does not tell of an error in the running code");
}

}  // namespace
}  // namespace coir::detail

namespace coir::task {

void mail_lost() noexcept {
  detail::forked_locked();
}

bool deadlock(sched::scheduler& s) noexcept {
  const detail::station* t = detail::mine;
  return (t == nullptr || t->wanted.load(std::memory_order_relaxed) == 0) && wait::on_deadlock(s);
}

}  // namespace coir::task

namespace coir {

signal_handle::signal_handle() noexcept = default;
signal_handle::signal_handle(signal_handle&&) noexcept = default;
signal_handle::signal_handle(std::shared_ptr<detail::signal_subscription> s) noexcept
    : subscription_(std::move(s)) {}

signal_handle& signal_handle::operator=(signal_handle&& other) noexcept {
  signal_handle(std::move(other)).subscription_.swap(subscription_);
  return *this;
}

signal_handle::~signal_handle() {
  if (subscription_ == nullptr) return;
  const std::lock_guard held(detail::lock);
  detail::leave_locked(*subscription_);
  detail::station* of = subscription_->home;
  if (of == detail::mine)
    detail::cooperate(*of);
  else
    detail::have_cooperate_locked(*of);
}

signal_handle on_signal(int signal, std::function<void(int)> f) {
  detail::check_signal(signal);
  if (f == nullptr) throw std::invalid_argument("coir::on_signal: f=empty: expected a function");
  sched::scheduler& s = sched::scheduler::ensure();
  if (s.guest() != nullptr)
    throw std::logic_error(
        "coir::on_signal: this thread runs Boost.Fiber (use_coir): expected fibers of coir");
  auto fresh = std::make_shared<detail::signal_subscription>(signal, std::move(f));
  detail::station& t = detail::station_of(s);
  const std::lock_guard held(detail::lock);
  detail::enter_locked(t, *fresh);  // first: it may come at once
  detail::install_locked(*fresh);
  detail::cooperate(t);
  return signal_handle(std::move(fresh));
}

}  // namespace coir
