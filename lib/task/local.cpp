#include "coir/local.hpp"

#include <pthread.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "task/data.hpp"
#include "wait/describe.hpp"

namespace coir::detail {

struct key_place {
  std::uint32_t number = 0;
  key_place* next = nullptr;  // of those that are free
};

namespace {

// A fiber's objects by the places of their keys. I1: an entry with the key's id is the key's; one with
// another is of a key that is no more, and goes when its place is wanted.
struct local_table {
  struct entry {
    std::uint64_t id = 0;
    local_object* object = nullptr;
  };
  std::vector<entry> entries;
  local_object* newest = nullptr;
  local_table* next_left_behind = nullptr;

  void take_out(local_object& o) noexcept {
    entries[o.place] = {};
    (o.newer != nullptr ? o.newer->older : newest) = o.older;
    if (o.older != nullptr) o.older->newer = o.newer;
  }
};

local_table* table_of(const sched::fiber& f) noexcept {
  return static_cast<local_table*>(f.locals);
}

// Places are used again, ids are not. Constant-initialised and trivially destroyed, as keys of static objects
// come before and outlive everything.
struct key_registry {
  spin_lock lock;
  std::uint64_t last_id = 0;
  std::uint32_t places = 0;
  key_place* free = nullptr;
};
constinit key_registry keys;

const bool locals_told_at_fork =
    ::pthread_atfork([] { keys.lock.lock(); }, [] { keys.lock.unlock(); }, [] { keys.lock.unlock(); }) == 0;

void destroy(sched::fiber& f, local_object* o) noexcept {
  const task::shielded whole(f);
  o->destroy(o);
}

// At most `left` of them, which goes down; true if that was all.
bool destroy_locals(sched::fiber& f, unsigned& left) noexcept {
  local_table* t = table_of(f);
  while (local_object* o = t->newest) {
    if (left == 0) return false;
    --left;
    t->take_out(*o);
    destroy(f, o);  // may make others
  }
  f.locals = nullptr;
  delete t;
  return true;
}

// What is never destroyed is not lost either, for who looks for leaks.
std::atomic<local_table*> left_behind{nullptr};
void leave_behind(sched::fiber& f) noexcept {
  local_table* t = table_of(f);
  t->next_left_behind = left_behind.load(std::memory_order_relaxed);
  while (!left_behind.compare_exchange_weak(t->next_left_behind, t, std::memory_order_relaxed)) {
  }
  f.locals = nullptr;
}

}  // namespace

local_key::local_key() {
  auto fresh = std::make_unique<key_place>();
  const std::lock_guard held(keys.lock);
  id_ = ++keys.last_id;
  if (keys.free == nullptr) {
    fresh->number = keys.places++;
    own_ = fresh.release();
  } else {
    own_ = std::exchange(keys.free, keys.free->next);
  }
  place_ = own_->number;
}

local_key::~local_key() {
  reset();
  const std::lock_guard held(keys.lock);
  own_->next = std::exchange(keys.free, own_);
}

local_object* local_key::find() const noexcept {
  sched::scheduler* s = sched::scheduler::existing();
  if (s == nullptr || !s->has_data()) return nullptr;
  const local_table* t = table_of(*s->current());
  if (t == nullptr || place_ >= t->entries.size() || t->entries[place_].id != id_) return nullptr;
  return t->entries[place_].object;
}

void local_key::check() const {
  sched::scheduler& s = sched::scheduler::ensure();
  if (s.guest() != nullptr && !s.current()->has(sched::is_main))
    throw std::logic_error(
        "coir::local: used on a fiber of Boost.Fiber: boost::fibers::fiber_specific_ptr is for these");
}

void local_key::put(local_object* fresh) const {
  sched::scheduler& s = sched::scheduler::ensure();
  sched::fiber& f = *s.current();
  if (f.has(sched::is_main)) task::end_data_with_thread();
  if (f.locals == nullptr) f.locals = new local_table;
  s.note_data();
  local_table& t = *table_of(f);
  if (place_ >= t.entries.size()) t.entries.resize(place_ + 1);
  if (local_object* stale = t.entries[place_].object) {
    t.take_out(*stale);
    destroy(f, stale);
  }
  // Not `t`: that destructor may have used others.
  local_table& now = *table_of(f);
  fresh->place = place_;
  fresh->older = now.newest;
  if (now.newest != nullptr) now.newest->newer = fresh;
  now.newest = fresh;
  now.entries[place_] = {id_, fresh};
}

void local_key::reset() const noexcept {
  local_object* o = find();
  if (o == nullptr) return;
  sched::fiber& f = *sched::scheduler::existing()->current();
  table_of(f)->take_out(*o);
  destroy(f, o);
}

}  // namespace coir::detail

namespace coir::task {

namespace {
// As PTHREAD_DESTRUCTOR_ITERATIONS: destructors that revive one another must come to an end.
constexpr unsigned most_at_an_end = 100'000;
}  // namespace

void end_data_with_thread() {
  struct main_data {
    ~main_data() {
      if (sched::scheduler* s = sched::scheduler::existing()) end_data(s->main());
    }
  };
  static thread_local main_data at_end;
  (void)&at_end;
}

void end_data(sched::fiber& self) noexcept {
  unsigned left = most_at_an_end;
  while (self.locals != nullptr || self.values != nullptr) {  // destructors of either may make the other
    if (self.locals != nullptr && !detail::destroy_locals(self, left)) {
      base::write_text(2,
                       "coir: the destructors of a fiber's coir::local objects make such objects again and "
                       "again: what is left after 100000 is not destroyed\n");
      sched::describe(2, self);
      detail::leave_behind(self);
    }
    detail::context(static_cast<detail::context_values*>(std::exchange(self.values, nullptr)));
    if (left != 0) --left;
  }
}

}  // namespace coir::task
