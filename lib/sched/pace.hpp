// When a turn of the run queue is over: after about half a millisecond, and after `most` switches at the
// latest.
//
// A clock looked at after each switch would cost more than the switch. So a number of switches is granted,
// after which time is looked at; as many as lately took a quarter to a half of a turn. Twice as many at most
// as the last time, so that slices which have become long are noticed, and no more than `watchful` while
// somebody waits for time or I/O: when slices of nanoseconds become ones of half a millisecond from one
// switch to the next, so many of them pass before that is seen.
//
// Rejected: to look once the queue has gone round, which between two fibers that only yield is half of their
// time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/ticks.hpp"

namespace coir::sched {

class pace {
 public:
  static constexpr base::nanoseconds turn = 500'000;
  static constexpr unsigned most = 256;
  static constexpr unsigned watchful = 16;

  // What was granted is spent, at `now` on a counter of which a turn takes `turn_ticks`. True if the turn is
  // over.
  bool spent(std::uint64_t now, std::uint64_t turn_ticks) noexcept {
    took_ = now - looked_;
    took_for_ = granted_;
    looked_ = now;
    made_ += granted_;
    if (took_ < turn_ticks / 4)
      bearable_ = std::min(most, std::max(bearable_, 2 * granted_));
    else if (took_ > turn_ticks / 2)
      bearable_ = std::max(1U, static_cast<unsigned>(granted_ * (turn_ticks / 2) / took_));
    else
      bearable_ = granted_;
    return made_ >= most || over(now, turn_ticks);
  }
  // The next grant, at most `limit`.
  unsigned grant(unsigned limit) noexcept { return granted_ = std::min({bearable_, limit, most - made_}); }
  // The next grant, whatever was measured.
  unsigned grant_exactly(unsigned n) noexcept { return granted_ = n; }
  // `left` of what was granted is taken back.
  void withdraw(unsigned left) noexcept { granted_ -= left; }
  unsigned granted() const noexcept { return granted_; }
  // What was measured does not hold for what comes.
  void doubt() noexcept { bearable_ = 1; }

  // A turn begins.
  void begin(std::uint64_t now) noexcept {
    began_ = looked_ = now;
    made_ = 0;
  }
  // The same but for the time, which whoever polls begins.
  void pass() noexcept { made_ = 0; }
  bool over(std::uint64_t now, std::uint64_t turn_ticks) const noexcept { return now - began_ >= turn_ticks; }
  // Whether `n` switches take longer than a turn, to judge by the last ones.
  bool long_round(std::uint32_t n, std::uint64_t turn_ticks) const noexcept {
    return took_ * n > turn_ticks * took_for_;
  }

 private:
  unsigned granted_ = 1;
  unsigned bearable_ = 1;  // what may be granted, to judge by what was
  unsigned made_ = 0;      // switches of this turn
  unsigned took_for_ = 1;
  std::uint64_t took_ = 0;  // the last `took_for_` of them
  std::uint64_t began_ = 0, looked_ = 0;
};

// How long one fiber has made calls that could have waited and did not, which are part of what is granted.
class calls_in_a_row {
 public:
  // At a look at the clock, while `self` runs: whether it has had a turn of its own. Who has come to run
  // since the last look, perhaps just woken, has not, though the others may have used theirs up.
  bool spent(const void* self, unsigned granted, std::uint64_t now, std::uint64_t turn_ticks) noexcept {
    if (who_ != self) {
      who_ = self;
      since_ = now;
      made_ = 0;
      return false;
    }
    made_ += granted;
    if (made_ < pace::most && now - since_ < turn_ticks) return false;
    who_ = nullptr;
    return true;
  }
  // `self` goes on all the same: at the next look he has had his turn.
  void put_off(const void* self) noexcept {
    who_ = self;
    made_ = pace::most;
  }

 private:
  const void* who_ = nullptr;
  std::uint64_t since_ = 0;
  unsigned made_ = 0;
};

}  // namespace coir::sched
