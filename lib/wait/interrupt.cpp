#include "wait/interrupt.hpp"

#include <errno.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "base/check.hpp"
#include "sched/describe.hpp"
#include "wait/landing.hpp"
#include "wait/lot.hpp"

namespace coir::wait {
namespace {

// "End what `f` does" from another thread.
struct interrupt_message : base::inbox_node {
  sched::fiber* target;
  std::unique_ptr<sched::raised_error> error;
};

void append(sched::fiber& f, std::unique_ptr<sched::raised_error> error) noexcept {
  if (f.raised == nullptr) {
    f.raised = error.release();
    return;
  }
  sched::raised_error* last = f.raised;
  while (last->next != nullptr) last = last->next.get();
  last->next = std::move(error);
}

void deliver_message(base::inbox_node* node) noexcept {
  const std::unique_ptr<interrupt_message> m(static_cast<interrupt_message*>(node));
  if (!m->target->done()) {
    const bool raises = m->error != nullptr;
    if (raises) append(*m->target, std::move(m->error));
    deliver(*m->target, raises ? raise : cancel);
  }
  detail::release(m->target);
}

void send(sched::fiber& f, std::unique_ptr<sched::raised_error> error) {
  auto m = std::make_unique<interrupt_message>();
  m->deliver = deliver_message;
  m->target = &f;
  m->error = std::move(error);
  detail::retain(&f);
  if (f.home->mail().post(m.get()))
    (void)m.release();
  else
    detail::release(&f);  // its thread is gone, and it has ended
}

// What of `pending` it is to hear of now.
std::uint8_t heard(const sched::fiber& f) noexcept {
  if (f.pending == 0 || f.home->unwinding(f) == 0) return f.pending;
  const int timeout = first_expired(f) != nullptr ? timeout_expired : 0;
  return static_cast<std::uint8_t>((f.pending & deadlock_found) | timeout);
}

}  // namespace

bool on_deadlock(sched::scheduler& s) noexcept {
  sched::fiber& main = s.foremost();
  base::write_text(2, "coir: deadlock: every fiber waits, and nothing can wake one:\n");
  if (&main == &s.main()) sched::describe(2, main);
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next)
    sched::describe(2, *sched::fiber_of(n));
  if (s.running_down() && main.waiting == nullptr) {
    main.interrupts = static_cast<std::uint8_t>(main.interrupts | deadlock_found);
    refresh(main);
    s.ready(&main);
    return true;
  }
  if (main.waiting == nullptr || main.waiting->heeds_handlers_only) {
    base::write_text(
        2,
        "coir: the main fiber waits for what no exception can end (a lock of libc, a helper thread, or "
        "clean-up while an exception unwinds): the program ends here\n");
    std::abort();
  }
  deliver(main, deadlock_found);
  return true;
}

namespace {

// The process was stopped and goes on, or was looked at by a tracer: no handler ran.
void after_stop(sched::scheduler& s) noexcept {
  const auto end_wait = [](sched::fiber& f) {
    waiter* w = f.waiting;
    if (w != nullptr && w->ended_by == ending_handlers::all_and_stops && w->claim(outcome::signalled))
      w->wake();
  };
  end_wait(s.main());
  for (base::list_node* n = s.fibers().prev; n != &s.fibers(); n = n->prev) end_wait(*sched::fiber_of(n));
}

}  // namespace

void on_signal(sched::scheduler& s, bool asleep) noexcept {
  lot::wake_late();
  deliver_jumps(s);
  sched::scheduler::handled ran = s.take_handled();
  const bool unknown = ran.all == 0;  // a handler that coir did not install
  if (unknown && (!asleep || s.take_own_handler())) return;
  if (unknown && !sched::has_other_handlers()) return after_stop(s);
  const std::uint64_t common = unknown ? 0 : s.common_signal_mask();
  if (unknown) ran.all = ~std::uint64_t{0};
  const sched::fiber* beside = unknown ? nullptr : s.handled_beside();
  const auto end_wait = [&](sched::fiber& f) {
    waiter* w = f.waiting;
    if (w == nullptr || w->ended_by == ending_handlers::none || &f == beside) return false;
    const std::uint64_t ending = w->ended_by >= ending_handlers::all ? ran.all : ran.without_restart;
    const std::uint64_t blocked = w->mask != nullptr ? *w->mask : f.has_signal_mask ? f.signal_mask : common;
    if ((unknown ? ending : ending & ~blocked) == 0 || !w->claim(outcome::signalled)) return false;
    w->wake();
    return true;
  };
  // One blocked call hears of a signal, the main fiber's first.
  if (end_wait(s.main())) return;
  for (base::list_node* n = s.fibers().prev; n != &s.fibers(); n = n->prev)
    if (end_wait(*sched::fiber_of(n))) return;
}

void on_ran_down(sched::scheduler& s) noexcept {
  waiter* w = s.main().waiting;
  if (w == nullptr)
    s.ready(&s.main());
  else if (w->claim(outcome::notified))
    w->wake();
}

// A thread ends while fibers of it have not: they are cancelled and run to their ends.
void on_thread_end(sched::scheduler& s) noexcept {
  base::write_text(
      2,
      "coir: a thread ends before these fibers of it, which are cancelled (join them before, or end the "
      "thread's function by coir::run):\n");
  for (base::list_node* n = s.fibers().next; n != &s.fibers(); n = n->next) {
    auto* f = sched::fiber_of(n);
    sched::describe(2, *f);
    deliver(*f, cancel);
  }
  s.run_down();
}

void refresh(sched::fiber& f) noexcept {
  std::uint8_t pending = f.interrupts & (deadlock_found | jumping);
  if (f.shield_depth == 0) pending |= f.interrupts & (cancel | raise);
  for (timeout_scope* t = f.timeouts; t != nullptr; t = t->outer_)
    if (t->expired_ && t->shield_depth_ >= f.shield_depth) pending |= timeout_expired;
  if ((f.pending != 0) != (pending != 0)) pending != 0 ? ++detail::listening : --detail::listening;
  f.pending = pending;
}

bool deliver(sched::fiber& f, interrupt what) noexcept {
  f.interrupts = static_cast<std::uint8_t>(f.interrupts | what);
  refresh(f);
  waiter* w = f.waiting;
  if (w == nullptr || w->heeds_handlers_only || heard(f) == 0) return false;
  if (!w->claim(outcome::interrupted)) return false;
  w->wake();
  return true;
}

void cancel_fiber(sched::fiber& f) noexcept {
  if (f.done()) return;
  if (f.home == sched::scheduler::existing()) {
    deliver(f, cancel);
    return;
  }
  try {
    send(f, nullptr);
  } catch (const std::bad_alloc&) {
    base::write_text(2, "coir: a fiber of another thread was not cancelled: no memory for the message\n");
  }
}

void raise_in_fiber(sched::fiber& f, std::exception_ptr error) {
  if (f.done()) return;
  auto raised = std::make_unique<sched::raised_error>();
  raised->error = std::move(error);
  if (f.home != sched::scheduler::existing()) return send(f, std::move(raised));
  append(f, std::move(raised));
  deliver(f, raise);
}

// It hears of a timeout now.
void settle_timeouts(const sched::fiber& f) noexcept {
  for (timeout_scope* t = f.timeouts; t != nullptr; t = t->outer_) t->owed_ = false;
}

void throw_interrupt(sched::fiber& f) {
  if ((f.pending & jumping) != 0) refuse_jump(f);
  if ((f.pending & deadlock_found) != 0) {
    f.interrupts = static_cast<std::uint8_t>(f.interrupts & ~deadlock_found);
    refresh(f);
    throw deadlock();
  }
  const std::uint8_t now = heard(f);
  if ((now & cancel) != 0) throw cancelled();
  if ((now & raise) != 0) {
    const std::unique_ptr<sched::raised_error> first(f.raised);
    f.raised = first->next.release();
    if (f.raised == nullptr) f.interrupts = static_cast<std::uint8_t>(f.interrupts & ~raise);
    refresh(f);
    std::rethrow_exception(std::move(first->error));
  }
  timeout_scope* scope = first_expired(f);
  COIR_CHECK(scope != nullptr);
  scope->told_ = timeout_scope::told::by_exception;
  settle_timeouts(f);
  throw timed_out(scope);
}

void throw_pending(sched::fiber& f) {
  f.home->charge();  // one that catches it and goes on lets others run
  if (f.home->unwinding(f) == 0 || first_expired(f) != nullptr) throw_interrupt(f);
}

void pass_by(sched::scheduler& s) {
  s.attend();
  sched::fiber& f = *s.current();
  if (__builtin_expect((f.pending & ~timeout_expired) != 0, 0) && !s.unwinding()) throw_interrupt(f);
}

mode begin_wait_unwinding(sched::fiber& f) {
  throw_if_interrupted(f);
  const unsigned depth = f.home->unwinding(f);
  for (const timeout_scope* t = f.timeouts; t != nullptr; t = t->outer_)
    if (t->unwinding_ >= depth) return mode::interruptible;
  return mode::uninterruptible;
}

int interrupt_errno(const sched::fiber& f) noexcept {
  if (__builtin_expect(f.pending == 0, 1)) return 0;
  if ((f.pending & jumping) != 0) return EINTR;
  f.home->charge();  // so does one that tries again
  const std::uint8_t now = heard(f);
  if ((now & ~timeout_expired) != 0) return ECANCELED;
  if (now == 0) return 0;
  timeout_scope* scope = first_expired(f);
  if (scope != nullptr && scope->told_ == timeout_scope::told::nobody)
    scope->told_ = timeout_scope::told::by_error;
  settle_timeouts(f);
  return ETIMEDOUT;
}

void told_by_error(const void* scope) noexcept {
  for (timeout_scope* t = sched::scheduler::ensure().current()->timeouts; t != nullptr; t = t->outer_)
    if (t == scope) t->told_ = timeout_scope::told::by_error;
}

timeout_scope::timeout_scope(sched::scheduler& s, base::nanoseconds deadline) noexcept
    : fiber_(s.current()),
      outer_(fiber_->timeouts),
      shield_depth_(fiber_->shield_depth),
      unwinding_(s.unwinding(*fiber_)) {
  fiber_->timeouts = this;
  ++detail::cooperative;  // it may end waits of a fiber that is the thread's only one
  ++detail::listening;
  timer_.fire = on_expiry;
  timer_.scope = this;
  arm(deadline);
}

void timeout_scope::arm(base::nanoseconds deadline) noexcept {
  sched::scheduler& s = *fiber_->home;
  timer_.when = deadline;
  if (deadline == base::never) return;
  if (deadline <= s.now()) return on_expiry(&timer_);
  s.add_timer(&timer_);
  s.watch_closely();
}

// Scopes need not be left in the order of making. Of one that another fiber leaves nothing may be looked at:
// the fiber that made it may be gone.
timeout_scope::~timeout_scope() {
  sched::scheduler* s = sched::scheduler::existing();
  timeout_scope** at = s != nullptr && s->current() == fiber_ ? &fiber_->timeouts : nullptr;
  while (at != nullptr && *at != this) at = *at != nullptr ? &(*at)->outer_ : nullptr;
  if (at == nullptr)
    base::misused(
        "a coir::timeout is destroyed by another fiber than made it: make it a local variable of the "
        "function "
        "whose waits it limits");
  cancel();
  *at = outer_;
  refresh(*fiber_);
  --detail::cooperative;
  --detail::listening;
}

void timeout_scope::cancel() noexcept {
  if (timer_.armed()) fiber_->home->remove_timer(&timer_);
  // Another fiber cancels or resets it, after it has ended a wait whose caller has not been told: too late.
  if (owed_ && fiber_->home->current() != fiber_) return;
  owed_ = false;
  expired_ = false;
  told_ = told::nobody;
  refresh(*fiber_);
}

void timeout_scope::reset(base::nanoseconds deadline) noexcept {
  cancel();
  if (!expired_) arm(deadline);
}

void timeout_scope::on_expiry(sched::timer* t) noexcept {
  timeout_scope* scope = static_cast<scope_timer*>(t)->scope;
  scope->expired_ = true;
  if (deliver(*scope->fiber_, timeout_expired)) scope->owed_ = true;
}

timeout_scope* first_expired(const sched::fiber& f) noexcept {
  timeout_scope* first = nullptr;
  const unsigned depth = f.home->unwinding(f);
  for (timeout_scope* t = f.timeouts; t != nullptr; t = t->outer_)
    if (t->expired_ && t->shield_depth_ >= f.shield_depth && t->unwinding_ >= depth &&
        (first == nullptr || t->timer_.when < first->timer_.when))
      first = t;
  return first;
}

void rearm_after_fork(sched::fiber& f) noexcept {
  forget_jumps(f);
  // Who waited in the parent stays in the queues of mutexes and semaphores, but can be given nothing any
  // more.
  const bool guests = f.home->guest() != nullptr;
  const auto lay = [&](sched::fiber& ghost) {
    if (&ghost == &f || ghost.waiting == nullptr) return;
    ghost.waiting->claim(outcome::interrupted);
    // Where others go on, the count does too.
    if (!guests) return;
    if (ghost.pending != 0) --detail::listening;
    for (timeout_scope* t = ghost.timeouts; t != nullptr; t = t->outer_)
      --detail::cooperative, --detail::listening;
  };
  lay(f.home->main());
  for (base::list_node* n = f.home->fibers().next; n != &f.home->fibers(); n = n->next)
    lay(*sched::fiber_of(n));
  if (!guests && f.pending != 0) ++detail::listening;
  for (timeout_scope* t = f.timeouts; t != nullptr; t = t->outer_) {
    if (!guests) ++detail::cooperative, ++detail::listening;  // which begin anew
    if (!t->timer_.armed()) continue;
    const base::nanoseconds when = t->timer_.when;
    new (&t->timer_) timeout_scope::scope_timer;
    t->timer_.when = when;
    t->timer_.fire = timeout_scope::on_expiry;
    t->timer_.scope = t;
    f.home->add_timer(&t->timer_);
  }
}

}  // namespace coir::wait

namespace coir {

static_assert(sizeof(wait::timeout_scope) <= 96);

namespace {
wait::timeout_scope* scope_of(std::byte* storage) noexcept {
  // SAFETY: made there by timeout's constructor.
  return std::launder(reinterpret_cast<wait::timeout_scope*>(storage));
}
}  // namespace

timeout::timeout(nanoseconds_tag, long long ns) {
  sched::scheduler& s = sched::scheduler::ensure();
  new (scope_) wait::timeout_scope(s, base::add_saturated(s.now(), ns));
}
timeout::timeout(deadline_tag, long long at_ns) {
  new (scope_) wait::timeout_scope(sched::scheduler::ensure(), at_ns);
}
timeout::~timeout() {
  scope_of(scope_)->~timeout_scope();
}
bool timeout::expired() const noexcept {
  const wait::timeout_scope& scope = *scope_of(const_cast<std::byte*>(scope_));
  if (sched::scheduler* s = sched::scheduler::existing()) s->hear();
  return scope.expired();
}
bool timeout::cut_short() const noexcept {
  return scope_of(const_cast<std::byte*>(scope_))->cut_short();
}
void timeout::check() const {
  if (cut_short()) throw timed_out(this);
}
void timeout::reset_ns(long long at_ns) noexcept {
  scope_of(scope_)->reset(at_ns);
}
void timeout::cancel() noexcept {
  scope_of(scope_)->cancel();
}

namespace detail {

void negative_duration(const char* where, long double seconds) {
  throw std::invalid_argument(std::string(where) + ": duration=" +
                              std::to_string(static_cast<double>(seconds)) + " s: expected zero or more");
}

std::int64_t now_ns() {
  return sched::scheduler::ensure().now();
}

}  // namespace detail
}  // namespace coir
