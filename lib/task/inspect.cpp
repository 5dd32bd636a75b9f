#include "coir/inspect.hpp"

#include "wait/describe.hpp"

namespace coir::inspect {

std::string dump() {
  std::string text;
  sched::scheduler& s = sched::scheduler::ensure();
  base::text_out out(text);
  sched::describe(out, s.main());
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next)
    sched::describe(out, *sched::fiber_of(n));
  return text;
}

std::size_t fiber_count() noexcept {
  const sched::scheduler* s = sched::scheduler::existing();
  return s == nullptr ? 0 : s->live();
}

const char* reactor_name() noexcept {
  sched::scheduler* s = sched::scheduler::existing();
  return s == nullptr || s->opened_io() == nullptr ? "none" : s->opened_io()->name();
}

}  // namespace coir::inspect
