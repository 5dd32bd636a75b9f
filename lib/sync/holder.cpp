#include "sync/holder.hpp"

#include <string>
#include <system_error>

#include "base/ended.hpp"
#include "wait/waiter.hpp"

// A position is one of the time when the process had one thread, so it is in a stack of coir's, in that
// thread's own one, which mostly is the process's first, or in one of the program's (a coroutine's), which is
// nobody's in particular: whoever says it is his is believed.

namespace coir::sync {

namespace {

using sched::fiber;
using sched::scheduler;

bool on_stack_of(const fiber& f, std::uintptr_t at) noexcept {
  return at >= reinterpret_cast<std::uintptr_t>(f.stack.low) &&
         at < reinterpret_cast<std::uintptr_t>(f.stack.top());
}

// What the thread itself took, or its main fiber, is the caller's: `self` is the running fiber, if any.
bool is_thread(scheduler* s, const fiber* self) noexcept {
  return s == nullptr || self == &s->main() || s->guest() != nullptr;
}

bool is_own_record(std::uintptr_t mark) noexcept {
  scheduler* s = scheduler::existing();
  if (mark == reinterpret_cast<std::uintptr_t>(base::ended_main) &&
      (s == nullptr || s->current() == &s->main()))
    return true;
  if (s == nullptr) return false;
  const fiber* self = s->current();
  if (reinterpret_cast<std::uintptr_t>(self) == mark) return true;
  // It was taken before the thread had a scheduler, or when it had no guest yet.
  const bool of_thread = mark == reinterpret_cast<std::uintptr_t>(&detail::running) ||
                         mark == reinterpret_cast<std::uintptr_t>(&s->main());
  return of_thread && is_thread(s, self);
}

bool is_own_position(std::uintptr_t at) noexcept {
  scheduler* s = scheduler::existing();
  const fiber* self = s != nullptr ? s->current() : nullptr;
  if (self != nullptr && !self->has(sched::is_main) && on_stack_of(*self, at)) return true;
  if (scheduler::on_thread_stack(at)) return is_thread(s, self);
  return !scheduler::on_known_stack(at);
}

std::string named(const fiber& f) {
  return "fiber #" + std::to_string(f.id) + " \"" + f.display_name() + "\"";
}

// One of this thread's fibers, or null: another thread's may be gone by now.
const fiber* found_here(scheduler& s, std::uintptr_t holder) noexcept {
  const bool by_record = (holder & detail::by_record) != 0;
  const auto is_it = [&](const fiber& f) {
    return by_record               ? (reinterpret_cast<std::uintptr_t>(&f) | detail::by_record) == holder
           : f.has(sched::is_main) ? scheduler::on_thread_stack(holder)
                                   : on_stack_of(f, holder);
  };
  if (is_it(s.main())) return &s.main();
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next)
    if (is_it(*sched::fiber_of(n))) return sched::fiber_of(n);
  return nullptr;
}

}  // namespace

bool is_caller(std::uintptr_t holder) noexcept {
  if (holder == detail::nobody) return false;
  if ((holder & detail::by_record) == 0) return is_plainly_caller(holder) || is_own_position(holder);
  return holder == detail::held_by_caller() || is_own_record(holder & ~std::uintptr_t{detail::by_record});
}

void refuse_unlock(const char* what, std::uintptr_t holder) {
  scheduler& s = scheduler::ensure();
  std::string text = std::string(what) + ": " + named(*s.current()) + " does not hold it; ";
  if (holder == detail::nobody)
    text += "nobody does";
  else if (const fiber* f = found_here(s, holder))
    text += named(*f) + " does";
  else
    text += "a fiber of another thread does, or one that has ended";
  throw std::system_error(std::make_error_code(std::errc::operation_not_permitted), text);
}

std::uintptr_t expect_caller(const char* what, std::uintptr_t holder) {
  if (!is_caller(holder)) refuse_unlock(what, holder);
  return holder;
}

}  // namespace coir::sync
