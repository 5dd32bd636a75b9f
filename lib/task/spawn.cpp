// The life of a fiber: made, run, ended, reported, freed.
#include <cxxabi.h>

#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>

#include "base/check.hpp"
#include "coir/fiber.hpp"
#include "coir/inspect.hpp"
#include "coir/run.hpp"
#include "coir/this_fiber.hpp"
#include "coir/timeout.hpp"
#include "task/data.hpp"
#include "task/life.hpp"
#include "task/report.hpp"
#include "wait/interrupt.hpp"
#include "wait/landing.hpp"
#include "wait/waiter.hpp"

namespace coir::task {
namespace {

using sched::fiber;
using sched::record;

// What a fiber does at its end may wait, and is not interrupted. Until the record is cleaned, as it is after
// an interrupt.
void undisturbed(fiber& self) noexcept {
  ++self.shield_depth;
  wait::refresh(self);
}

// Publishes the end of `self` and wakes who waits for it. Whether there may have been links to run.
bool publish_end(fiber* self) noexcept {
  self->joiners.lock.lock();
  self->mark(detail::ended);  // pairs with fiber_base::done
  const bool linked = self->marked(detail::linked);
  wait::wake_all_locked(self->joiners);
  self->joiners.lock.unlock();
  if (__builtin_expect(linked, 0)) {
    if (self->interrupts != 0) undisturbed(*self);
    run_links(*self);
  }
  return linked;
}

void dispose_result(fiber* f) noexcept {
  if (f->has(sched::has_result)) {
    f->unset(sched::has_result);
    f->run(f, detail::payload_step::dispose);
  }
  if (__builtin_expect(f->error != nullptr, 0)) {
    if (!f->marked(detail::error_observed)) report_unseen(*f, f->error);
    f->error = nullptr;
  }
}

}  // namespace

void body(fiber* self) noexcept {
  try {
    if (__builtin_expect((self->interrupts & wait::cancel) != 0, 0)) {
      const this_fiber::shield during;
      self->run(self, detail::payload_step::discard);
      throw cancelled();
    }
    self->run(self, detail::payload_step::call);
  } catch (const cancelled&) {
    self->error = std::current_exception();
    detail::mark_observed(self);  // the end that was asked for: nothing to report
  } catch (...) {
    self->error = std::current_exception();
  }
  if (__builtin_expect(self->home->has_data(), 0)) end_data(*self);
  // If nobody can ask any more, what the result's destructor does is done on the fiber's own stack. The rest
  // of the record is read only then: another thread's handle may be adding a link, which may still ask.
  if (self->only_reference() && !self->marked(detail::linked)) {
    if (__builtin_expect(self->has(sched::has_result), 0)) {
      const this_fiber::shield during;
      dispose_result(self);
    } else {
      dispose_result(self);
    }
  }
  const bool linked = publish_end(self);
  if (__builtin_expect(linked, 0) && self->only_reference()) dispose_result(self);
  // What the links and the result's destructor made: the next fiber of this record must not find it.
  if (__builtin_expect(self->home->has_data(), 0)) end_data(*self);
}

void dispose(fiber* f) noexcept {
  const auto all = [](fiber* ended) noexcept {
    dispose_result(ended);
    ended->home->recycle(ended);
  };
  // The last reference may have been that of a message from another thread. What the result's destructor
  // and the handler of exceptions do may wait, but not there.
  sched::scheduler* here = sched::scheduler::existing();
  if (__builtin_expect(here != nullptr && here->mail().delivers() && !here->ending(), 0) &&
      (f->has(sched::has_result) || f->error != nullptr)) {
    try {
      const coir::fiber<void> ends = coir::spawn(attributes{.name = "end of a result"}, [all, f] {
        const this_fiber::shield during;
        all(f);
      });
      here->disinherit(record(ends.base()));
      return;
    } catch (...) {  // then right here
    }
  }
  all(f);
}

void thread_ends(sched::scheduler& s) noexcept {
  if (s.live() != 0) wait::on_thread_end(s);
  end_data(s.main());
}
}  // namespace coir::task

namespace coir::detail {

using sched::record;
using sched::scheduler;

namespace {
[[noreturn]] void refuse_guest() {
  throw std::logic_error(
      "coir::spawn: this thread runs Boost.Fiber (use_coir); spawn boost::fibers::fiber there");
}
}  // namespace

fiber_base* create_fiber(const attributes* how, std::size_t payload_size,
                         void (*run)(fiber_base*, payload_step)) {
  scheduler& s = scheduler::ensure();
  if (__builtin_expect(s.guest() != nullptr, 0)) refuse_guest();
  sched::fiber* f = s.create(how, payload_size);
  f->run = run;
  f->spawn_site = __builtin_return_address(0);
  if (__builtin_expect(s.has_data(), 0)) task::inherit_values(s, *f);
  return f;
}

fiber_base* create_started_fiber(const attributes* how, std::size_t payload_size,
                                 void (*run)(fiber_base*, payload_step)) {
  scheduler& s = scheduler::ensure();
  if (__builtin_expect(s.guest() != nullptr, 0)) refuse_guest();
  sched::fiber* f = s.create(how, payload_size);
  f->run = run;
  f->spawn_site = __builtin_return_address(0);
  if (__builtin_expect(s.has_data(), 0)) task::inherit_values(s, *f);
  s.start(f);
  return f;
}

void start_fiber(fiber_base* f) noexcept {
  record(f)->home->start(record(f));
}

void abandon_fiber(fiber_base* f) noexcept {
  task::give_values(*record(f), {});
  record(f)->home->abandon(record(f));
}

void free_fiber(fiber_base* f) noexcept {
  sched::up.dispose(record(f));
}

namespace {
[[noreturn]] void refuse_own_join(const sched::fiber& f) {
  throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                          "coir::fiber::join: fiber #" + std::to_string(f.id) + " \"" + f.display_name() +
                              "\" would wait for itself");
}
}  // namespace

COIR_FIRST_STEP switch_request begin_join(wait_frame& frame, fiber_base* base) {
  sched::fiber* f = record(base);
  scheduler& s = scheduler::ensure();
  if (f->done()) {
    wait::pass_by(s);
    return {nullptr, nullptr};
  }
  const wait::mode m = wait::begin_wait(s);
  if (__builtin_expect(f == s.current(), 0)) refuse_own_join(*f);
  auto* w = ::new (frame.bytes) wait::queued_waiter(s);
  f->joiners.lock.lock();
  if (f->done()) {
    f->joiners.lock.unlock();
    return {nullptr, nullptr};
  }
  wait::enqueue_locked(f->joiners, *w);
  f->joiners.lock.unlock();
  return wait::suspend_in(*w, s, "join", m);
}

void finish_join(wait_frame& frame, fiber_base* base) {
  wait::queued_waiter& w = wait::waiter_in(frame);
  wait::end_wait(*w.fiber->home, wait::finish_queued(record(base)->joiners, w));
}

bool join_fiber_until(fiber_base* base, std::int64_t deadline_ns) {
  sched::fiber* f = record(base);
  scheduler& s = scheduler::ensure();
  if (f->done()) {
    wait::pass_by(s);
    return true;
  }
  const wait::mode m = wait::begin_wait(s);
  if (__builtin_expect(f == s.current(), 0)) refuse_own_join(*f);
  wait::queued_waiter w(s);
  f->joiners.lock.lock();
  if (f->done()) {
    f->joiners.lock.unlock();
    return true;
  }
  wait::enqueue_locked(f->joiners, w);
  f->joiners.lock.unlock();
  const wait::outcome o = wait::park_queued(f->joiners, w, "join", deadline_ns, m);
  wait::end_wait(s, o);
  return o == wait::outcome::notified;
}

void cancel_fiber(fiber_base* f) noexcept {
  wait::cancel_fiber(*record(f));
}

void raise_in_fiber(fiber_base* f, std::exception_ptr error) {
  if (error == nullptr) throw std::invalid_argument("coir::fiber::raise: error=null: expected an exception");
  wait::raise_in_fiber(*record(f), std::move(error));
}

void mark_observed(fiber_base* f) noexcept {
  f->mark(error_observed);
}

void rethrow_error(fiber_base* f) {
  mark_observed(f);
  std::rethrow_exception(f->error);
}

std::uint64_t fiber_id(const fiber_base* f) noexcept {
  return record(f)->id;
}
const char* fiber_name(const fiber_base* f) noexcept {
  return record(f)->display_name();
}

void check_run_context() {
  if (!scheduler::ensure().current()->has(sched::is_main))
    throw std::logic_error("coir::run: called on a fiber: expected a thread's main fiber");
}

void run_to_end(fiber_base* first) {
  scheduler& s = scheduler::ensure();
  try {
    const wait::mode m = wait::begin_wait(s);
    wait::waiter w(s);
    if (s.begin_run_down()) wait::end_wait(s, wait::park(w, "run", m));
  } catch (...) {
    s.end_run_down();
    cancel_fiber(first);
    const this_fiber::shield during;
    join_fiber(first);
    throw;
  }
  s.end_run_down();
}

}  // namespace coir::detail
