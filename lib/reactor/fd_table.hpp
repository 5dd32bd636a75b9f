// What one thread knows about each descriptor number, and the generations that tell a number's owners apart.
//
// I1: a state whose generation is not the process-wide one describes a file that was closed: `get` makes it
// anew. I2: `drained` may let a read park without trying first; it is set only where missing an edge is
// impossible, and
//     cleared by every event.
// I3: a number may be closed and reused without a word to coir. So all of this is a hint: before one makes a
// call fail the kernel is asked, and soon after one made a call wait (reactor::look_at_suspects).
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/clock.hpp"
#include "base/list.hpp"
#include "reactor/operation.hpp"

namespace coir::reactor {

// What a descriptor refers to, as far as waiting differs. `unknown` until someone asked the kernel.
enum class fd_kind : std::uint8_t {
  unknown,
  tcp,     // a TCP stream: a short read has drained it
  socket,  // any other socket
  pipe,    // takes RWF_NOWAIT
  file,    // regular file, directory, block device: epoll refuses it
  quick,   // a file of /proc and the like, /dev/zero: never waits
  other,   // terminals, eventfd, timerfd, inotify …
};

struct alignas(64) fd_state {  // one line
  std::uint32_t generation = 0;
  std::uint32_t registered = 0;  // epoll: the events it is registered for
  bool drained = false;          // the last read emptied it and no event came since
  bool hung = false;             // saw a hang-up, error or urgent data: infer nothing
  bool bulk = false;             // the last read brought much at once
  bool refuses_nowait[2] = {};   // RWF_NOWAIT, to read and to write: terminals, named FIFOs
  fd_kind kind = fd_kind::unknown;
  bool nonblocking = false;               // valid while flags_epoch is the process-wide one
  bool deferred = false;                  // TCP_FASTOPEN_CONNECT: the first send connects
  bool level_lies = false;                // io_uring: a poll was over for what nobody had asked
  bool trusted = false;                   // a wait begun on what is remembered was checked, and it held
  std::uint32_t flags_epoch = 0;          // 0: never asked
  std::uint32_t movers = 0;               // calls on helper threads that move the file's position
  int next_suspect = 0;                   // see fd_table::suspect; 0: it is none
  base::nanoseconds receive_timeout = 0;  // SO_RCVTIMEO; 0: none, negative: does not wait
  base::nanoseconds send_timeout = 0;     // SO_SNDTIMEO, likewise
  base::list<operation> operations;       // started and not done

  // The number has proved to be another file's, since its owner's end was not heard of.
  void begin_anew() noexcept {
    registered = flags_epoch = 0;
    drained = hung = bulk = level_lies = deferred = trusted = refuses_nowait[0] = refuses_nowait[1] = false;
    kind = fd_kind::unknown;
  }
};
static_assert(sizeof(fd_state) == 64);

// Process-wide, for every number.
struct fd_owner {
  std::atomic<std::uint32_t> generation{0};
  std::atomic<std::uint32_t> made_here{
      0};                               // private_epoch when a socket() of this process returned the number
  std::atomic<std::uint64_t> users{0};  // bit i: a thread of slot i (mod 64) has a state for this generation
};

inline constexpr int most_descriptors = 1 << 22;

// The owners of all numbers: lazily committed, never freed. Null if no memory could be reserved.
fd_owner* fd_owners() noexcept;

// One more than the highest number any thread ever had a state for.
extern std::atomic<int> descriptors_seen;

// Counts changes of O_NONBLOCK, SO_RCVTIMEO and the like made through patched calls on any descriptor.
extern std::atomic<std::uint32_t> flags_epoch;

// Counts the forks of this process, from 1. A socket with made_here equal to it is not shared with another
// process.
extern std::atomic<std::uint32_t> private_epoch;

class fd_table {
 public:
  explicit fd_table(unsigned slot) noexcept : user_bit_(std::uint64_t{1} << (slot % 64)) {}
  ~fd_table();
  fd_table(const fd_table&) = delete;
  fd_table& operator=(const fd_table&) = delete;

  // The state of a number, made if need be. Null for a negative or huge number, or without memory: the caller
  // goes on without coir.
  fd_state* get(int fd) noexcept {
    if (__builtin_expect(static_cast<unsigned>(fd) < static_cast<unsigned>(size_), 1)) {
      fd_state* s = states_[fd];
      if (__builtin_expect(
              s != nullptr && s->generation == owners_[fd].generation.load(std::memory_order_acquire), 1))
        return s;
    }
    return make(fd);
  }

  // The state as it is, perhaps of an earlier owner of the number; or null.
  fd_state* find(int fd) noexcept {
    return static_cast<unsigned>(fd) < static_cast<unsigned>(size_) ? states_[fd] : nullptr;
  }

  // After fork, in the child: every state is void.
  void clear() noexcept;

  // Operations on it were begun on what is remembered, which is to be checked: soon, or of a trusted state
  // later. Two lists through the states, of numbers + 2; their end is 1.
  void suspect(int fd, fd_state& s) noexcept {
    if (__builtin_expect(s.next_suspect != 0, 1)) return;
    s.next_suspect = first_suspect_[s.trusted];
    first_suspect_[s.trusted] = fd + 2;
  }
  bool has_suspects(bool trusted) const noexcept { return first_suspect_[trusted] != 1; }
  // Calls `keep(state)` for each; those for which it says false are none any more.
  template <class Keep>
  void sift_suspects(bool trusted, Keep keep) noexcept {
    int at = std::exchange(first_suspect_[trusted], 1);
    while (at != 1) {
      const int fd = at - 2;
      fd_state& s = *states_[fd];
      at = std::exchange(s.next_suspect, 0);
      if (keep(s)) suspect(fd, s);
    }
  }

 private:
  fd_state* make(int fd) noexcept;

  std::uint64_t user_bit_;
  fd_state** states_ = nullptr;  // reserved for most_descriptors, committed as used
  int size_ = 0;
  int first_suspect_[2] = {1, 1};
  fd_owner* owners_ = nullptr;
};

}  // namespace coir::reactor
