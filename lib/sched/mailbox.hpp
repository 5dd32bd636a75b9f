// How other threads reach a scheduler: its inbox, and the way to wake it.
//
// Mailboxes are never freed, only reused by later threads, so that a waker may touch one at any time: the
// worst a late wake-up does is to wake a stranger once for nothing.
//
// Wake-up protocol (nothing is ever lost):
//   waker:  1. push to the inbox   2. full barrier   3. if `asleep`, kick
//   owner:  1. set `asleep`        2. full barrier   3. if the inbox is not empty, do not sleep
// Each side's step 2 orders its store before its load (Dekker), so at least one of them sees the other.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"
#include "base/inbox.hpp"
#include "coir/detail/threads.hpp"
#include "reactor/reactor.hpp"

namespace coir::sched {

class scheduler;

class mailbox {
 public:
  // A mailbox of its own for the calling thread's scheduler: one that an ended thread left, or what `make`
  // returns.
  static mailbox* acquire(mailbox* (*make)());
  // From here to retire, posts are taken.
  void open(scheduler* owner) noexcept;
  // The owner ends: later posts fail.
  void retire() noexcept;
  // The owner has ended: another thread may have the mailbox.
  void release() noexcept;

  // Any thread. Delivers `node` on the owner's thread. Only for what keeps the owner alive until delivery: a
  // fiber that was parked and won by the caller.
  void push(base::inbox_node* node) noexcept {
    inbox_.push(node);  // a seq_cst operation: pairs with the one in prepare_sleep
    if (__builtin_expect(asleep_.load(std::memory_order_seq_cst) != awake, 0)) kick();
  }

  // A signal handler of the owner's thread. The same, without a lock that the code it interrupted may hold.
  void push_from_handler(base::inbox_node* node) noexcept;

  // Any thread. The same for a message of its own; false, and nothing was done, if the owner has ended.
  bool post(base::inbox_node* node) noexcept { return post(node, 0); }
  // The same, also if the owner is not the `generation`th any more.
  bool post(base::inbox_node* node, std::uint64_t generation) noexcept;
  // Owner only: how many owners there have been.
  std::uint64_t generation() const noexcept { return generation_; }

  // Runs `f(mailbox)` for that of each living scheduler of the process; none of them ends meanwhile.
  template <class F>
  static void for_each(F&& f);

  // Any thread: whether the owner sleeps now, and whether its reactor completes whole operations.
  bool sleeps() const noexcept { return asleep_.load(std::memory_order_relaxed) != awake; }
  bool has_ring() noexcept;
  // The owner made its reactor.
  void set_io(reactor::reactor* io) noexcept;
  // Any thread: has the owner's reactor drop the registrations of a descriptor about to be closed.
  void forget_elsewhere(int fd) noexcept;

  // Owner only.
  bool empty() const noexcept { return inbox_.empty(); }
  const std::atomic<base::inbox_node*>& newest() const noexcept { return inbox_.head(); }
  void deliver_all() noexcept;
  // Whether it is in deliver_all: on the stack of a fiber that waits, or has ended, so that nothing may wait.
  bool delivers() const noexcept { return delivers_; }
  // Before sleeping: looks out for a push for some microseconds, not beyond `until`, if lately that was worth
  // it. Among threads that pass items to and fro a wake-up by the kernel costs far more than an item, and as
  // long as one sleeps the other has to wait for it, and will sleep as well. True if there is a push.
  bool linger(base::nanoseconds until) noexcept;
  // Sleeps until a push or `until`, in `io` if there is one. True if a signal handler ran.
  bool sleep(reactor::reactor* io, base::nanoseconds until) noexcept;
  unsigned slot() const noexcept { return slot_; }
  // Any thread: how many slots there are.
  static unsigned slots() noexcept;
  scheduler* owner() const noexcept { return owner_; }

  // While a thread without a scheduler may hold locks that a signal handler's wake-ups take: those are put
  // off until then.
  class busy {
   public:
    busy() noexcept { ++depth_; }
    ~busy() {
      if (--depth_ == 0 && __builtin_expect(put_off.load(std::memory_order_relaxed) != 0, 0)) not_any_more();
    }
    busy(const busy&) = delete;
    busy& operator=(const busy&) = delete;

    static bool anything() noexcept { return depth_ != 0; }

    // How many wake-ups are put off.
    static inline std::atomic<std::uint32_t> put_off{0};

   private:
    static void not_any_more() noexcept;

    static inline thread_local unsigned depth_ __attribute__((tls_model("initial-exec"))) = 0;
  };

  // After fork, in the child: only `own` (null: none) still has a thread.
  static void forget_others(mailbox* own) noexcept;
  void discard_all() noexcept;

 private:
  enum sleep_state : int { awake = 0, in_futex = 1, in_reactor = 2 };

  void kick() noexcept;

  base::inbox inbox_;
  std::atomic<int> asleep_{awake};
  detail::spin_lock lock_;  // guards alive_ and io_ against kick and post
  bool alive_ = false;
  bool taken_ = false;              // guarded by the registry's lock
  bool delivers_ = false;           // owner's
  bool told_ = false;               // owner's: the last sleep was ended by a push
  std::uint8_t misses_ = 0;         // owner's: times lingered in vain, in a row
  std::uint8_t skip_ = 0;           // owner's: times not to linger
  reactor::reactor* io_ = nullptr;  // where the owner sleeps
  scheduler* owner_ = nullptr;
  std::uint64_t generation_ = 0;  // guarded by lock_
  unsigned slot_ = 0;
  mailbox* next_ = nullptr;  // all mailboxes ever made

  friend struct registry;
};

struct registry {
  static void lock() noexcept;
  static void unlock() noexcept;
  static mailbox* first() noexcept;
  static mailbox* next(mailbox* m) noexcept { return m->next_; }
  static bool alive(const mailbox* m) noexcept { return m->alive_; }
};

template <class F>
void mailbox::for_each(F&& f) {
  registry::lock();
  for (mailbox* m = registry::first(); m != nullptr; m = registry::next(m))
    if (registry::alive(m)) f(*m);
  registry::unlock();
}

}  // namespace coir::sched
