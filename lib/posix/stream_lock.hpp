// One fiber at a time uses a stream. libc's own lock keeps plain threads out, but fibers of one thread would
// walk through it; so which fiber uses what stands in a table as well.
//
// Recursive by fiber, first come first served.
// I1: a stream_lock is in the table from its construction, or from when it was handed over, to its end; one
// that was interrupted before that never is.
// I2: those in the table that are of one stream are of one fiber; who waits for it waits at one of them.
// I3: a popped waiter is claimed with the bucket locked: who was interrupted meanwhile is not handed the
// stream.
#pragma once

#include <stdio.h>

#include <mutex>

#include "base/list.hpp"
#include "wait/waiter.hpp"

namespace coir::posix {

class stream_lock : public base::list_node {
 public:
  // Suspends while another fiber or another thread uses the stream.
  explicit stream_lock(FILE* f, wait::mode m = wait::mode::interruptible) noexcept;
  // Never suspends. False: another fiber or another thread uses the stream.
  stream_lock(FILE* f, std::try_to_lock_t) noexcept;
  ~stream_lock();
  stream_lock(const stream_lock&) = delete;
  stream_lock& operator=(const stream_lock&) = delete;

  // False: interrupted while others used the stream, which is not to be touched; errno says why.
  explicit operator bool() const noexcept { return file_ == nullptr || held_; }

  // Plain threads may use the stream in between; fibers not. False: as above.
  void let_threads_in() noexcept;
  bool keep_threads_out() noexcept;

  // The stream is about to be closed, or to become another: what the current fiber's flockfile have made
  // ends.
  static void end_mine(FILE* f) noexcept;

  // In the child of a fork: only the forking fiber is left.
  static void forget_in_child() noexcept;

 private:
  friend void flockfile(FILE* f) noexcept;
  friend int ftrylockfile(FILE* f) noexcept;
  friend void funlockfile(FILE* f) noexcept;

  struct bucket {
    detail::spin_lock lock;
    stream_lock* first = nullptr;

    stream_lock* find(const FILE* f) const noexcept;
    void add(stream_lock* l) noexcept;
    void remove(const stream_lock* l) noexcept;
  };
  static bucket table[512];
  static bucket& bucket_of(const FILE* f) noexcept;
  // The one of the current fiber that was made last; null: there is none, and perhaps one of another fiber.
  static stream_lock* mine(const FILE* f, bool& of_another) noexcept;
  static void end(stream_lock* of_flockfile) noexcept;
  bool wait_for_turn(bucket& b, stream_lock& before) noexcept;
  bool interrupted() noexcept;
  void leave() noexcept;

  FILE* file_;  // null: a stream of libc's own, which nobody else knows
  sched::fiber* who_;
  wait::mode mode_;
  bool listed_ = false;             // in the table
  bool held_ = false;               // libc's lock
  stream_lock* next_ = nullptr;     // in the table
  unsigned depth_ = 0;              // how many flockfile made this
  wait::waiter* parked_ = nullptr;  // while it waits for its turn
  base::list<stream_lock> waiting_;
};

// libc's; the unlocked calls of others wait as well.
void flockfile(FILE* f) noexcept;
int ftrylockfile(FILE* f) noexcept;
void funlockfile(FILE* f) noexcept;  // also on a thread without fibers

}  // namespace coir::posix
