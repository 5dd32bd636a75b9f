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

// A wait that is over before it begins: one look at everything that could end it, and then nobody has to run
// before this fiber goes on, unless it has asked for a turn already.
outcome look_once(waiter& w, sched::scheduler& s, const char* reason, mode m) noexcept {
  if (m == mode::uninterruptible) w.heed_nothing();
  w.fiber->waiting = &w;
  s.poll();
  w.fiber->waiting = nullptr;
  if (!w.claim(outcome::timed_out)) return park(w, reason, m);  // for the wake-up of who has won
  s.charge();
  return outcome::timed_out;
}

}  // namespace

outcome park_until_deadline(waiter& w, const char* reason, base::nanoseconds deadline, mode m) noexcept {
  sched::scheduler& s = *w.fiber->home;
  if (__builtin_expect(s.is_past(deadline), 0) && s.guest() == nullptr) return look_once(w, s, reason, m);
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
