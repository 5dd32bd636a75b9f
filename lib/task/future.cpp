#include <pthread.h>

#include <atomic>
#include <future>
#include <memory>
#include <utility>

#include "coir/detail/future_core.hpp"
#include "coir/timeout.hpp"
#include "task/report.hpp"
#include "wait/interrupt.hpp"

namespace coir::detail {
namespace {

constinit std::atomic<std::uint32_t> forks_seen{0};
const bool futures_told_at_fork =
    ::pthread_atfork(nullptr, nullptr, [] { forks_seen.fetch_add(1, std::memory_order_relaxed); }) == 0;

}  // namespace

std::uint32_t forks() noexcept {
  return forks_seen.load(std::memory_order_relaxed);
}

struct future_core::link {
  void (*run)(void* context);
  void (*drop)(void* context) noexcept;
  void* context;
  link* next = nullptr;
  link* prev = nullptr;
  bool taken = false;  // to be run

  void call() noexcept {
    run(context);
    drop(context);
  }
};

struct future_core::callback {
  void (*run)(void* context);
  void (*drop)(void* context) noexcept;
  void* context;
  std::uint64_t id;
  callback* next = nullptr;

  void call() noexcept {
    try {
      run(context);
    } catch (...) {
      task::report_exception(std::current_exception(), "a callback of a future");
    }
    drop(context);
  }
};

// Who calls callbacks, in a frame of his: those of futures that they make ready come after them, because a
// chain of futures may be longer than a stack is deep. Others that wait in a callback on the same thread have
// frames of their own.
struct future_core::caller {
  const void* const who = itself();
  std::shared_ptr<future_core> first;
  future_core* last = nullptr;
  caller* outer;

  static caller*& innermost() noexcept {
    static constinit thread_local caller* here __attribute__((tls_model("initial-exec"))) = nullptr;
    return here;
  }
  // The calling fiber; of a thread that has none, the thread.
  static const void* itself() noexcept {
    sched::scheduler* s = sched::scheduler::existing();
    return s != nullptr ? static_cast<const void*>(s->current()) : &running;
  }
  // The one in a frame of the caller's.
  static caller* below() noexcept {
    caller* c = innermost();
    while (c != nullptr && c->who != itself()) c = c->outer;
    return c;
  }

  caller() noexcept : outer(innermost()) { innermost() = this; }
  ~caller() {
    caller** at = &innermost();
    while (*at != this) at = &(*at)->outer;
    *at = outer;
  }
  caller(const caller&) = delete;
  caller& operator=(const caller&) = delete;

  void push(std::shared_ptr<future_core> f) noexcept {
    future_core* added = f.get();
    (last != nullptr ? last->next_called_ : first) = std::move(f);
    last = added;
  }
  std::shared_ptr<future_core> pop() noexcept {
    std::shared_ptr<future_core> f = std::move(first);
    if (f == nullptr) return f;
    first = std::move(f->next_called_);
    if (first == nullptr) last = nullptr;
    return f;
  }
};

future_core::~future_core() {
  for (std::unique_ptr<link> l(first_); l != nullptr; l.reset(l->next))
    if (!l->taken) l->drop(l->context);
  for (std::unique_ptr<callback> c(first_callback_); c != nullptr; c.reset(c->next)) c->drop(c->context);
}

// What is ready need not be waited for. Who has made it holds a reference, so that it may still be inside
// `set`.
void future_core::wait() {
  assist();
  if (ready.is_set()) return wait::pass_by(sched::scheduler::ensure());
  ready.wait();
}

bool future_core::wait_until(std::int64_t deadline_ns) {
  if (!is_over()) return ready.wait_until_ns(deadline_ns);
  wait::pass_by(sched::scheduler::ensure());
  return true;
}

bool future_core::claim() {
  if (leave_open(claimed)) return true;
  if (state_.load(std::memory_order_acquire) == cancelled) return false;
  throw std::future_error(std::future_errc::promise_already_satisfied);
}

void future_core::finish() noexcept {
  ready.set();
  lock_.lock();
  running_ = true;
  running_in_ = forks();
  for (link* l = first_; l != nullptr; l = l->next) {
    l->taken = true;
    lock_.unlock();
    l->call();
    lock_.lock();
  }
  closed_ = true;
  std::unique_ptr<link> l(std::exchange(first_, nullptr));
  const bool calls = first_callback_ != nullptr && begin_calling_locked();
  lock_.unlock();
  while (l != nullptr) l.reset(l->next);
  if (calls) call_back();
}

// Those that run in the parent of this process never come to an end here.
bool future_core::begin_calling_locked() noexcept {
  if (calling_ && calling_in_ == forks()) return false;
  calling_ = true;
  calling_in_ = forks();
  return true;
}

void future_core::call_back() noexcept {
  std::shared_ptr<future_core> self = weak_from_this().lock();
  if (caller* c = self != nullptr ? caller::below() : nullptr) return c->push(std::move(self));
  caller here;
  call_all();
  while (const std::shared_ptr<future_core> next = here.pop()) next->call_all();
}

void future_core::call_all() noexcept {
  for (;;) {
    lock_.lock();
    const std::unique_ptr<callback> c(first_callback_);
    if (c != nullptr) first_callback_ = c->next;
    if (first_callback_ == nullptr) last_callback_ = nullptr;
    calling_ = c != nullptr;
    lock_.unlock();
    if (c == nullptr) return;
    c->call();
  }
}

void future_core::break_off() noexcept {
  // Whatever it is: another thread of the parent may have been about to end it.
  state now = state_.load(std::memory_order_acquire);
  do {
    if (now == broken) return;
  } while (!state_.compare_exchange_weak(now, broken, std::memory_order_acq_rel));
  error = std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
  error_seen.store(true, std::memory_order_relaxed);  // not thrown by anything here
  finish();
}

bool future_core::cancel() noexcept {
  if (is_over() || !withdraw() || !leave_open(cancelled)) return false;
  called_off();
  error = std::make_exception_ptr(coir::cancelled());
  finish();
  return true;
}

void* future_core::add_link(void (*run)(void*), void (*drop)(void*) noexcept, void* context) {
  looked_at();
  auto l = std::make_unique<link>(link{run, drop, context});
  lock_.lock();
  const bool ended = closed_ || running_;
  if (!ended) {
    l->prev = last_;
    (first_ == nullptr ? first_ : last_->next) = l.get();
    last_ = l.get();
  }
  lock_.unlock();
  if (!ended) return l.release();
  l->call();
  return nullptr;
}

bool future_core::remove_link(void* added) noexcept {
  lock_.lock();
  auto* l = static_cast<link*>(added);
  const bool there = !closed_ && !l->taken;  // I2
  if (there) {
    (l->prev == nullptr ? first_ : l->prev->next) = l->next;
    (l->next == nullptr ? last_ : l->next->prev) = l->prev;
  }
  lock_.unlock();
  if (there) delete l;
  return there;
}

std::uint64_t future_core::add_callback(void (*run)(void*), void (*drop)(void*) noexcept, void* context) {
  looked_at();
  auto added = std::make_unique<callback>(callback{run, drop, context, 0});
  lock_.lock();
  const std::uint64_t id = added->id = ++last_id_;
  callback* c = added.release();
  (first_callback_ == nullptr ? first_callback_ : last_callback_->next) = c;
  last_callback_ = c;
  const bool over = closed_ || (running_ && running_in_ != forks());
  const bool calls = over && begin_calling_locked();
  lock_.unlock();
  if (calls) call_back();
  return id;
}

bool future_core::remove_callback(std::uint64_t id) noexcept {
  lock_.lock();
  callback* before = nullptr;
  callback* c = first_callback_;
  for (; c != nullptr && c->id != id; c = c->next) before = c;
  if (c != nullptr) {
    (before == nullptr ? first_callback_ : before->next) = c->next;
    if (last_callback_ == c) last_callback_ = before;
  }
  lock_.unlock();
  if (c == nullptr) return false;
  c->drop(c->context);
  delete c;
  return true;
}

}  // namespace coir::detail
