#include "sched/scheduler.hpp"

#include <cxxabi.h>
#include <errno.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/check.hpp"
#include "base/ended.hpp"
#include "sched/describe.hpp"
#include "sys/raw.hpp"
#include "sys/settings.hpp"

extern "C" void* __dso_handle;  // the Itanium C++ ABI's: this library, or the program

namespace coir::detail {
constinit thread_local std::uint32_t cooperative = 0;
constinit thread_local std::uint32_t patch_off = 0;
constinit thread_local std::uint32_t listening = 0;
constinit thread_local running_part* running = nullptr;
}  // namespace coir::detail

namespace coir::sched {

void (*thread_begins)() noexcept = nullptr;

namespace {

std::atomic<std::uint64_t> id_blocks{0};
constexpr std::uint64_t id_block = 1024;

fiber* fiber_at(base::inbox_node* node) noexcept {
  return reinterpret_cast<fiber*>(reinterpret_cast<char*>(node) - offsetof(fiber, inbox));
}

void deliver_fiber(base::inbox_node* node) noexcept {
  fiber* f = fiber_at(node);
  f->home->ready(f);
}

// Ends a thread's scheduler with the thread. The process's first thread keeps its own until the process is
// gone: static destructors may still wait; so does a thread one of whose fibers called exit.
void at_thread_end(void*) noexcept {
  scheduler* s = scheduler::existing();
  if (s == nullptr || ::getpid() == sys::raw(SYS_gettid)) return;
  if (s->guest() == nullptr && s->own_current() != &s->main()) return;
  scheduler::end_thread(s);
}

// Before main, so that no fork can come between: a child that inherited another thread's half-done
// initialisation of a function-local static would wait for that thread for ever.
const bool schedulers_told_at_fork = tell_at_fork();

// What the first scheduler of the process needs. Under the registry's lock, which a fork waits for.
void start_process() {
  static std::atomic<bool> started{false};
  if (started.load(std::memory_order_acquire)) return;
  registry::lock();
  try {
    sys::read_settings();
  } catch (...) {
    registry::unlock();
    throw;
  }
  context::obey_environment(sys::read_settings().stack_size);
  install_descriptions();
  context::install_overflow_handler();
  started.store(true, std::memory_order_release);
  registry::unlock();
}

}  // namespace

scheduler& scheduler::make_for_this_thread() {
  start_process();
  mailbox* m = mailbox::acquire([]() -> mailbox* { return new seat; });
  try {
    this_thread = ::new (static_cast<seat*>(m)->room) scheduler(m->slot());
  } catch (...) {
    m->release();
    throw;
  }
  // Not an object that is thread-local: one made before may wait in its destructor, and so make another
  // scheduler when that has been destroyed.
  abi::__cxa_thread_atexit(at_thread_end, nullptr, &__dso_handle);
  m->open(this_thread);
  this_thread->tell_running();
  if (__builtin_expect(thread_begins != nullptr, 0)) thread_begins();
  return *this_thread;
}

scheduler::scheduler(unsigned slot)
    : here_{&main_, 1, &mail().newest()},
      errno_(&errno),
      // SAFETY: the Itanium C++ ABI gives __cxa_eh_globals these two members first.
      eh_(reinterpret_cast<eh_globals*>(abi::__cxa_get_globals())),
      next_id_(0),
      last_id_(0),
      patch_off_(sys::read_settings().patch_off),
      thread_id_(static_cast<int>(sys::raw(SYS_gettid))),
      fds_(slot),
      main_() {
  fibers_.next = fibers_.prev = &fibers_;
  main_.refs.store(1, std::memory_order_relaxed);
  main_.home = this;
  main_.set(is_main);
  main_.inbox.deliver = deliver_fiber;
  if (context::sanitized()) main_.annotations.adopt_thread();
  queue_.reserve();
  detail::patch_off = patch_off_;
  main_.id = id_blocks.fetch_add(id_block, std::memory_order_relaxed);
  next_id_ = main_.id + 1;
  last_id_ = main_.id + id_block;
}

scheduler::~scheduler() {
  ending_ = true;
  if ((live_ != 0 || has_data_) && up.thread_ends != nullptr) up.thread_ends(*this);
  this_thread = nullptr;  // first: a signal handler would post to the mailbox
  base::ended_main = &main_;
  detail::running = nullptr;
  detail::cooperative = detail::listening = detail::patch_off = 0;
  mail().retire();
  mail().deliver_all();
  main_.annotations.leave_thread();
}

fiber* scheduler::create(const attributes* how, std::size_t payload_size) {
  std::size_t size = context::default_size.load(std::memory_order_relaxed);
  if (how != nullptr && how->stack_size != 0)
    size = context::checked_stack_size(how->stack_size, "coir::spawn: attributes.stack_size");
  queue_.make_room();
  char* name = nullptr;
  if (how != nullptr && how->name != nullptr) {
    name = ::strdup(how->name);
    if (name == nullptr) throw std::bad_alloc();
  }
  context::stack s;
  try {
    s = stacks_.allocate(size);
  } catch (...) {
    std::free(name);
    throw;
  }
  if (const char* soon = stacks_.soon())
    for (int line = -2; line < 2; ++line) __builtin_prefetch(soon - record_room + 64 * line, 1);
  auto* f = reinterpret_cast<fiber*>(s.top() - context::colour(s.low) - record_room);
  // SAFETY: what is not fresh holds a record already, perhaps of another thread.
  if (__builtin_expect(s.fresh || f->home != this, 0)) {
    ::new (static_cast<void*>(f)) fiber;
    f->stack = s;
    f->home = this;
    f->inbox.deliver = deliver_fiber;
  } else {
    f->refs.store(2, std::memory_order_relaxed);
    f->state.store(fiber_state::ready, std::memory_order_relaxed);
    f->saved_errno = 0;
  }
  if (__builtin_expect(name != nullptr, 0)) {
    f->name = name;
    f->set(has_extras);
  }
  if (__builtin_expect(size != context::usual_stack_size, 0)) f->set(own_stack_size);
  queue_.reserve();
  enter(f);
  char* top = reinterpret_cast<char*>(f) - payload_size;
  if (__builtin_expect(carried_ != 0, 0)) inherit_carried(f);
  f->context = context::make_context(top, static_cast<std::size_t>(top - s.low), entry, control_words_);
  return f;
}

void scheduler::adopt(fiber* f) noexcept {
  f->home = this;
  f->inbox.deliver = deliver_fiber;
  enter(f);
}

void scheduler::enter(fiber* f) noexcept {
  if (__builtin_expect(next_id_ == last_id_, 0)) {
    next_id_ = id_blocks.fetch_add(id_block, std::memory_order_relaxed);
    last_id_ = next_id_ + id_block;
  }
  f->id = next_id_++;
  base::insert_after(&fibers_, &f->all);
}

void scheduler::recycle(fiber* f) noexcept {
  // May run on another thread than home: the record was taken out of home's list when the fiber ended.
  const context::stack s = stack_of(f);
  if (__builtin_expect((f->flags | f->interrupts | f->pending) != 0 || f->marked(detail::linked), 0))
    clean(*f);
  if (scheduler* here = this_thread) {
    here->stacks_.release(s);
  } else {
    context::stack_pool
        passing;  // a thread without fibers dropped the last handle: by the depot to all threads
    passing.release(s);
  }
}

void scheduler::clean(fiber& f) noexcept {
  std::free(f.name);
  f.name = nullptr;
  delete f.links;
  f.links = nullptr;
  delete std::exchange(f.raised, nullptr);
  f.timeouts = nullptr;
  f.shield_depth = f.patch_off_depth = 0;
  f.has_signal_mask = false;
  f.held_signals = 0;
  f.flags = f.interrupts = f.pending = 0;
  if (context::sanitized()) {
    context::tsan_states passing;  // of a thread without fibers
    f.annotations.end(this_thread != nullptr ? this_thread->tsan_states_ : passing);
  }
}

// One function from the first instruction to the last, so that what begins by a jump ends by one: see
// switch.hpp.
void scheduler::entry(context::transfer from) noexcept {
  scheduler& s = *this_thread;
  fiber* self = s.own_current();
  if (__builtin_expect((s.carried_ & sanitized_mark) != 0, 0))
    context::after_switch(self->annotations, static_cast<fiber*>(from.data)->annotations);
  arrived(static_cast<fiber*>(from.data), from.from);
  up.body(self);
  if (__builtin_expect(self->pending != 0, 0)) {  // nobody hears of it any more
    self->pending = 0;
    --detail::listening;
  }

  // From here on only `arrived` may free this stack, and nothing may wait on it.
  self->state.store(fiber_state::done, std::memory_order_relaxed);
  self->all.unlink();
  --s.live_;
  --detail::cooperative;
  if (__builtin_expect(s.carried_ != 0, 0)) s.drop_carried(self);
  s.queue_.give_up();
  if (__builtin_expect(s.run_down_ | s.main_left_behind_, 0) && s.live_ == 0) {
    if (s.main_left_behind_) std::exit(0);  // as a process whose last thread ends
    up.ran_down(s);
  }
  s.count_switch();
  fiber* to = s.queue_.empty() ? s.wait_for_ready() : s.queue_.pop();
  s.look_ahead();
  const bool announced = s.keep_flow(self, to);
  s.here_.fiber = to;
  if (__builtin_expect(announced, 0)) context::before_switch(self->annotations, to->annotations, true);
  context::leave_stack(to->context, self);
}

bool scheduler::exchange_flow(fiber* self, fiber* to) noexcept {
  self->eh_caught = eh_->caught;
  self->eh_uncaught = eh_->uncaught | (carried_ & carries_mark);
  eh_->caught = std::exchange(to->eh_caught, nullptr);
  const unsigned uncaught = std::exchange(to->eh_uncaught, 0);
  eh_->uncaught = uncaught & ~carries_mark;
  if (((uncaught | carried_) & carries_mark) != 0) carry(self, to);
  return (carried_ & sanitized_mark) != 0;
}

detail::switch_request scheduler::announced_switch(fiber* self, fiber* to) noexcept {
  context::before_switch(self->annotations, to->annotations, false);
  void* left;
  auto* from = static_cast<fiber*>(detail::jump_to({to->context, self}, left));
  context::after_switch(self->annotations, from->annotations);
  arrived(from, left);
  return {nullptr, self};
}

bool scheduler::look() noexcept {
  const std::uint64_t turn = turn_ticks(), at = ticks();
  const bool enough = calls_.spent(current(), pace_.granted(), at, turn);
  const bool over = pace_.spent(at, turn);
  if (over && guest_ == nullptr) poll_into_queue(pace_.long_round(queue_.size(), turn));
  if (over && guest_ != nullptr) pace_.pass();  // its dispatcher polls
  if (__builtin_expect(urgent_.first != nullptr, 0)) {
    // The one let in runs, then who it went ahead of: then the next may come.
    here_.budget = pace_.grant_exactly(let_urgent_in() ? 2 : 1);
  } else {
    here_.budget = pace_.grant(watched() ? pace::watchful : pace::most);
  }
  return enough;
}

void scheduler::look_and_go_on() noexcept {
  if (!look()) return;
  calls_.put_off(current());
  // Where such calls and charged ones alternate, the next look is to be one of the latter.
  if (here_.budget > 1) allow(here_.budget - 1);
}

bool scheduler::look_and_give_way() noexcept {
  if (!look()) return false;
  yield_any();
  return true;
}

// Whether most of those who are ready wait for their turn since time or I/O has woken them, to judge by some.
// Who has yielded is in no wait any more.
bool scheduler::most_were_woken() const noexcept {
  constexpr std::uint32_t samples = 8;
  std::uint32_t woken = 0;
  for (std::uint32_t i = 0; i < samples; ++i) {
    const auto at = static_cast<std::uint32_t>(std::uint64_t{queue_.size()} * i / samples);
    const fiber* f = at == 0 ? queue_.front() : queue_.behind(at);
    if (f->state.load(std::memory_order_relaxed) == fiber_state::due && f->waiting != nullptr) ++woken;
  }
  return 2 * woken > samples;
}

// In a crowd, whom time or I/O makes ready is urgent. Mail is not: what is posted keeps its order. Nor is
// anybody in a crowd of that kind: a thousand connections are served in the order in which they came.
void scheduler::poll_into_queue(bool crowd) noexcept {
  poll_mail();
  const std::uint32_t before = queue_.size();
  const bool own_kind = crowd && most_were_woken();
  poll_kernel();
  if (!crowd || own_kind) return;
  urgent_list found;
  for (std::uint32_t n = queue_.size() - before; n != 0; --n) {
    base::inbox_node* node = &queue_.take_back()->inbox;
    node->next_in_inbox = found.first;
    found.first = node;
    if (found.last == nullptr) found.last = node;
  }
  if (found.first == nullptr) return;
  (urgent_.first == nullptr ? urgent_.first : urgent_.last->next_in_inbox) = found.first;
  urgent_.last = found.last;
}

// The first of them to the head of the queue, or, if that would soon be empty, all of them to its end (I4).
// None before the one that the last went ahead of has had its turn: calls that do not wait spend the grant,
// too.
bool scheduler::let_urgent_in() noexcept {
  const bool all = queue_.size() < 3;
  if (!all && (queue_.front() == passed_ || queue_.front() == let_in_)) return false;
  if (!all) passed_ = queue_.front(), let_in_ = fiber_at(urgent_.first);
  do {
    fiber* f = fiber_at(urgent_.first);
    urgent_.first = urgent_.first->next_in_inbox;
    if (all)
      queue_.push(f);
    else
      queue_.push_front(f);
  } while (all && urgent_.first != nullptr);
  return true;
}

void scheduler::hear() noexcept {
  if (!mail().empty() && !mail().delivers()) mail().deliver_all();
  if (current()->timeouts != nullptr && !timers_.empty() && timers_.next() <= now())
    timers_.fire_due(seen_now_);
}

void scheduler::poll() noexcept {
  poll_mail();
  poll_kernel();
}

void scheduler::poll_mail() noexcept {
  if (__builtin_expect(!base::tick_rate::known(), 0)) base::tick_rate::measure();
  pace_.begin(ticks());
  if (__builtin_expect(mask_known(), 0)) {  // signals for those who wait
    fall_asleep();
    wake_up();
  }
  if (!mail().empty()) mail().deliver_all();
}

void scheduler::poll_kernel() noexcept {
  woken_ = fiber_state::due;
  if (io_ != nullptr && io_->busy()) io_->wait(0);
  if (!timers_.empty()) timers_.fire_due(now());
  woken_ = fiber_state::ready;
}

fiber* scheduler::wait_for_ready() noexcept {
  bool slept = false;
  for (;;) {
    if (!mail().empty()) mail().deliver_all();
    if (!queue_.empty()) break;
    base::nanoseconds until = timers_.next();
    if (until <= seen_now_) {  // a sleep of no time takes the kernel fifty microseconds
      poll_kernel();
      continue;
    }
    if ((io_ == nullptr || !io_->busy()) && mail().linger(until)) continue;
    if (until == base::never && external_ == 0 && detail::single_threaded() &&
        (io_ == nullptr || io_->pending() == 0) && up.deadlock != nullptr && up.deadlock(*this))
      continue;
    if (__builtin_expect(stacks_.wants_tick(), 0) && virtual_now_ == nullptr) {
      const base::nanoseconds at = now();
      stacks_.tick(at);
      until = std::min(until, at + context::stack_pool::period);
    }
    // TSan puts handlers off until a call that it intercepts: our sleeps are none, `now` makes one.
    if (__builtin_expect(carried_ != 0, 0) && context::under_tsan() && virtual_now_ == nullptr)
      until = std::min(until, now() + 10'000'000);
    if (__builtin_expect(io_ != nullptr && io_->stopgap(), 0)) replace_stopgap();
    fall_asleep();
    woken_ = fiber_state::due;
    const bool interrupted = mail().sleep(io_.get(), until);
    wake_up();
    slept = true;
    if (!timers_.empty()) timers_.fire_due(now());
    woken_ = fiber_state::ready;
    if (interrupted && up.interrupted != nullptr) up.interrupted(*this, true);
  }
  if (slept) {
    pace_.begin(ticks());
    here_.budget = pace_.grant(watched() ? pace::watchful : pace::most);
  }
  return queue_.pop();
}

void scheduler::wait_once(base::nanoseconds until) noexcept {
  // What arrived, or was due before, may have made a guest fiber ready.
  if (!mail().empty() || timers_.next() <= seen_now_) return poll();
  if (__builtin_expect(io_ != nullptr && io_->stopgap(), 0)) replace_stopgap();
  fall_asleep();
  const bool interrupted = mail().sleep(io_.get(), std::min(until, timers_.next()));
  wake_up();
  pace_.begin(ticks());
  if (interrupted && up.interrupted != nullptr) up.interrupted(*this, true);
  if (!mail().empty()) mail().deliver_all();
  if (!timers_.empty()) timers_.fire_due(now());
}

detail::switch_request scheduler::guest_park(const char* reason) noexcept {
  fiber* self = guest_->current();
  self->park_reason = reason;
  self->state.store(fiber_state::parked, std::memory_order_relaxed);
  self->eh_uncaught = eh_->uncaught;  // for who asks whether it unwinds; the guest keeps the globals
  guest_->park(self);
  self->eh_uncaught = 0;
  self->state.store(fiber_state::running, std::memory_order_relaxed);
  return {nullptr, self};
}

void scheduler::invite(guest_host* g) noexcept {
  guest_ = g;
  detail::running = nullptr;
  ++detail::cooperative;
  main_.state.store(fiber_state::running, std::memory_order_relaxed);
}

void scheduler::dismiss_guest() noexcept {
  guest_ = nullptr;
  tell_running();
  main_.state.store(fiber_state::ready, std::memory_order_relaxed);
  --detail::cooperative;
  if (thread_over_) end(this);
}

void scheduler::end(scheduler* s) noexcept {
  mailbox& m = s->mail();
  s->~scheduler();
  m.release();
}

void scheduler::end_thread(scheduler* s) noexcept {
  if (s->guest_ == nullptr)
    end(s);
  else
    s->thread_over_ = true;
}

void scheduler::replace_stopgap() noexcept try {
  if (!io_->wants_successor()) return;
  auto next = reactor::make_reactor(fds_);
  if (next->stopgap()) return;
  io_->hand_over(*next);
  mail().set_io(next.get());
  io_ = std::move(next);
  if (io_->completes_io()) note_ring();
} catch (...) {
  // Then the next time.
}

reactor::reactor& scheduler::open_reactor() {
  io_ = reactor::make_reactor(fds_);
  if (io_->completes_io()) note_ring();
  mail().set_io(io_.get());
  return *io_;
}

void scheduler::run_down() noexcept {
  run_down_ = true;
  if (live_ != 0) park("thread end");
  run_down_ = false;
}

}  // namespace coir::sched
