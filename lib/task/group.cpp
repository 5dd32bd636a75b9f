#include "task/group.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "coir/detail/future_core.hpp"
#include "coir/fiber.hpp"
#include "coir/this_fiber.hpp"
#include "coir/timeout.hpp"
#include "task/report.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

namespace coir::detail {

namespace {
// Of a program or library itself, so destroyed by exit.
bool is_static(const void* object) noexcept {
  Dl_info found;
  return ::dladdr(object, &found) != 0;
}

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
  if (failed && g.first_failed_ == nullptr) g.note_failure(m->fiber);
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

void group_core::note_failure(fiber_base* f) noexcept {
  const bool nobody_asks = f->only_reference() && !f->marked(error_observed);
  retain(f);
  first_failed_ = f;
  if (!nobody_asks || reports_ == failure_report::by_join) return;
  if (reports_ == failure_report::unless_awaited && awaited()) return;
  mark_observed(f);  // not to be told again when it goes
  task::report_unseen(*sched::record(f), f->error, "join of its group or pool will throw it");
}

bool group_core::elsewhere() const noexcept {
  return size_ != 0 && home_ != sched::scheduler::existing() && !left_behind();
}

void group_core::check_thread(const char* what) const {
  if (elsewhere())
    throw std::logic_error(std::string(what) +
                           ": called on another thread than its fibers run on: expected that thread (see "
                           "coir::post)");
}

group_core::member* group_core::add(fiber_base* f) {
  if (f->home != &sched::scheduler::ensure())
    throw std::invalid_argument("coir::group::add: fiber=#" + std::to_string(fiber_id(f)) +
                                ": expected a fiber of the calling thread");
  forget_left_behind();
  check_thread("coir::group");
  home_ = f->home;
  forks_ = forks();
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
  return forks() != forks_;
}

void group_core::forget_left_behind() noexcept {
  if (size_ == 0 || !left_behind()) return;
  first_ = nullptr;
  size_ = 0;
}

void group_core::cancel() noexcept {
  forget_left_behind();
  if (elsewhere())
    base::write_text(
        2,
        "coir: cancel of a group, called on another thread than its fibers run on, has no effect: "
        "coir::post it there\n");
  else
    for (member* m = first_; m != nullptr; m = m->next) cancel_fiber(m->fiber);
}

bool group_core::cancel_until(std::int64_t deadline_ns) {
  check_thread("coir::group::cancel_for");
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
  check_thread("coir::group::join");
  while (size_ != 0) {
    sched::scheduler& s = sched::scheduler::ensure();
    if (deadline_ns == never_ns && member_of(s.current()) != nullptr)
      throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                              "coir::group::join: fiber #" + std::to_string(s.current()->id) + " \"" +
                                  s.current()->display_name() +
                                  "\" is one of the group's own, and would wait for itself");
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
  forget_left_behind();
  if (size_ == 0) return drop_first_error();
  const bool by_member = !elsewhere() && member_of(sched::scheduler::existing()->current()) != nullptr;
  if ((by_member || elsewhere()) && is_static(this))
    return;  // they called exit: the program ends without waiting
  if (elsewhere())
    base::misused(
        "a group (or pool, or mapping) is destroyed on another thread than its fibers run on, for which it "
        "would wait");
  if (by_member)
    base::misused(
        "a group (or pool, or mapping) is destroyed by one of its own fibers, for which it would wait: "
        "destroy it elsewhere");
  cancel();
  const this_fiber::shield undisturbed;
  ending_ = true;  // what its fibers spawn meanwhile is cancelled, too
  while (size_ != 0) {
    try {
      wait(never_ns);
    } catch (const deadlock&) {
      base::misused("a group (or pool, or mapping) is destroyed while its fibers, see above, can never end");
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
