#include "coir/detail/pool_core.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>

#include "coir/detail/map_core.hpp"
#include "coir/fiber.hpp"
#include "task/group.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

// All on one thread: the lists need no locking.
// I1: while somebody waits for room, there is none: leave and resize hand it on.
// I2: in_use_ counts who holds room, and the room handed to waiters that have not run since. So it equals
//     stuck() only if nobody who has room can ever leave it.

namespace coir::detail {

namespace {
std::size_t checked_limit(const char* where, std::ptrdiff_t n) {
  if (n < 1)
    throw std::invalid_argument(std::string(where) + ": n=" + std::to_string(n) + ": expected at least 1");
  return static_cast<std::size_t>(n);
}
}  // namespace

pool_core::pool_core(std::ptrdiff_t limit) : limit_(checked_limit("coir::pool", limit)) {}

pool_core::~pool_core() {
  end();
  while (map_core* m = mappings_) {
    mappings_ = m->next_of_pool_;
    m->lose_pool();
  }
}

void pool_core::add_mapping(map_core& m) noexcept {
  m.next_of_pool_ = mappings_;
  if (mappings_ != nullptr) mappings_->previous_of_pool_ = &m;
  mappings_ = &m;
}

void pool_core::remove_mapping(map_core& m) noexcept {
  (m.previous_of_pool_ != nullptr ? m.previous_of_pool_->next_of_pool_ : mappings_) = m.next_of_pool_;
  if (m.next_of_pool_ != nullptr) m.next_of_pool_->previous_of_pool_ = m.previous_of_pool_;
}

bool pool_core::try_enter() noexcept {
  if (in_use_ >= limit_) return false;
  ++in_use_;
  return true;
}

void pool_core::enter() {
  check_thread("coir::pool::spawn");
  wait::begin_wait(sched::scheduler::ensure());
  if (try_enter()) return;
  const bool holder = caller_holds_room();
  if (holder && stuck() + 1 == in_use_) refuse_deadlock();
  wait_for_room(holder);
}

void pool_core::enter(member* m) {
  if (!try_enter()) {
    if (stuck() == in_use_) refuse_deadlock();
    wait_for_room(false);
  }
  m->holds_room = true;
}

void pool_core::wait_for_room(bool holder) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_wait(s);
  wait::queued_waiter w(s);
  w.item = holder ? this : nullptr;
  wait::enqueue_locked(waiting_, w);
  wait::end_wait(s, wait::park_queued(waiting_, w, "room in a pool", never_ns, m));
}

void pool_core::leave() noexcept {
  if (in_use_ <= limit_)
    if (wait::queued_waiter* w = wait::claim_first_locked(waiting_)) return w->wake();
  if (--in_use_ == 0) wait::wake_all_locked(joiners_);
}

void pool_core::leave(member* m) noexcept {
  m->holds_room = false;
  leave();
}

void pool_core::add_holder(fiber_base* f) {
  member* m;
  try {
    m = add_fresh(f);
  } catch (...) {
    leave();
    throw;
  }
  m->holds_room = true;
}

void pool_core::left(member& m) noexcept {
  if (m.holds_room) leave();
}

bool pool_core::join_all(std::int64_t deadline_ns) {
  check_thread("coir::pool::join");
  if (deadline_ns == never_ns && in_use_ != 0 && caller_holds_room())
    throw std::system_error(
        std::make_error_code(std::errc::resource_deadlock_would_occur),
        "coir::pool::join: the caller is one of its own fibers, and would wait for itself");
  while (in_use_ != 0) {
    sched::scheduler& s = sched::scheduler::ensure();
    const wait::mode m = wait::begin_wait(s);
    wait::queued_waiter w(s);
    wait::enqueue_locked(joiners_, w);
    const wait::outcome o = wait::park_queued(joiners_, w, "pool join", deadline_ns, m);
    wait::end_wait(s, o);
    if (o == wait::outcome::timed_out) return false;
  }
  throw_first_error();
  return true;
}

void pool_core::resize(std::ptrdiff_t limit) {
  limit_ = checked_limit("coir::pool::resize", limit);
  while (in_use_ < limit_) {
    wait::queued_waiter* w = wait::claim_first_locked(waiting_);
    if (w == nullptr) break;
    ++in_use_;
    w->wake();
  }
  for (map_core* m = mappings_; m != nullptr; m = m->next_of_pool_) m->more_room();
}

bool pool_core::caller_holds_room() const noexcept {
  const member* m = member_of(sched::scheduler::ensure().current());
  return m != nullptr && m->holds_room;
}

std::size_t pool_core::stuck() const noexcept {
  std::size_t n = 0;
  for (const wait_node* at = waiting_.head; at != nullptr; at = at->next) {
    const auto* w = static_cast<const wait::queued_waiter*>(at);
    if (w->item != nullptr && w->result.load(std::memory_order_relaxed) == wait::outcome::none) ++n;
  }
  const auto waits = [](const map_core* m) { return m->waits_for_room(); };
  return n + static_cast<std::size_t>(std::count_if(stalled_.begin(), stalled_.end(), waits));
}

bool pool_core::begin_stall(const map_core& m) {
  if (!caller_holds_room()) return false;
  if (m.waits_for_room() && stuck() + 1 == in_use_) refuse_deadlock();
  stalled_.push_back(&m);
  return true;
}

void pool_core::end_stall(const map_core& m) noexcept {
  stalled_.erase(std::find(stalled_.begin(), stalled_.end(), &m));
}

void pool_core::refuse_deadlock() const {
  throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                          "coir::pool: n=" + std::to_string(limit_) +
                              ": every fiber that has room in it would wait for room in it");
}

}  // namespace coir::detail
