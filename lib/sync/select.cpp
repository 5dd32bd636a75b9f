// Waiting for the first of several things.
//
// Who selects has one waiter (wait::chooser) and, in the list of each thing, a choice of it; to claim a
// choice is to claim the chooser. So exactly one case happens, decided where every other wait is decided.
//
//   1. Try each case by itself, with its own list locked, in a random order: of those that are ready each is
//   as
//      likely as any other. Nobody can have claimed the chooser: there is none yet.
//   2. If none was ready: `otherwise`, if there is one.
//   3. Watch the descriptors. They report to this thread only, and not before it parks.
//   4. Lock all lists, in the order of their addresses. Try each case again; if it
//      happens, stop watching: done. Otherwise put a choice into each list. Unlock.
//      No case is tried while a choice is in a list, so a select never meets itself, and two selects with
//      complementary cases cannot miss each other: the later one finds the choices of the earlier.
//   5. Park, until the first deadline.
//   6. Take all choices out, each with its list locked: whoever claimed one is done with it then. Stop
//      watching.
//   7. The claimed choice tells the case. One that was claimed for nothing (the move of an item threw):
//   from 1.
//
// Rejected: to enrol one case after the other, each being tried under its lock alone. Who then finds a peer
// must first claim itself, for it is reachable already, and give that up again if the peer was just lost;
// meanwhile others have passed it over for good.
#include "coir/detail/select_core.hpp"

#include <errno.h>
#include <poll.h>

#include <algorithm>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/raw.hpp"
#include "base/ticks.hpp"
#include "coir/detail/queue_core.hpp"
#include "coir/event.hpp"
#include "sync/channel_core.hpp"
#include "wait/watch_set.hpp"

namespace coir::detail {

void bad_descriptor(const char* where, int fd) {
  throw std::invalid_argument(std::string(where) + ": fd=" + std::to_string(fd) + ": expected zero or more");
}

// What the primitives show to nobody else.
struct select_core {
  // The list whose lock guards the case; null if it is not a list's.
  static wait_list* guarding(const case_base& c) noexcept {
    switch (c.kind) {
      case case_kind::channel_pop:
      case case_kind::channel_push:
        return &static_cast<channel_core*>(c.target)->poppers_;
      case case_kind::queue_pop:
      case case_kind::queue_push:
        return &static_cast<queue_core*>(c.target)->poppers_;
      default:
        return waiting(c);
    }
  }
  // The list to wait in.
  static wait_list* waiting(const case_base& c) noexcept {
    switch (c.kind) {
      case case_kind::channel_pop:
        return &static_cast<channel_core*>(c.target)->poppers_;
      case case_kind::channel_push:
        return &static_cast<channel_core*>(c.target)->pushers_;
      case case_kind::queue_pop:
        return &static_cast<queue_core*>(c.target)->poppers_;
      case case_kind::queue_push:
        return &static_cast<queue_core*>(c.target)->pushers_;
      case case_kind::event_set:
        return &static_cast<event*>(c.target)->waiters_;
      case case_kind::fiber_done:
        return &sched::record(static_cast<fiber_base*>(c.target))->joiners;
      default:
        return nullptr;
    }
  }
  // Makes it happen if it can, with the lock held by `Guard`, or by the caller (not_locking).
  template <class Guard>
  [[gnu::always_inline]] static bool happens(case_base& c) {
    switch (c.kind) {
      case case_kind::channel_pop: {
        auto& channel = *static_cast<channel_core*>(c.target);
        const Guard g(channel.poppers_);
        return took_place(c, channel.pop_locked(c.item));
      }
      case case_kind::channel_push: {
        auto& channel = *static_cast<channel_core*>(c.target);
        const Guard g(channel.poppers_);
        return took_place(c, channel.push_locked(c.item));
      }
      case case_kind::queue_pop: {
        auto& queue = *static_cast<queue_core*>(c.target);
        const Guard g(queue.poppers_);
        return (queue.size_ != 0 || queue.closed_) && took_place(c, queue.pop_locked(c.item));
      }
      case case_kind::queue_push: {
        auto& queue = *static_cast<queue_core*>(c.target);
        const Guard g(queue.poppers_);
        return took_place(c, queue.push_locked(c.item));
      }
      case case_kind::event_set: {
        auto& e = *static_cast<event*>(c.target);
        const Guard g(e.waiters_);
        return e.is_set();
      }
      case case_kind::fiber_done: {
        auto* f = sched::record(static_cast<fiber_base*>(c.target));
        const Guard g(f->joiners);
        return f->done();
      }
      default:
        return false;
    }
  }

 private:
  static bool took_place(case_base& c, transfer t) noexcept {
    c.closed = t == transfer::closed;
    return t != transfer::again;
  }
};

namespace {

constexpr const char* reason = "select";

static_assert(sizeof(wait::choice) <= sizeof(select_place));

wait::choice& choice_of(const select_set& set, std::size_t i) noexcept {
  return *std::launder(reinterpret_cast<wait::choice*>(set.places[i].bytes));
}

// xorshift64 (Marsaglia, 2003), seeded for each thread by when and where it began.
std::uint64_t next_random() noexcept {
  static thread_local std::uint64_t state __attribute__((tls_model("initial-exec"))) = 0;
  if (__builtin_expect(state == 0, 0))
    state = (base::ticks() ^ reinterpret_cast<std::uintptr_t>(&state)) * 0x9e3779b97f4a7c15 | 1;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// The cases of a set in a random order, each of all orders as likely as any other, drawn as far as it is
// asked for (Fisher and Yates; Knuth, vol. 2, 3.4.2, algorithm P). Kept where the choices will be.
class random_order {
 public:
  explicit random_order(const select_set& set) noexcept : set_(set) {
    for (std::size_t i = 0; i < set.count; ++i) put(i, i);
  }
  // At most as often as there are cases.
  std::size_t next() noexcept {
    const std::size_t left = set_.count - drawn_;
    const std::size_t at = drawn_ + static_cast<std::size_t>(((next_random() >> 32) * left) >> 32);
    const std::size_t drawn = at_place(at);
    put(at, at_place(drawn_++));
    return drawn;
  }

 private:
  void put(std::size_t place, std::size_t index) noexcept {
    ::new (set_.places[place].bytes) std::size_t(index);
  }
  std::size_t at_place(std::size_t place) const noexcept {
    return *std::launder(reinterpret_cast<const std::size_t*>(set_.places[place].bytes));
  }

  const select_set& set_;
  std::size_t drawn_ = 0;
};

// The index of the first case, in a random order, of which `f(case)` holds.
template <class F>
std::optional<std::size_t> find(const select_set& set, F f) {
  random_order order(set);
  for (std::size_t left = set.count; left != 0; --left) {
    const std::size_t i = order.next();
    if (f(*set.cases[i])) return i;
  }
  return std::nullopt;
}

bool watched(const case_base& c) noexcept {
  return c.kind == case_kind::readable || c.kind == case_kind::writable;
}

[[noreturn]] void refuse(const case_base& c, int error) {
  throw std::system_error(error, std::generic_category(),
                          std::string("coir::select: ") +
                              (c.kind == case_kind::readable ? "on_readable" : "on_writable") +
                              "(fd=" + std::to_string(c.fd) + ")");
}

bool ready_now(const case_base& c) {
  pollfd p = {c.fd, static_cast<short>(c.kind == case_kind::readable ? POLLIN : POLLOUT), 0};
  timespec none = {};
  const long n = base::raw(SYS_ppoll, base::word(&p), 1, base::word(&none), 0, 8);
  if (n < 0 && n != -EINTR) refuse(c, static_cast<int>(-n));
  if ((p.revents & POLLNVAL) != 0) refuse(c, EBADF);
  return n > 0;
}

// Of a case without a list.
[[gnu::noinline]] bool is_ready(const case_base& c, sched::scheduler& s) {
  switch (c.kind) {
    case case_kind::readable:
    case case_kind::writable:
      return ready_now(c);
    case case_kind::after:
      return c.time_ns == 0;
    case case_kind::at:
      return c.time_ns <= s.now();
    default:
      return false;
  }
}

struct not_locking {
  explicit not_locking(const wait_list&) noexcept {}
};

// All lists of a set, locked while it lives.
class all_locked {
 public:
  explicit all_locked(const select_set& set) noexcept : begin_(set.locks), end_(set.locks) {
    if (single_threaded()) return;
    for (std::size_t i = 0; i < set.count; ++i)
      if (wait_list* l = select_core::guarding(*set.cases[i])) *end_++ = &l->lock;
    std::sort(begin_, end_, std::less<>());
    end_ = std::unique(begin_, end_);
    std::for_each(begin_, end_, [](spin_lock* l) { l->lock(); });
  }
  ~all_locked() {
    std::for_each(begin_, end_, [](spin_lock* l) { l->unlock(); });
  }
  all_locked(const all_locked&) = delete;
  all_locked& operator=(const all_locked&) = delete;

 private:
  spin_lock** begin_;
  spin_lock** end_;
};

// The descriptors of a set, watched while it lives.
class watches {
 public:
  watches(const select_set& set, wait::chooser& who, sched::scheduler& s) : set_(set), s_(s) {
    const auto count = static_cast<std::size_t>(
        std::count_if(set.cases, set.cases + set.count, [](const case_base* c) { return watched(*c); }));
    if (count == 0) return;
    if (wait::reactor_of(s) == nullptr) throw std::bad_alloc();
    operations_.emplace(count);
    if (!operations_->ok()) throw std::bad_alloc();
    for (std::size_t i = 0; i < set.count; ++i) {
      if (!watched(*set.cases[i])) continue;
      const std::uint32_t events = set.cases[i]->kind == case_kind::readable ? EPOLLIN : EPOLLOUT;
      if (const int error = operations_->add(s, set.cases[i]->fd, events, i, who); error != 0) {
        stop();
        refuse(*set.cases[i], error);
      }
    }
  }
  ~watches() { stop(); }
  watches(const watches&) = delete;
  watches& operator=(const watches&) = delete;

  void stop() noexcept {
    if (operations_ && !std::exchange(stopped_, true)) operations_->stop(s_, reason);
  }
  // After stop: the case of one that is ready. Throws if one was closed or cannot be watched.
  std::optional<std::size_t> ready() const {
    std::optional<std::size_t> found;
    operations_->closed([&](std::size_t i) { refuse(*set_.cases[i], EBADF); });
    operations_->ended([&](std::size_t i, long result) {
      if (result < 0) refuse(*set_.cases[i], static_cast<int>(-result));
      found = i;
    });
    return found;
  }

 private:
  const select_set& set_;
  sched::scheduler& s_;
  std::optional<wait::watch_set> operations_;
  bool stopped_ = false;
};

// The first deadline of a set, and its case.
struct first_deadline {
  base::nanoseconds when = base::never;
  std::size_t index = 0;

  first_deadline(const select_set& set, sched::scheduler& s) noexcept {
    for (std::size_t i = 0; i < set.count; ++i) {
      const case_base& c = *set.cases[i];
      base::nanoseconds t = base::never;
      if (c.kind == case_kind::after) t = base::add_saturated(s.now(), c.time_ns);
      if (c.kind == case_kind::at) t = c.time_ns;
      if (t < when) {
        when = t;
        index = i;
      }
    }
  }
};

// Steps 3 to 7. Empty: from 1.
std::optional<std::size_t> wait_for_one(const select_set& set, const first_deadline& until,
                                        sched::scheduler& s, wait::mode m) {
  wait::chooser who(s);
  watches descriptors(set, who, s);
  {
    const all_locked lists(set);
    if (const auto ready = find(set, [](case_base& c) { return select_core::happens<not_locking>(c); }))
      return ready;
    for (std::size_t i = 0; i < set.count; ++i) {
      wait_list* l = select_core::waiting(*set.cases[i]);
      if (l == nullptr) continue;
      auto* c = ::new (set.places[i].bytes) wait::choice(who);
      c->item = set.cases[i]->item;
      wait::enqueue_locked(*l, *c);
    }
  }
  const wait::outcome o = wait::park_until(who, reason, until.when, m);
  std::optional<std::size_t> won;
  for (std::size_t i = 0; i < set.count; ++i) {
    wait_list* l = select_core::waiting(*set.cases[i]);
    if (l == nullptr) continue;
    const sync::list_guard g(*select_core::guarding(*set.cases[i]));
    wait::dequeue_locked(*l, choice_of(set, i));
    if (&choice_of(set, i) == who.won) won = i;
  }
  descriptors.stop();
  wait::end_wait(s, o);
  if (o == wait::outcome::timed_out) return until.index;
  if (!won) return descriptors.ready();
  if (choice_of(set, *won).retry) return std::nullopt;
  set.cases[*won]->closed = choice_of(set, *won).closed;
  return won;
}

}  // namespace

std::size_t choose(const select_set& set) {
  sched::scheduler& s = sched::scheduler::ensure();
  std::optional<first_deadline> until;
  for (;;) {
    const wait::mode m = wait::begin_call(s);
    if (const auto now = find(set, [&](case_base& c) {
          return c.kind < case_kind::readable ? select_core::happens<sync::list_guard>(c) : is_ready(c, s);
        }))
      return *now;
    for (std::size_t i = 0; i < set.count; ++i)
      if (set.cases[i]->kind == case_kind::otherwise) return i;
    if (!until) until.emplace(set, s);
    if (const auto won = wait_for_one(set, *until, s, m)) return *won;
  }
}

}  // namespace coir::detail
