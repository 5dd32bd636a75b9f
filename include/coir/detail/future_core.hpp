// What a promise and its futures share, whatever the type of the value. Internal: use coir::future<T>.
//
// States:   open ──▶ claimed ──▶ ready        open ──cancel──▶ cancelled ──▶ ready
// A claim whose value cannot be made goes back to open. I1: whoever leaves `open` ends the future, by
// `finish`. I2: links, which are coir's own and call nobody, are added while `closed_` is false, and run
// once, in order, by whoever finishes; later ones are run by who adds them. None is freed before `closed_`,
// so until then all that were added and not removed may be touched. I3: callbacks, which are the user's, are
// called one by one, by whoever set `calling_`. Those who wait are woken before the first link runs, and all
// links before the first callback. In the child of a fork, work that stayed with the parent is broken off by
// whoever asks first.
//
// Whoever makes the value may derive from it: coir::thread_pool's jobs do.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>

#include "coir/detail/threads.hpp"
#include "coir/event.hpp"

namespace coir::detail {

// How many forks lie between the program's start and this process.
std::uint32_t forks() noexcept;

class future_core : public std::enable_shared_from_this<future_core> {
 public:
  future_core() noexcept = default;
  future_core(const future_core&) = delete;
  future_core& operator=(const future_core&) = delete;
  virtual ~future_core();

  // --- who makes the value; holds a reference until `finish` has returned ---
  // To be the one who ends it. False: it was cancelled, and what would be set is of no use any more. Throws
  // std::future_error (promise_already_satisfied).
  bool claim();
  // The same, quietly: false if anybody was first.
  bool try_claim() noexcept { return leave_open(claimed); }
  // The value cannot be made after all.
  void unclaim() noexcept { state_.store(open, std::memory_order_release); }
  // `error` or the value is there. Runs the links, and the callbacks, or has that done further down on the
  // stack.
  void finish() noexcept;

  // --- what a maker may know better ---
  // Any thread. True: the work has not begun, and never will; the caller ends the future.
  virtual bool withdraw() noexcept { return true; }
  // It has been cancelled: what the work would have needed can go.
  virtual void called_off() noexcept {}
  // The caller is about to wait, for as long as it takes. The work may be done right here.
  virtual void help() noexcept {}
  // The work stayed with the parent of this process: nobody will ever do it here.
  virtual bool lost() const noexcept { return false; }

  // --- who holds a future ---
  bool cancel() noexcept;
  bool is_cancelled() const noexcept { return ready.is_set() && state_.load() == cancelled; }
  bool is_over() noexcept { return looked_at().is_set(); }
  void wait();
  // False: the deadline passed first.
  bool wait_until(std::int64_t deadline_ns);
  // Who waits without a deadline does it, if that is possible.
  void assist() noexcept {
    if (!is_over()) help();
  }
  // `ready`, once it has been seen to that it can come.
  event& looked_at() noexcept {
    if (!ready.is_set() && lost()) break_off();
    return ready;
  }
  // Has `run(context)` called when it is ready, then `drop(context)`; at once if it is, and returns null
  // then. Throws std::bad_alloc; neither is called then.
  void* add_link(void (*run)(void* context), void (*drop)(void* context) noexcept, void* context);
  // True: neither of its two is or will be called. Not after true, nor after null.
  bool remove_link(void* link) noexcept;
  // The same for a callback, which comes after those that were added earlier, though they may be running
  // already. What it throws is reported on stderr. Returns its number.
  std::uint64_t add_callback(void (*run)(void* context), void (*drop)(void* context) noexcept, void* context);
  // True: it is not and will not be called; `drop` was.
  bool remove_callback(std::uint64_t id) noexcept;

  event ready;
  std::exception_ptr error;             // written before `ready`
  std::atomic<bool> error_seen{false};  // somebody asked for it

 private:
  enum state : std::uint8_t { open, claimed, cancelled, broken };
  struct link;
  struct callback;
  struct caller;

  bool leave_open(state to) noexcept {
    state expected = open;
    return state_.compare_exchange_strong(expected, to, std::memory_order_acq_rel);
  }

  void break_off() noexcept;
  bool begin_calling_locked() noexcept;
  void call_back() noexcept;
  void call_all() noexcept;

  std::atomic<state> state_{open};
  spin_lock lock_;  // guards what follows
  bool closed_ = false;
  bool running_ = false;          // the links
  std::uint32_t running_in_ = 0;  // forks() of who runs them
  bool calling_ = false;          // the callbacks, or about to
  std::uint32_t calling_in_ = 0;  // forks() of who calls them
  std::uint64_t last_id_ = 0;
  link* first_ = nullptr;
  link* last_ = nullptr;
  callback* first_callback_ = nullptr;
  callback* last_callback_ = nullptr;
  std::shared_ptr<future_core> next_called_;  // by the same caller
};

}  // namespace coir::detail
