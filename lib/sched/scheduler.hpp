// One thread's scheduler: its fibers, run queue, timers, reactor and mailbox. No hub: the parking fiber picks
// the next one and switches to it; if there is none it sleeps in the reactor on its own stack (D3).
//
// Longer than other files: one class, of which all that is hot has to be inline.
//
// Called by lib/wait and lib/task; calls lib/reactor and lib/context. Nothing here is locked: all of it
// belongs to one thread, and other threads come through the mailbox.
//
// I1: `here_.fiber` is running; all fibers in the run queue are ready; no fiber is both.
// I2: what must happen after a fiber left its stack for good (freeing it) is done by the fiber switched to.
// I3: timers, other threads and I/O are looked at once a turn (pace.hpp) even when the run queue never
// empties, and when whoever runs makes calls that need not wait (`attend`, `charge`). Whom they make ready in
// a crowd of long slices is `urgent_`, and goes ahead of every other of the rest: a timer is late by a turn
// and two slices, however many compute, and who computes keeps half.
// I4: while anyone is urgent, the run queue is not empty.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "base/clock.hpp"
#include "context/overflow.hpp"
#include "context/stack.hpp"
#include "context/switch.hpp"
#include "reactor/reactor.hpp"
#include "sched/fiber.hpp"
#include "sched/mailbox.hpp"
#include "sched/pace.hpp"
#include "sched/run_down.hpp"
#include "sched/run_queue.hpp"
#include "sched/timer_wheel.hpp"
#include "sched/upcalls.hpp"

namespace coir::sched {

// A way to run fibers other than coir's own (lib/task/boost_fiber.cpp). Each of them that waits in coir has a
// record of its own, made by the guest, so that waiters, timeouts and owners need not know. All on the
// guest's thread.
class guest_host {
 public:
  virtual fiber* current() noexcept = 0;        // the running one's record; `main` for the thread's own stack
  virtual void park(fiber* self) noexcept = 0;  // suspends it for as long as its state is `parked`
  virtual void yield() noexcept = 0;
  virtual void spin() noexcept = 0;          // sched_yield was called, perhaps by a spinlock of its own
  virtual void wake(fiber* f) noexcept = 0;  // its state has become `ready`
  virtual void forked() noexcept = 0;        // in the child: those that wait in coir wait for ever

 protected:
  ~guest_host() = default;
};

// Has forks told to the schedulers, once for the process (fork.cpp). False if there is no memory.
bool tell_at_fork() noexcept;

class scheduler {
 public:
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  // This thread's, or null if it never needed one.
  static scheduler* existing() noexcept { return this_thread; }
  // This thread's, made at first use. Throws std::system_error, std::bad_alloc or std::invalid_argument
  // (COIR_*).
  static scheduler& ensure() {
    scheduler* s = this_thread;
    return __builtin_expect(s != nullptr, 1) ? *s : make_for_this_thread();
  }

  fiber* current() noexcept {
    return __builtin_expect(guest_ == nullptr, 1) ? own_current() : guest_->current();
  }
  // The same without asking a guest, whose fibers count as the main one: for signal handlers.
  fiber* own_current() const noexcept { return record(here_.fiber); }
  fiber& main() noexcept { return main_; }
  int thread_id() const noexcept { return thread_id_; }  // gettid(2)
  // Whether an address is in the calling thread's own stack; in one of coir's, or that of the first thread.
  static bool on_thread_stack(std::uintptr_t at) noexcept;
  static bool on_known_stack(std::uintptr_t at) noexcept;

  // --- fibers ---
  // A record with its stack; not started. Throws as coir::spawn.
  fiber* create(const attributes* how, std::size_t payload_size);
  void start(fiber* f) noexcept {
    ++live_;
    ++detail::cooperative;
    queue_.push(f);
  }
  // A record that was never started: gives back what create took.
  void abandon(fiber* f) noexcept {
    queue_.give_up();
    f->all.unlink();
    if (f->has(carries_flow)) drop_carried(f);
    recycle(f);
  }
  // A record that was not started: what it has of the current fiber's, which is not its maker, goes.
  void disinherit(fiber* f) noexcept {
    if (f->has(carries_flow)) drop_carried(f);
  }
  // The record and stack of a fiber that ended or never started.
  void recycle(fiber* f) noexcept;

  // Makes a parked fiber of this thread ready.
  void ready(fiber* f) noexcept {
    f->state.store(woken_, std::memory_order_relaxed);
    if (__builtin_expect(guest_ != nullptr, 0)) return guest_->wake(f);
    queue_.push(f);
  }
  // Any thread: the caller has won the parked fiber's waiter.
  static void wake(fiber* f) noexcept {
    scheduler* home = f->home;
    if (home == this_thread)
      home->ready(f);
    else
      home->mail().push(&f->inbox);
  }

  // Lets the other ready fibers run first.
  void yield() noexcept { detail::switch_fibers(begin_yield()); }
  detail::switch_request begin_yield() noexcept {
    count_switch();
    if (queue_.empty()) return {nullptr, own_current()};
    fiber* self = own_current();
    fiber* to = queue_.exchange(self);
    __builtin_prefetch(queue_.front());
    return hand_over(self, to);
  }

  bool has_ready() const noexcept { return !queue_.empty(); }

  // The same for whoever runs here, a guest's fibers too.
  void yield_any() noexcept {
    if (__builtin_expect(guest_ == nullptr, 1))
      yield();
    else
      guest_->yield();
  }

  // Time may have passed: what is due is looked at once a turn, and nobody else runs.
  void attend() noexcept {
    if (__builtin_expect(--here_.budget == 0, 0)) look_and_go_on();
  }
  // A call that could have waited did not have to: after a turn of those the others get theirs. True: they
  // did.
  bool charge() noexcept { return __builtin_expect(--here_.budget == 0, 0) && look_and_give_way(); }

  // Suspends the current fiber until something makes it ready. Something must be able to.
  [[gnu::always_inline]] void park(const char* reason) noexcept { detail::switch_fibers(begin_park(reason)); }
  detail::switch_request begin_park(const char* reason) noexcept {
    return begin_park(reason, [this] { count_switch(); });
  }
  // In a call that `attend` or `charge` has counted.
  detail::switch_request begin_counted_park(const char* reason) noexcept {
    return begin_park(reason, [] {});
  }
  template <class Count>
  detail::switch_request begin_park(const char* reason, Count count) noexcept {
    if (__builtin_expect(guest_ != nullptr, 0)) return guest_park(reason);
    fiber* self = own_current();
    detail::check_stack(self);
    self->park_reason = reason;
    self->state.store(fiber_state::parked, std::memory_order_relaxed);
    count();
    fiber* to = queue_.empty() ? wait_for_ready() : queue_.pop();
    if (to == self) return {nullptr, self};
    look_ahead();
    return hand_over(self, to);
  }

  // Looks for due timers, I/O and wake-ups without waiting: a turn begins.
  void poll() noexcept;
  // For guests: whether so much time has passed since the last turn began that `poll` is due.
  bool poll_due() const noexcept { return pace_.over(ticks(), turn_ticks()); }
  // What has come from other threads and what is due of timers, at once: for the current fiber, which
  // computes and asks. Nobody else runs.
  void hear() noexcept;
  // The current fiber is about to wait for time or I/O: those who compute are watched more closely.
  void watch() noexcept { allow(pace::watchful); }
  // The current fiber is to be stopped after a while, whatever it does: its next call is looked at, and then
  // as many as prove to be short.
  void watch_closely() noexcept {
    allow(1);
    pace_.doubt();
  }

  // --- what waits need ---
  base::nanoseconds now() noexcept {
    seen_now_ = __builtin_expect(virtual_now_ != nullptr, 0) ? *virtual_now_ : base::monotonic_now();
    return seen_now_;
  }
  // Whether a deadline that was made by `now` is over.
  bool is_past(base::nanoseconds deadline) const noexcept { return deadline <= seen_now_; }
  void add_timer(timer* t) noexcept {
    watch();
    timers_.add(t, seen_now_);
  }
  void remove_timer(timer* t) noexcept { timers_.remove(t); }
  // Made at first use. Throws as make_reactor.
  reactor::reactor& io() { return __builtin_expect(io_ != nullptr, 1) ? *io_ : open_reactor(); }
  reactor::reactor* opened_io() noexcept { return io_.get(); }
  reactor::fd_table& fds() noexcept { return fds_; }
  // Any thread, of any scheduler that ever was.
  mailbox& mail() noexcept;
  // Waits that something outside this process's threads can end (a signal, a helper thread) keep it from
  // deadlock.
  void external_wait(int change) noexcept { external_ += change; }

  // From now on fibers of this thread may have `locals` or `values`.
  void note_data() noexcept { has_data_ = true; }
  bool has_data() const noexcept { return has_data_; }

  // Why patched calls of this thread go the cooperative way though it may have no fibers: besides these,
  // timeout scopes do, each counted in detail::cooperative while it lives.
  enum ground : std::uint32_t {
    always = 1,    // COIR_PATCH_ALWAYS
    posts = 2,     // another thread may have calls made here
    handlers = 4,  // on_signal
  };
  void cooperate(ground why, bool now = true) noexcept {
    if (((grounds_ & why) != 0) == now) return;
    grounds_ ^= why;
    now ? ++detail::cooperative : --detail::cooperative;
    if (why == handlers) now ? ++detail::listening : --detail::listening;
  }
  // The current fiber is the thread's only one, and nothing but a signal handler can end its waits: a call
  // that would need a helper thread is made on this one.
  bool alone() const noexcept {
    return guest_ == nullptr && detail::cooperative == (grounds_ & always) + (main_left_behind_ ? 1U : 0U);
  }

  // --- what some fibers have of their own while they run ---
  // Adds `change` to the depth of the current fiber's scopes in which no call of it is patched.
  void switch_patch_off(int change) noexcept;
  // rt_sigprocmask(2) for the current fiber; the kernel's answer.
  long change_signal_mask(int how, const std::uint64_t* set, std::uint64_t* before) noexcept;
  // The signal mask of this thread's fibers that have none of their own.
  std::uint64_t common_signal_mask() const noexcept;
  // While the thread sleeps no more than this is blocked; null: no longer.
  void overlay_signal_mask(const std::uint64_t* mask) noexcept;

  // All signals that fibers of this thread wait for in sigwait and its kin: blocked for everybody meanwhile.
  void await_signals(std::uint64_t signals) noexcept;

  // --- signal handlers ---
  // In a handler of this thread: `signal`'s has run (0: what it did is to be looked at, and no wait ends for
  // it), installed with or without SA_RESTART. Delivered as upcalls::interrupted.
  void note_handler(int signal, bool restarts) noexcept;
  struct handled {
    std::uint64_t all;  // bits of signals
    std::uint64_t without_restart;
  };
  // What was noted since the last time.
  handled take_handled() noexcept {
    return {handled_.exchange(0, std::memory_order_acq_rel),
            handled_without_restart_.exchange(0, std::memory_order_acq_rel)};
  }
  // What take_handled took is to be heard of after all.
  void put_back(const handled& h) noexcept {
    handled_.fetch_or(h.all, std::memory_order_acq_rel);
    handled_without_restart_.fetch_or(h.without_restart, std::memory_order_acq_rel);
  }
  // In a handler of this thread: coir's own has run, which ends no wait.
  void note_own_handler() noexcept { own_handler_ran_ = asleep_; }
  bool take_own_handler() noexcept { return std::exchange(own_handler_ran_, false); }
  // The fiber whose work the last handler interrupted, if it was one; a wait it began since is none of those.
  const fiber* handled_beside() const noexcept { return handled_beside_; }
  // The thread is in the reactor or on its way there.
  bool asleep() const noexcept { return asleep_; }
  // Nobody runs: a handler that runs now has interrupted no fiber.
  bool idle() const noexcept {
    const fiber_state now = own_current()->state.load(std::memory_order_relaxed);
    return asleep_ || (guest_ == nullptr && (now == fiber_state::parked || now == fiber_state::done));
  }

  // Whether the current fiber is throwing an exception right now.
  bool unwinding() const noexcept { return eh_->uncaught != 0; }
  // How many exceptions unwind the stack of `f`, a fiber of this thread; 0 for a guest's that does not run.
  unsigned unwinding(const fiber& f) noexcept {
    return current() == &f ? eh_->uncaught : f.eh_uncaught & ~carries_mark;
  }
  std::uint32_t live() const noexcept { return live_; }
  base::list_node& fibers() noexcept { return fibers_; }
  context::stack_pool& stacks() noexcept { return stacks_; }

  // --- tests and guests ---
  // Puts a reactor of the caller's and its clock in place of the kernel's.
  void use_reactor(std::unique_ptr<reactor::reactor> io, const base::nanoseconds* virtual_now) noexcept {
    io_ = std::move(io);
    virtual_now_ = virtual_now;
  }
  guest_host* guest() noexcept { return guest_; }
  // From now on `g` runs this thread's fibers, and patched calls go the cooperative way. There are no fibers
  // yet.
  void invite(guest_host* g) noexcept;
  // The guest ends; none of its fibers waits in coir. Ends the scheduler too if the thread is past its own
  // end.
  void dismiss_guest() noexcept;
  // For guests: gives a record its place among this thread's fibers.
  void adopt(fiber* f) noexcept;
  // For guests: waits in the reactor for completions, timers and wake-ups, at most until `until`; not at all
  // if something had arrived already.
  void wait_once(base::nanoseconds until) noexcept;
  // The thread ends. A guest may still have fibers to run: then the scheduler stays until it is dismissed.
  static void end_thread(scheduler* s) noexcept;

  // Main fiber only: runs the others until none is left.
  void run_down() noexcept;  // returns early only if made ready by a deadlock
  // The same for who waits by himself between the two, and is told by upcalls::ran_down; false if there are
  // none.
  bool begin_run_down() noexcept { return run_down_ = live_ != 0; }
  void end_run_down() noexcept { run_down_ = false; }
  bool running_down() const noexcept { return run_down_; }
  // The main fiber; where a fork left that in the parent the oldest, at first the one that forked.
  fiber& foremost() noexcept { return main_left_behind_ ? *fiber_of(fibers_.prev) : main_; }
  bool ending() const noexcept { return ending_; }  // with its thread

  // After fork, in the child: only the current fiber goes on. All signals are blocked; `mask` was before.
  void after_fork_in_child(std::uint64_t mask) noexcept;
  // How many forks lie between the thread's beginning and this process: fibers of before are not here any
  // more.
  std::uint32_t forks() const noexcept { return forks_; }

  static inline thread_local scheduler* this_thread __attribute__((tls_model("initial-exec"))) = nullptr;

 private:
  struct eh_globals {
    void* caught;
    unsigned uncaught;
  };

  // Ready fibers that are not in the run queue yet, linked by their inbox nodes, which nobody uses meanwhile
  // (I3 of fiber.hpp).
  struct urgent_list {
    base::inbox_node* first = nullptr;
    base::inbox_node* last = nullptr;
  };

  // In fiber::eh_uncaught of one that is not running: it carries more than exceptions.
  static constexpr unsigned carries_mark = 0x80000000U, sanitized_mark = 1;

  static constexpr std::size_t record_room = (sizeof(fiber) + 63) / 64 * 64;

  // The stack of a record, without reading its third cache line where it has the default size: the record
  // lies less than 4 KiB below the top, which is a whole page.
  static context::stack stack_of(const fiber* f) noexcept {
    if (__builtin_expect(f->has(own_stack_size), 0)) return f->stack;
    const auto at = reinterpret_cast<std::uintptr_t>(f);
    return {reinterpret_cast<char*>((at | 4095) + 1 - context::usual_stack_size), context::usual_stack_size};
  }
  // Makes every field that spawn does not set what it was in a fresh record.
  static void clean(fiber& f) noexcept;
  // Gives a record its number and its place among this thread's fibers.
  void enter(fiber* f) noexcept;
  void tell_running() noexcept { detail::running = &here_; }
  explicit scheduler(unsigned slot);
  static scheduler& make_for_this_thread();
  static void end(scheduler* s) noexcept;
  static void entry(context::transfer from) noexcept;
  reactor::reactor& open_reactor();
  void replace_stopgap() noexcept;
  // No more than `most` switches and calls until the next look.
  void allow(std::uint32_t most) noexcept {
    if (__builtin_expect(here_.budget <= most, 1)) return;
    pace_.withdraw(here_.budget - most);
    here_.budget = most;
  }
  detail::switch_request guest_park(const char* reason) noexcept;
  void after_fork_with_guest() noexcept;

  // The run queue is empty: sleeps until it is not, and pops.
  fiber* wait_for_ready() noexcept;

  // The budget is spent: looks at the clock, polls if the turn is over, and grants a new one. True if the
  // current fiber has made calls for a turn.
  bool look() noexcept;
  void look_and_go_on() noexcept;
  bool look_and_give_way() noexcept;
  void count_switch() noexcept {
    if (__builtin_expect(--here_.budget == 0, 0)) look();
  }
  void poll_mail() noexcept;
  void poll_kernel() noexcept;
  void poll_into_queue(bool crowd) noexcept;
  bool let_urgent_in() noexcept;
  bool most_were_woken() const noexcept;
  bool watched() const noexcept { return !timers_.empty() || (io_ != nullptr && io_->busy()); }
  std::uint64_t ticks() const noexcept {
    return __builtin_expect(virtual_now_ != nullptr, 0) ? static_cast<std::uint64_t>(*virtual_now_)
                                                        : base::ticks();
  }
  std::uint64_t turn_ticks() const noexcept {
    return __builtin_expect(virtual_now_ != nullptr, 0) ? pace::turn : base::tick_rate::in(pace::turn);
  }

  // Makes `to` the current fiber, but for the jump itself.
  detail::switch_request hand_over(fiber* self, fiber* to) noexcept {
    const bool announced = keep_flow(self, to);
    here_.fiber = to;
    if (__builtin_expect(announced, 0)) return announced_switch(self, to);
    return {to->context, self};
  }
  // Under a sanitizer, which is told on both sides: the jump is made here.
  static detail::switch_request announced_switch(fiber* self, fiber* to) noexcept;

  // Among many fibers the records of each have left the cache by the time it goes on: asked for this early,
  // they are there again. Six places are about the time a miss takes; the second line is where a fresh
  // fiber's first frame lies. Fetching more of the frames, or following `context` of one that may not be
  // there yet, cost more than it gave (docs/adr/0003-many-cold-fibers.md).
  void look_ahead() const noexcept {
    const auto record = reinterpret_cast<std::uintptr_t>(queue_.behind(6));  // perhaps none: only a hint
    __builtin_prefetch(reinterpret_cast<const void*>(record), 1);
    __builtin_prefetch(reinterpret_cast<const void*>(record - 128), 1);
  }

  // Keeps errno and the exceptions in flight with their fiber (D11). True: a sanitizer is to be told.
  bool keep_flow(fiber* self, fiber* to) noexcept {
    self->saved_errno = *errno_;
    *errno_ = to->saved_errno;
    // A fiber's own fields are zero while it runs, so that this is one branch where no exceptions are about,
    // nobody carries anything else, and there is no sanitizer.
    if (__builtin_expect((reinterpret_cast<std::uintptr_t>(eh_->caught) | eh_->uncaught | carried_ |
                          reinterpret_cast<std::uintptr_t>(to->eh_caught) | to->eh_uncaught) != 0,
                         0))
      return exchange_flow(self, to);
    return false;
  }

  bool exchange_flow(fiber* self, fiber* to) noexcept;

  // Exchanges what `self`, which leaves, and `to` have of their own besides (lib/sched/carry.cpp).
  void carry(fiber* self, fiber* to) noexcept;
  void carries(bool any) noexcept { carried_ = (carried_ & sanitized_mark) | (any ? carries_mark : 0); }
  void note_carried(fiber* f) noexcept;         // `f`, which runs, may have begun or ceased to carry
  void inherit_carried(fiber* child) noexcept;  // a fresh one has its maker's signal mask
  void drop_carried(fiber* f) noexcept;         // it ends, or never began
  bool mask_known() const noexcept { return own_masks_ != 0 || overlaid_ || (awaited_ | held_) != 0; }
  std::uint64_t mask_for(const fiber& f) const noexcept;  // while known
  std::uint64_t mask_of_all() noexcept;                   // while known
  void put_mask(std::uint64_t mask) noexcept;
  void leave_mask(fiber* self, std::uint64_t next) noexcept;
  void let_go_of_held(fiber* f, std::uint64_t still) noexcept;
  void set_own_mask(fiber* f, std::uint64_t was, std::uint64_t now) noexcept;
  // The thread sleeps on the current fiber's stack.
  void fall_asleep() noexcept;
  void wake_up() noexcept;
  void forget_signals_in_child(std::uint64_t mask) noexcept;

  // First thing on a fresh stack (elsewhere switch_fibers does it): the other one is now suspended.
  static void arrived(fiber* from, void* context) noexcept {
    from->context = context;
    if (__builtin_expect(from->state.load(std::memory_order_relaxed) == fiber_state::done, 0))
      detail::release(from);
  }

  // hot
  detail::running_part here_;
  run_queue queue_;
  std::uint32_t live_ = 0;  // started and not ended, without main
  int* errno_;
  eh_globals* eh_;
  // carries_mark if the current fiber carries something, sanitized_mark if a sanitizer hears of switches
  unsigned carried_ = context::sanitized() ? sanitized_mark : 0;
  bool has_data_ = false;
  fiber_state woken_ = fiber_state::ready;  // what whoever is woken now becomes
  guest_host* guest_ = nullptr;
  const base::nanoseconds* virtual_now_ = nullptr;
  pace pace_;
  calls_in_a_row calls_;
  urgent_list urgent_;
  const fiber* let_in_ = nullptr;  // the last that was urgent, and whom it went ahead of: compared only
  const fiber* passed_ = nullptr;
  base::nanoseconds seen_now_ = 0;  // what `now` last returned: deadlines are made from it
  std::unique_ptr<reactor::reactor> io_;
  std::uint64_t next_id_;
  std::uint64_t last_id_;
  context::control_words control_words_ =
      context::control_words::current();  // new fibers begin with the thread's
  int external_ = 0;
  std::uint32_t grounds_ = 0;
  std::uint32_t patch_off_;  // of fibers without a scope of their own: COIR_PATCH
  unsigned own_masks_ = 0;   // fibers with a signal mask of their own
  bool overlaid_ = false;
  bool own_masks_changed_ = false;  // all_own_masks_ is out of date
  bool asleep_ = false;
  bool own_handler_ran_ = false;   // since the thread fell asleep
  std::uint64_t common_mask_ = 0;  // of the others, while it is known
  std::uint64_t all_own_masks_ = 0;
  std::uint64_t overlay_mask_ = 0;  // what waits with masks of their own block
  std::uint64_t awaited_ = 0;       // by fibers in sigwait: nobody else is to have them
  std::uint64_t held_ = 0;          // every fiber's held_signals
  std::atomic<std::uint64_t> handled_{0};
  std::atomic<std::uint64_t> handled_without_restart_{0};
  base::inbox_node handled_node_;
  const fiber* handled_beside_ = nullptr;
  std::atomic<bool> handled_posted_{false};
  int thread_id_;
  std::uint32_t forks_ = 0;
  bool run_down_ = false;
  bool ending_ = false;
  bool main_left_behind_ =
      false;                  // in the child of a fork made by another fiber: main exists in the parent only
  bool thread_over_ = false;  // only a guest keeps it
  base::list_node fibers_;
  context::stack_pool stacks_;
  reactor::fd_table fds_;
  context::alternate_stack alternate_stack_;
  timer_wheel timers_;
  fiber main_;
  context::tsan_states tsan_states_;
};

// A mailbox and the room for its owner. Never freed, as a handle may outlive the thread its fiber ran on:
// what it knows of that fiber's home is an address, which so leads to a mailbox for ever.
struct seat : mailbox {
  alignas(scheduler) char room[sizeof(scheduler)];
};

inline mailbox& scheduler::mail() noexcept {
  // SAFETY: schedulers are made in seats only (make_for_this_thread). offsetof of a class that is not of
  // standard layout is conditionally supported; gcc and clang do for one without virtual bases.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  constexpr std::size_t offset = offsetof(seat, room);
#pragma GCC diagnostic pop
  return *static_cast<mailbox*>(reinterpret_cast<seat*>(reinterpret_cast<char*>(this) - offset));
}

}  // namespace coir::sched
