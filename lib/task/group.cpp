#include "coir/group.hpp"

#include <cstdlib>
#include <memory>

#include "coir/this_fiber.hpp"
#include "coir/timeout.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

namespace coir::detail {

// One fiber of a group; owned by its on_done callback.
struct group_core::member {
  group_core* group;
  fiber_base* fiber;
  member* next = nullptr;
  member* prev = nullptr;

  static void ended(void* context, fiber_base* f) {
    auto* m = static_cast<member*>(context);
    group_core& g = *m->group;
    if (f->error != nullptr && !sched::record(f)->has(sched::error_observed)) {
      mark_observed(f);
      if (g.first_error_ == nullptr) g.first_error_ = f->error;
    }
    m->unlink();
    if (g.size_ != 0) return;
    g.joiners_.lock.lock();
    wait::wake_all_locked(g.joiners_);
    g.joiners_.lock.unlock();
  }
  static void drop(void* context) noexcept { delete static_cast<member*>(context); }

  void unlink() noexcept {
    (prev != nullptr ? prev->next : group->first_) = next;
    if (next != nullptr) next->prev = prev;
    --group->size_;
  }
};

void group_core::add(fiber_base* f) {
  auto m = std::make_unique<member>(member{this, f});
  m->next = first_;
  if (first_ != nullptr) first_->prev = m.get();
  first_ = m.get();
  ++size_;
  try {
    add_callback(f, &member::ended, &member::drop, m.get());
  } catch (...) {
    m->unlink();
    cancel_fiber(f);  // it has not begun: it never will
    throw;
  }
  (void)m.release();
}

void group_core::cancel() noexcept {
  for (member* m = first_; m != nullptr; m = m->next) cancel_fiber(m->fiber);
}

bool group_core::join(std::int64_t deadline_ns) {
  while (size_ != 0) {
    sched::scheduler& s = sched::scheduler::ensure();
    const wait::mode m = wait::begin_wait(s);
    wait::queued_waiter w(s);
    joiners_.lock.lock();
    wait::enqueue_locked(joiners_, w);
    joiners_.lock.unlock();
    const wait::outcome o = wait::park_queued(joiners_, w, "group join", deadline_ns, m);
    wait::end_wait(s, o);
    if (o == wait::outcome::timed_out) return false;
  }
  if (first_error_ != nullptr) std::rethrow_exception(std::exchange(first_error_, nullptr));
  return true;
}

group_core::~group_core() {
  if (size_ == 0) return;
  cancel();
  const this_fiber::shield undisturbed;
  while (size_ != 0) {
    try {
      join(never_ns);
    } catch (const deadlock&) {
      std::abort();  // it was described on stderr, and a destructor can neither throw nor return
    } catch (...) {
      // What a child threw while it was cancelled has nowhere to go.
    }
  }
}

}  // namespace coir::detail
