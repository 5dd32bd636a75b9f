#include "task/group.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "coir/fiber.hpp"
#include "coir/this_fiber.hpp"
#include "coir/timeout.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

namespace coir::detail {

namespace {
// Of an exception that left a fiber: not the end that was asked for.
bool is_failure(const std::exception_ptr& error) noexcept {
  return error != nullptr && *error.__cxa_exception_type() != typeid(cancelled);
}
}  // namespace

void group_core::member::ended(void* context) {
  auto* m = static_cast<member*>(context);
  group_core& g = *m->group;
  if (__builtin_expect(g.left_behind(), 0)) return;
  const bool failed = is_failure(m->fiber->error);
  if (failed && g.first_failed_ == nullptr) {
    retain(m->fiber);
    g.first_failed_ = m->fiber;
  }
  m->unlink();
  if (failed && g.fails_together_) g.cancel();
  g.left(*m);
  if (g.size_ != 0) return;
  g.joiners_.lock.lock();
  wait::wake_all_locked(g.joiners_);
  g.joiners_.lock.unlock();
}

void group_core::member::unlink() noexcept {
  (prev != nullptr ? prev->next : group->first_) = next;
  if (next != nullptr) next->prev = prev;
  --group->size_;
}

group_core::member* group_core::add(fiber_base* f) {
  if (f->home != &sched::scheduler::ensure())
    throw std::invalid_argument("coir::group::add: fiber=#" + std::to_string(fiber_id(f)) +
                                ": expected a fiber of the calling thread");
  forget_left_behind();
  forks_ = f->home->forks();
  auto m = std::make_unique<member>(member{this, f});
  m->next = first_;
  if (first_ != nullptr) first_->prev = m.get();
  first_ = m.get();
  ++size_;
  try {
    add_link(f, &member::ended, &member::drop, m.get());
  } catch (...) {
    m->unlink();
    throw;
  }
  if (ending_ || (fails_together_ && first_failed_ != nullptr)) cancel_fiber(f);
  return m.release();
}

group_core::member* group_core::add_fresh(fiber_base* f) {
  try {
    return add(f);
  } catch (...) {
    cancel_fiber(f);
    throw;
  }
}

bool group_core::left_behind() const noexcept {
  const sched::scheduler* s = sched::scheduler::existing();
  return s == nullptr || s->forks() != forks_;
}

void group_core::forget_left_behind() noexcept {
  if (size_ == 0 || !left_behind()) return;
  first_ = nullptr;
  size_ = 0;
}

void group_core::cancel() noexcept {
  forget_left_behind();
  for (member* m = first_; m != nullptr; m = m->next) cancel_fiber(m->fiber);
}

bool group_core::cancel_until(std::int64_t deadline_ns) {
  std::vector<coir::fiber<void>> all;  // of whatever type: only to be waited for
  all.reserve(size_);
  for (member* m = first_; m != nullptr; m = m->next) {
    retain(m->fiber);
    all.emplace_back(m->fiber);
  }
  cancel();
  return std::all_of(all.begin(), all.end(),
                     [&](const coir::fiber<void>& f) { return join_fiber_until(f.base(), deadline_ns); });
}

bool group_core::wait(std::int64_t deadline_ns) {
  forget_left_behind();
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
  return true;
}

bool group_core::join(std::int64_t deadline_ns) {
  if (!wait(deadline_ns)) return false;
  throw_first_error();
  return true;
}

void group_core::throw_first_error() {
  if (first_failed_ == nullptr) return;
  const coir::fiber<void> failed(std::exchange(first_failed_, nullptr));  // of whatever type
  rethrow_error(failed.base());
}

group_core::member* group_core::member_of(fiber_base* base) const noexcept {
  sched::fiber& f = *sched::record(base);
  member* found = nullptr;
  f.joiners.lock.lock();
  for (sched::link* l = f.links != nullptr ? f.links->front() : nullptr; l != nullptr && found == nullptr;
       l = f.links->after(l))
    if (l->run == &member::ended && static_cast<member*>(l->context)->group == this)
      found = static_cast<member*>(l->context);
  f.joiners.lock.unlock();
  return found;
}

void group_core::end() noexcept {
  cancel();
  if (size_ == 0) return drop_first_error();
  const this_fiber::shield undisturbed;
  ending_ = true;  // what its fibers spawn meanwhile is cancelled, too
  while (size_ != 0) {
    try {
      wait(never_ns);
    } catch (const deadlock&) {
      std::abort();  // it was described on stderr, and a destructor can neither throw nor return
    } catch (...) {
      // Nothing else comes through the shield.
    }
  }
  drop_first_error();
}

// Which no join has thrown.
void group_core::drop_first_error() noexcept {
  if (first_failed_ != nullptr) release(std::exchange(first_failed_, nullptr));
}

}  // namespace coir::detail
