#include "sched/run_down.hpp"

#include <linux/futex.h>
#include <stdlib.h>

#include <limits>
#include <new>

#include "sched/scheduler.hpp"
#include "sched/upcalls.hpp"
#include "sys/raw.hpp"

namespace coir::sched {

std::atomic<bool (*)() noexcept> in_handler{nullptr};

// What threads were asked, and how many are still to answer, by whether they slept then.
struct question {
  std::atomic<int> sleepers{0};
  std::atomic<int> others{0};
  std::atomic<int> exec{0};  // 1: who answers stands still until this is 0
  bool of_exec = false;
};

namespace {

// The process that has a reactor which needs this: not the child of a fork or vfork. 0: none.
std::atomic<long> process{0};

struct request : base::inbox_node {
  std::shared_ptr<question> of;
  std::atomic<int> question::*count;
};

// An exec may have to wait for what a thread of this process does: none stands still for longer.
constexpr base::nanoseconds longest_exec = 1'000'000'000;

void wait_for(std::atomic<int>& left, base::nanoseconds longest) noexcept {
  const base::nanoseconds until = base::monotonic_now() + longest;
  for (int n = left.load(std::memory_order_acquire); n > 0; n = left.load(std::memory_order_acquire)) {
    const base::nanoseconds rest = until - base::monotonic_now();
    if (rest <= 0) return;
    const timespec t = base::to_timespec(rest);
    sys::raw(SYS_futex, sys::word(&left), FUTEX_WAIT_PRIVATE, n, sys::word(&t));
  }
}

void count_down(std::atomic<int>& left) noexcept {
  left.fetch_sub(1, std::memory_order_acq_rel);
  sys::raw(SYS_futex, sys::word(&left), FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max());
}

void answer(base::inbox_node* node) noexcept {
  const std::unique_ptr<request> r(static_cast<request*>(node));
  question& q = *r->of;
  const bool too_late = q.of_exec && q.exec.load(std::memory_order_acquire) == 0;
  scheduler* s = scheduler::existing();
  reactor::reactor* io = s != nullptr && !too_late ? s->opened_io() : nullptr;
  if (io != nullptr) io->run_down(q.of_exec);
  count_down(q.*(r->count));
  if (io == nullptr || !q.of_exec) return;
  wait_for(q.exec, longest_exec);
  io->renew();
}

// Null: there are none.
std::shared_ptr<question> ask_others(const scheduler* own, bool of_exec) {
  const auto concerned = [own](mailbox& m) { return m.owner() != own && m.has_ring(); };
  bool any = false;
  mailbox::for_each([&](mailbox& m) { any = any || concerned(m); });
  if (!any) return nullptr;
  auto all = std::make_shared<question>();
  all->of_exec = of_exec;
  all->exec = of_exec ? 1 : 0;
  mailbox::for_each([&](mailbox& m) {
    if (!concerned(m)) return;
    auto* r = new (std::nothrow) request;
    if (r == nullptr) return;
    r->deliver = answer;
    r->of = all;
    r->count = m.sleeps() ? &question::sleepers : &question::others;
    ((*all).*(r->count)).fetch_add(1, std::memory_order_relaxed);
    if (m.post(r)) return;
    ((*all).*(r->count)).fetch_sub(1, std::memory_order_relaxed);
    delete r;
  });
  wait_for(all->sleepers, 100'000'000);
  wait_for(all->others, 2'000'000);
  return all;
}

// Whether this is the process with the rings, and not a signal handler amid something.
bool may_run_down(const scheduler* own) noexcept {
  const long with_rings = process.load(std::memory_order_relaxed);
  if (with_rings == 0 || with_rings != sys::raw(SYS_getpid)) return false;
  const auto handles = in_handler.load(std::memory_order_relaxed);
  return handles == nullptr || !handles() || (own != nullptr && own->asleep());
}

__attribute__((destructor)) void at_exit() noexcept {
  run_down_process();
}

}  // namespace

void note_ring() noexcept {
  const long now = sys::raw(SYS_getpid);
  if (process.exchange(now, std::memory_order_relaxed) == 0) ::at_quick_exit(run_down_process);
}

void run_down_process() noexcept {
  scheduler* own = scheduler::existing();
  if (!may_run_down(own)) return;
  if (own != nullptr && own->opened_io() != nullptr) own->opened_io()->run_down(false);
  if (detail::single_threaded()) return;
  try {
    ask_others(own, false);
  } catch (const std::bad_alloc&) {
    // Then the kernel does it, in its time.
  }
}

std::shared_ptr<question> run_down_others() noexcept {
  const scheduler* own = scheduler::existing();
  if (!may_run_down(own) || detail::single_threaded() || has_other_handlers()) return nullptr;
  try {
    return ask_others(own, true);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void exec_failed(question& asked) noexcept {
  count_down(asked.exec);
}

}  // namespace coir::sched
