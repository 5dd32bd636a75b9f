// How map works: a few fibers, the workers, take turns in reading the input, and each calls the function for
// the item it read. A worker whose call did not wait goes on with the next item without a switch.
//
// I1: one worker at a time reads (reading_), so items enter the input's order.
// I2: at most limit() workers; at most a window of items is `outstanding_`: read and not yet recycled.
// I3: whenever more may be read, and a worker is about to do what may suspend it, or a consumer to wait,
//     another worker is on its way: woken or spawned, and not yet running, or yielding. One is enough, as it
//     will send for the next. So workers are made only as those that exist all wait.
// I4: a slot is in the queue from when it is read (ordered) or done (unordered), so what is first is next.
// All on one thread: nothing here is locked, and no callback of the user's is called out of turn.
#include "coir/detail/map_core.hpp"

#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "coir/detail/pool_core.hpp"
#include "coir/fiber.hpp"
#include "task/group.hpp"
#include "wait/interrupt.hpp"
#include "wait/waiter.hpp"

namespace coir::detail {

// A worker's room in the pool, while its item is in work.
class map_core::room {
 public:
  room(map_core& m, fiber_base* worker) : pool_(m.pool_) {
    if (pool_ == nullptr) return;
    member_ = pool_->member_of(worker);
    struct door {
      std::size_t& n;
      explicit door(std::size_t& at_door) : n(at_door) { ++n; }
      ~door() { --n; }
    } const at(m.at_door_);
    pool_->enter(member_);
  }
  ~room() {
    if (pool_ != nullptr) pool_->leave(member_);
  }
  room(const room&) = delete;
  room& operator=(const room&) = delete;

 private:
  pool_core* pool_;
  member* member_ = nullptr;
};

map_core::map_core(const char* where, std::ptrdiff_t limit, bool ordered)
    : limit_(static_cast<std::size_t>(limit)), ordered_(ordered) {
  if (limit < 1)
    throw std::invalid_argument(std::string(where) + ": limit=" + std::to_string(limit) +
                                ": expected at least 1");
}

map_core::map_core(pool_core& p, bool ordered) noexcept : pool_(&p), ordered_(ordered) {
  p.add_mapping(*this);
}

map_core::~map_core() {
  if (pool_ != nullptr) pool_->remove_mapping(*this);
}

std::size_t map_core::limit() const noexcept {
  return pool_ != nullptr ? pool_->limit() : limit_;
}

bool map_core::may_read() const noexcept {
  const std::size_t window = ordered_ ? 2 * limit() : limit();
  return !exhausted_ && !reading_ && !stopping_ && outstanding_ < window;
}

// --- workers ---

void map_core::work() {
  sched::scheduler& s = *sched::scheduler::existing();
  fiber_base* self = s.current();
  on_its_way_ = nullptr;
  while (self->pending == 0 && !exhausted_ && !stopping_) {
    if (!may_read()) {
      wait_for_work(self);
      continue;
    }
    map_slot* slot = free_;
    try {
      if (slot != nullptr)
        free_ = slot->next;
      else
        slot = make_slot();
    } catch (...) {  // no slot to keep it in
      failure_ = std::current_exception();
      return end_of_input();
    }
    do_item(slot, self);
    ++yielding_;
    s.charge();
    --yielding_;
  }
}

void map_core::wait_for_work(fiber_base* self) {
  sched::scheduler& s = *sched::scheduler::existing();
  const wait::mode m = wait::begin_wait(s);
  wait::queued_waiter w(s);
  wait::enqueue_locked(idle_, w);
  const wait::outcome o = wait::park_queued(idle_, w, "an item to map", never_ns, m);
  if (on_its_way_ == self) on_its_way_ = nullptr;
  wait::end_wait(s, o);
}

void map_core::do_item(map_slot* slot, fiber_base* self) {
  slot->next = nullptr;
  slot->done = false;
  ++outstanding_;
  reading_ = true;
  bool more = false;
  try {
    more = read(*slot);
  } catch (...) {
    slot->error = std::current_exception();
  }
  reading_ = false;
  if (!more) exhausted_ = true;
  if (!more && slot->error == nullptr) {
    recycle(slot);
    return end_of_input();
  }
  if (ordered_) append(slot);
  if (!more) {
    finish(slot);
    return end_of_input();
  }
  try {
    const room mine(*this, self);
    send_worker();
    run(*slot);
  } catch (...) {
    slot->error = std::current_exception();
  }
  finish(slot);
}

void map_core::append(map_slot* s) noexcept {
  (last_ != nullptr ? last_->next : first_) = s;
  last_ = s;
}

void map_core::finish(map_slot* s) noexcept {
  s->done = true;
  if (!ordered_) append(s);
  if (result_ready() && !consumers_.empty())
    if (wait::queued_waiter* w = wait::claim_first_locked(consumers_)) w->wake();
}

void map_core::end_of_input() noexcept {
  exhausted_ = true;
  wait::wake_all_locked(idle_);  // to end
  if (outstanding_ == 0) wait::wake_all_locked(consumers_);
}

// I3. Does nothing if no more may be read, or somebody goes already.
void map_core::send_worker() {
  if (on_its_way_ != nullptr || yielding_ != 0 || !may_read()) return;
  if (wait::queued_waiter* w = wait::claim_first_locked(idle_)) {
    on_its_way_ = w->fiber;
    return w->wake();
  }
  if (size() >= limit()) return;
  try {
    start_worker();
  } catch (...) {
    if (size() == 0) throw;  // else those that exist do
  }
}

void map_core::start_worker() {
  const auto worker = coir::spawn([this] { work(); });
  add_fresh(worker.base());
  on_its_way_ = worker.base();
  if (pool_ != nullptr) pool_->add_fresh(worker.base());
}

void map_core::more_room() noexcept {
  if (size() == 0) return;  // nobody has asked yet, or all is read
  try {
    send_worker();
  } catch (...) {
    // Those that exist do.
  }
}

void map_core::lose_pool() noexcept {
  pool_ = nullptr;
  if (exhausted_) return;
  failure_ =
      std::make_exception_ptr(std::logic_error("coir::pool: the next result of a mapping is asked for after "
                                               "the end of its pool: keep the pool until all "
                                               "are there"));
  end_of_input();
}

void map_core::left(member& m) noexcept {
  // It may have been cancelled before it ran.
  if (on_its_way_ == m.fiber) on_its_way_ = nullptr;
  if (!consumers_.empty() && may_read()) wait::wake_all_locked(consumers_);  // who will send another
}

void map_core::stop() noexcept {
  stopping_ = true;
  end();
}

// --- consumers ---

void map_core::wake_consumer() noexcept {
  if (consumers_.empty() || !(result_ready() || (outstanding_ == 0 && exhausted_))) return;
  if (wait::queued_waiter* w = wait::claim_first_locked(consumers_)) w->wake();
}

map_slot* map_core::next_slot() {
  // Whoever leaves may have been woken for what is there; it is for the next then.
  struct hand_on {
    map_core& m;
    ~hand_on() { m.wake_consumer(); }
  } const after{*this};
  for (;;) {
    wait::begin_wait(sched::scheduler::ensure());
    if (result_ready()) {
      map_slot* s = first_;
      first_ = s->next;
      if (first_ == nullptr) last_ = nullptr;
      return s;
    }
    if (outstanding_ == 0 && exhausted_) {
      if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
      return nullptr;
    }
    send_worker();
    wait_for_result();
  }
}

void map_core::wait_for_result() {
  sched::scheduler& s = *sched::scheduler::existing();
  const wait::mode m = wait::begin_wait(s);
  const bool stalls = pool_ != nullptr && pool_->begin_stall(*this);
  wait::queued_waiter w(s);
  wait::enqueue_locked(consumers_, w);
  const wait::outcome o = wait::park_queued(consumers_, w, "a result of map", never_ns, m);
  if (stalls) pool_->end_stall(*this);
  wait::end_wait(s, o);
}

void map_core::recycle(map_slot* s) noexcept {
  s->error = nullptr;
  s->next = free_;
  free_ = s;
  --outstanding_;
  if (exhausted_ && outstanding_ == 0) wait::wake_all_locked(consumers_);
  try {
    send_worker();
  } catch (...) {
    // The next to wait for a result tries again.
  }
}

}  // namespace coir::detail
