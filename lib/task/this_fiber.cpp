#include "coir/this_fiber.hpp"

#include <algorithm>
#include <stdexcept>

#include "base/check.hpp"
#include "wait/interrupt.hpp"
#include "wait/landing.hpp"
#include "wait/waiter.hpp"

namespace coir::this_fiber {

std::uint64_t id() {
  return sched::scheduler::ensure().current()->id;
}

std::string_view name() {
  return sched::scheduler::ensure().current()->display_name();
}

void check_cancelled() {
  sched::scheduler& s = sched::scheduler::ensure();
  s.hear();
  s.charge();
  wait::throw_if_interrupted(*s.current());
}

shield::shield() {
  sched::fiber* f = sched::scheduler::ensure().current();
  of_ = f;
  ++f->shield_depth;
  wait::refresh(*f);
}

shield::~shield() {
  sched::scheduler* s = sched::scheduler::existing();
  sched::fiber* f = s != nullptr ? s->current() : nullptr;
  if (f == nullptr || f != of_)
    base::misused(
        "a coir::this_fiber::shield is destroyed by another fiber than made it: make it a local variable");
  --f->shield_depth;
  wait::refresh(*f);
}

}  // namespace coir::this_fiber

namespace coir::detail {

COIR_FIRST_STEP switch_request begin_yield() {
  sched::scheduler& s = sched::scheduler::ensure();
  if (__builtin_expect(s.guest() == nullptr, 1)) return s.begin_yield();
  s.guest()->yield();
  return {nullptr, s.current()};
}

void finish_interrupted_yield(fiber_base* self) {
  wait::throw_if_interrupted(*sched::record(self));
}

namespace {
void sleep(sched::scheduler& s, std::int64_t deadline_ns) {
  const wait::mode m = wait::begin_wait(s);
  wait::waiter w(s);
  wait::end_wait(s, wait::park_until(w, "sleep", deadline_ns, m));
}
}  // namespace

void sleep_for_ns(std::int64_t ns) {
  if (ns == 0) return this_fiber::yield();
  sched::scheduler& s = sched::scheduler::ensure();
  sleep(s, base::add_saturated(s.now(), ns));
}

void sleep_until_ns(std::int64_t deadline_ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  if (deadline_ns <= s.now()) return this_fiber::yield();
  sleep(s, deadline_ns);
}

void check_period(std::int64_t period_ns) {
  if (period_ns == 0) throw std::invalid_argument("coir::spawn_every: period=0 s: expected more than zero");
}

void sleep_to_tick(std::int64_t begin_ns, std::int64_t period_ns, std::int64_t& tick) {
  const std::int64_t passed = sched::scheduler::ensure().now() - begin_ns;
  tick = std::max(tick + 1, passed / period_ns + (passed % period_ns != 0));
  std::int64_t at;
  if (__builtin_mul_overflow(tick, period_ns, &at) || __builtin_add_overflow(begin_ns, at, &at))
    at = never_ns;
  sleep_until_ns(at);
}

}  // namespace coir::detail
