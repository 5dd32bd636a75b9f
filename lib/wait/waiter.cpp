#include "wait/waiter.hpp"

namespace coir::wait {
namespace {

struct wake_timer : sched::timer {
  waiter* target;
};

void on_deadline(sched::timer* t) noexcept {
  waiter* w = static_cast<wake_timer*>(t)->target;
  if (w->claim(outcome::timed_out)) w->wake();
}

}  // namespace

outcome park_until_deadline(waiter& w, const char* reason, base::nanoseconds deadline, mode m) noexcept {
  sched::scheduler& s = *w.fiber->home;
  wake_timer t;
  t.when = deadline;
  t.fire = on_deadline;
  t.target = &w;
  s.add_timer(&t);
  const outcome result = park(w, reason, m);
  if (t.armed()) s.remove_timer(&t);
  return result;
}

bool queued_waiter::claim_choice(outcome o) noexcept {
  auto* self = static_cast<choice*>(this);
  if (!self->of.claim(o)) return false;
  self->of.won = self;
  return true;
}

void wake_all_locked(detail::wait_list& list) noexcept {
  while (queued_waiter* w = claim_first_locked(list)) w->wake();
}

}  // namespace coir::wait
