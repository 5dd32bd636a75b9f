// Boost.Fiber as a guest (D1): an algorithm for Boost's scheduler that is a guest_host for coir's.
//
// Boost's dispatcher calls `suspend_until` when nothing is ready: there, and when a turn is over (after
// `turn` picks, or the time of pace.hpp), coir looks for I/O, timers and mail, all on the dispatcher's stack.
// Waits in coir are suspensions of the Boost context that Boost knows nothing of; their wake-ups put it back
// into the ready queue.
//
// I1: a context is in `ready_` at most once, whoever wakes it.
// I2: coir's events are looked at by the dispatcher alone, so a context that is woken has left its stack.
// I3: a record lives from its fiber's first wait in coir until Boost has cleaned up the fiber's own data.
// I4: the C++ exception globals are those of the context that runs; those of others are in `kept_`.
#include "coir/boost_fiber.hpp"

#include <cxxabi.h>
#include <errno.h>

#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/scheduler.hpp>
#include <boost/version.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "base/check.hpp"
#include "coir/detail/context.hpp"
#include "wait/waiter.hpp"

namespace coir::task {
namespace {

namespace bf = boost::fibers;

// From 1.88 on Boost.Context keeps them itself.
constexpr bool keeps_exceptions = BOOST_VERSION < 108800;

struct eh_globals {  // of the Itanium C++ ABI
  void* caught;
  unsigned uncaught;
};

class boost_guest;

// The record of a Boost fiber. Boost keeps it as the "cleanup function" of the fiber's own data: it is
// destroyed after all other such data, whose cleaning up may wait in coir.
struct guest_record final : bf::detail::fss_cleanup_function, sched::fiber {
  boost_guest* host = nullptr;

  ~guest_record() override;
  void operator()(void*) override {}
};

guest_record* record_of(bf::context& c) noexcept;
class boost_guest final : public bf::algo::algorithm, public sched::guest_host {
 public:
  explicit boost_guest(sched::scheduler& home) noexcept
      : home_(home),
        eh_(reinterpret_cast<eh_globals*>(abi::__cxa_get_globals())),
        running_(bf::context::active()) {
    note_.host = this;
    note_.deliver = [](base::inbox_node* n) noexcept {
      auto* note = static_cast<wake_note*>(n);
      // acq_rel: pairs with notify; what it announced is seen
      note->posted.exchange(false, std::memory_order_acq_rel);
      note->host->notified_ = true;
    };
  }

  ~boost_guest() override {
    if (parked_ != 0) {
      base::write_text(2, "coir: another Boost.Fiber algorithm was installed while fibers wait in coir\n");
      std::abort();
    }
    if (note_.posted.load(std::memory_order_acquire)) home_.mail().deliver_all();
    while (home_.fibers().next != &home_.fibers()) {
      sched::fiber* f = sched::fiber_of(home_.fibers().next);
      f->all.unlink();
      static_cast<guest_record*>(f)->host = nullptr;
    }
    if (bf::context* here = bf::context::active()) restore(here);
    home_.dismiss_guest();
  }

  // --- what Boost's scheduler calls ---
  void awakened(bf::context* c) noexcept override {
    if (c->ready_is_linked()) return;  // I1
    // Switched away from without being asked: fiber(launch::dispatch) runs the new fiber at once.
    if (c == running_ && c != bf::context::active()) switched(c, bf::context::active());
    c->ready_link(ready_);
  }

  bf::context* pick_next() noexcept override {
    bf::context* from = bf::context::active();
    ++picks_;
    if (from->is_context(bf::type::dispatcher_context) && (picks_ >= turn || home_.poll_due())) {
      picks_ = 0;
      home_.poll();
    }
    if (ready_.empty()) return nullptr;
    bf::context* to = &ready_.front();
    ready_.pop_front();
    switched(from, to);
    return to;
  }

  bool has_ready_fibers() const noexcept override { return !ready_.empty(); }

  void suspend_until(std::chrono::steady_clock::time_point const& t) noexcept override {
    picks_ = 0;
    // steady_clock is CLOCK_MONOTONIC, and its last point is base::never.
    if (!notified_) home_.wait_once(std::chrono::nanoseconds(t.time_since_epoch()).count());
    notified_ = false;  // Boost looks next at what other threads made ready
  }

  // Another thread made one of this thread's contexts ready. (The dispatcher's own call at the end of the
  // thread announces nothing.)
  void notify() noexcept override {
    if (sched::scheduler::existing() == &home_) return;
    // acq_rel: pairs with its delivery; a note that is still to be delivered announces this one too
    if (!note_.posted.exchange(true, std::memory_order_acq_rel)) home_.mail().post(&note_);
  }

  // --- what coir's scheduler calls ---
  sched::fiber* current() noexcept override {
    bf::context* c = bf::context::active();
    if (c == nullptr) return &home_.main();  // Boost's scheduler has ended
    if (c == seen_) return seen_record_;
    sched::fiber* f = c->is_context(bf::type::main_context) ? &home_.main() : record(*c);
    f->context = c;
    seen_ = c;
    seen_record_ = f;
    return f;
  }

  void park(sched::fiber* self) noexcept override {
    const int error = errno;
    bf::context* c = context_of(self);
    ++parked_;
    while (self->state.load(std::memory_order_relaxed) == sched::fiber_state::parked) {
      if (!c->is_context(bf::type::dispatcher_context))
        c->suspend();
      else  // a destructor that Boost runs there: nobody else can wait for it
        home_.wait_once(base::never);
    }
    --parked_;
    errno = error;
  }

  void yield() noexcept override {
    bf::context* c = bf::context::active();
    if (c == nullptr || c->is_context(bf::type::dispatcher_context)) return;
    const int error = errno;
    c->yield();
    errno = error;
  }

  // Boost's spinlocks call sched_yield: what they wait for is another thread's to do, and a fiber that left
  // here would hold what it has locked for long. Other code may wait for a fiber of this thread, and gets
  // there more slowly.
  void spin() noexcept override {
    if (++spins_ % spins_before_yield == 0) yield();
  }

  void wake(sched::fiber* f) noexcept override {
    bf::context* c = context_of(f);
    if (c != bf::context::active()) awakened(c);  // else it has not suspended yet, and sees its state
  }

  void forked() noexcept override {
    const sched::fiber* self = current();
    lose_if_waiting(home_.main(), self);
    for (base::list_node* n = home_.fibers().next; n != &home_.fibers();) {
      sched::fiber* f = sched::fiber_of(n);
      n = n->next;
      lose_if_waiting(*f, self);
    }
    note_.posted.store(false, std::memory_order_relaxed);
  }

  void forget(const guest_record* r) noexcept {
    if (seen_record_ == r) seen_ = nullptr;
  }

 private:
  static constexpr unsigned turn = 128;
  static constexpr unsigned spins_before_yield = 64;

  static bf::context* context_of(sched::fiber* f) noexcept { return static_cast<bf::context*>(f->context); }

  struct wake_note : base::inbox_node {
    std::atomic<bool> posted{false};
    boost_guest* host;
  };

  sched::fiber* record(bf::context& c) noexcept {
    guest_record* r = record_of(c);
    if (r->host == this) return r;
    r->host = this;
    r->state.store(sched::fiber_state::running, std::memory_order_relaxed);
    home_.adopt(r);
    return r;
  }

  // Only its wake-up could take it out of a wait whose timers and operations the child does not have.
  void lose_if_waiting(sched::fiber& f, const sched::fiber* self) noexcept {
    if (&f == self) return;
    if (f.state.load(std::memory_order_relaxed) == sched::fiber_state::running) return;
    if (!f.has(sched::is_main)) f.all.unlink();
    if (context_of(&f)->ready_is_linked()) context_of(&f)->ready_unlink();
    --parked_;
  }

  // `from` stops running, `to` starts.
  void switched(bf::context* from, bf::context* to) noexcept {
    running_ = to;
    if constexpr (!keeps_exceptions) return;
    if (__builtin_expect(eh_->caught != nullptr || eh_->uncaught != 0, 0)) {
      kept_[from] = *eh_;
      *eh_ = {};
    }
    if (__builtin_expect(!kept_.empty(), 0)) restore(to);
  }
  void restore(bf::context* to) noexcept {
    const auto found = kept_.find(to);
    if (found == kept_.end()) return;
    *eh_ = found->second;
    kept_.erase(found);
  }

  sched::scheduler& home_;
  eh_globals* eh_;
  bf::scheduler::ready_queue_type ready_;
  bf::context* running_;
  bf::context* seen_ = nullptr;  // the context that `current` was last asked for …
  sched::fiber* seen_record_ = nullptr;
  unsigned picks_ = 0;
  unsigned spins_ = 0;
  unsigned parked_ = 0;
  bool notified_ = false;
  wake_note note_;
  std::unordered_map<bf::context*, eh_globals> kept_;  // of contexts that left while throwing or in a handler
};

guest_record::~guest_record() {
  if (all.linked()) all.unlink();
  if (host != nullptr) host->forget(this);
  detail::context(static_cast<detail::context_values*>(values));  // drops them
}

guest_record* record_of(bf::context& c) noexcept {
  static const char key = 0;  // its address
  static char name[] = "Boost fiber";
  if (void* known = c.get_fss_data(&key)) return static_cast<guest_record*>(known);
  try {
    auto* r = new guest_record;
    const bf::detail::fss_cleanup_function::ptr_t owner(r);
    r->refs.store(1, std::memory_order_relaxed);
    r->name = name;
    c.set_fss_data(&key, owner, r, false);
    return r;
  } catch (const std::bad_alloc&) {
    base::write_text(2, "coir: no memory for the record of a Boost fiber that waits\n");
    std::abort();
  }
}

}  // namespace
}  // namespace coir::task

namespace coir::boost_fiber {

void use_coir() {
  // First, so that at the thread's end Boost's scheduler goes first, if `active` is what makes it.
  sched::scheduler& s = sched::scheduler::ensure();
  if (s.guest() != nullptr)
    throw std::logic_error("coir::boost_fiber::use_coir: called again on this thread: once is enough");
  if (s.live() != 0)
    throw std::logic_error("coir::boost_fiber::use_coir: this thread has " + std::to_string(s.live()) +
                           " living coir fibers: expected none");
  boost::fibers::scheduler* theirs = boost::fibers::context::active()->get_scheduler();
  auto* guest = new task::boost_guest(s);
  theirs->set_algo(guest);  // owns it
  s.invite(guest);
}

}  // namespace coir::boost_fiber
