#include "sched/run_down.hpp"

#include <linux/futex.h>
#include <stdlib.h>

#include <memory>
#include <new>

#include "sched/scheduler.hpp"
#include "sys/raw.hpp"

namespace coir::sched {

std::atomic<bool (*)() noexcept> in_handler{nullptr};

namespace {

// The process that has a reactor which needs this: not the child of a fork or vfork. 0: none.
std::atomic<long> process{0};

// How many threads are still to answer, by whether they slept when they were asked.
struct answers {
  std::atomic<int> sleepers{0};
  std::atomic<int> others{0};
};

struct request : base::inbox_node {
  std::shared_ptr<answers> to;
  std::atomic<int> answers::*of;
};

void answer(base::inbox_node* node) noexcept {
  const std::unique_ptr<request> r(static_cast<request*>(node));
  scheduler* s = scheduler::existing();
  if (s != nullptr && s->opened_io() != nullptr) s->opened_io()->run_down();
  std::atomic<int>& left = (*r->to).*(r->of);
  left.fetch_sub(1, std::memory_order_acq_rel);
  sys::raw(SYS_futex, sys::word(&left), FUTEX_WAKE_PRIVATE, 1);
}

void wait_for(std::atomic<int>& left, base::nanoseconds longest) noexcept {
  const base::nanoseconds until = base::monotonic_now() + longest;
  for (int n = left.load(std::memory_order_acquire); n > 0; n = left.load(std::memory_order_acquire)) {
    const base::nanoseconds rest = until - base::monotonic_now();
    if (rest <= 0) return;
    const timespec t = base::to_timespec(rest);
    sys::raw(SYS_futex, sys::word(&left), FUTEX_WAIT_PRIVATE, n, sys::word(&t));
  }
}

void ask_others(const scheduler* own) {
  const auto concerned = [own](mailbox& m) { return m.owner() != own && m.has_ring(); };
  bool any = false;
  mailbox::for_each([&](mailbox& m) { any = any || concerned(m); });
  if (!any) return;
  const auto all = std::make_shared<answers>();
  mailbox::for_each([&](mailbox& m) {
    if (!concerned(m)) return;
    auto* r = new (std::nothrow) request;
    if (r == nullptr) return;
    r->deliver = answer;
    r->to = all;
    r->of = m.sleeps() ? &answers::sleepers : &answers::others;
    ((*all).*(r->of)).fetch_add(1, std::memory_order_relaxed);
    if (m.post(r)) return;
    ((*all).*(r->of)).fetch_sub(1, std::memory_order_relaxed);
    delete r;
  });
  wait_for(all->sleepers, 100'000'000);
  wait_for(all->others, 2'000'000);
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
  const long with_rings = process.load(std::memory_order_relaxed);
  if (with_rings == 0 || with_rings != sys::raw(SYS_getpid)) return;
  scheduler* own = scheduler::existing();
  const auto handles = in_handler.load(std::memory_order_relaxed);
  if (handles != nullptr && handles() && (own == nullptr || !own->asleep())) return;
  if (own != nullptr && own->opened_io() != nullptr) own->opened_io()->run_down();
  if (detail::single_threaded()) return;
  try {
    ask_others(own);
  } catch (const std::bad_alloc&) {
    // Then the kernel does it, in its time.
  }
}

}  // namespace coir::sched
