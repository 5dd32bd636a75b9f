#include "sync/owner.hpp"

#include <string>
#include <system_error>

#include "base/ended.hpp"
#include "wait/waiter.hpp"

namespace coir::sync {

namespace {

using sched::fiber;
using sched::scheduler;

std::string named(const fiber& f) {
  return "fiber #" + std::to_string(f.id) + " \"" + f.display_name() + "\"";
}

// The record of one of this thread's fibers, or null: another thread's may be gone by now.
const fiber* found_here(scheduler& s, std::uintptr_t owner) noexcept {
  const auto is_it = [owner](const fiber& f) { return reinterpret_cast<std::uintptr_t>(&f) == owner; };
  if (is_it(s.main())) return &s.main();
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next)
    if (is_it(*sched::fiber_of(n))) return sched::fiber_of(n);
  return nullptr;
}

}  // namespace

bool is_caller(std::uintptr_t owner) noexcept {
  if (owner == 0) return false;
  if (owner == detail::owner_mark()) return true;
  scheduler* s = scheduler::existing();
  if (owner == reinterpret_cast<std::uintptr_t>(base::ended_main) &&
      (s == nullptr || s->current() == &s->main()))
    return true;
  if (s == nullptr) return false;
  const fiber* self = s->current();
  if (reinterpret_cast<std::uintptr_t>(self) == owner) return true;
  // It was taken before the thread had a scheduler, or when it had no guest yet.
  const bool of_thread = owner == reinterpret_cast<std::uintptr_t>(&detail::running) ||
                         owner == reinterpret_cast<std::uintptr_t>(&s->main());
  return of_thread && (self == &s->main() || s->guest() != nullptr);
}

void refuse_unlock(const char* what, std::uintptr_t owner) {
  scheduler& s = scheduler::ensure();
  std::string text = std::string(what) + ": " + named(*s.current()) + " does not hold it; ";
  if (owner == 0)
    text += "nobody does";
  else if (const fiber* f = found_here(s, owner))
    text += named(*f) + " does";
  else
    text += "a fiber of another thread does, or one that has ended";
  throw std::system_error(std::make_error_code(std::errc::operation_not_permitted), text);
}

}  // namespace coir::sync
