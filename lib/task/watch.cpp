#include "task/watch.hpp"

#include <algorithm>

#include "wait/interrupt.hpp"
#include "wait/watch_set.hpp"

namespace coir::task {
namespace {

constexpr base::nanoseconds look_again = 4'000'000;

}  // namespace

bool wait_any(std::span<const watched> what, const char* reason, base::nanoseconds deadline) {
  sched::scheduler& s = sched::scheduler::ensure();
  const wait::mode m = wait::begin_wait(s);
  wait::watch_set watches(what.size());
  wait::waiter w(s);
  bool blind = !watches.ok() || wait::reactor_of(s) == nullptr;
  for (const watched& one : what)
    blind = blind || one.fd < 0 || watches.add(s, one.fd, one.events, 0, w) != 0;
  const auto soon = [&] { return std::min(deadline, base::add_saturated(s.now(), look_again)); };
  base::nanoseconds until = blind ? soon() : deadline;
  wait::outcome o = wait::park_until(w, reason, until, m);
  watches.stop(s, reason);
  if (o == wait::outcome::notified && watches.failed() && !watches.closed([](std::size_t) {})) {
    wait::waiter brief(s);
    until = soon();
    o = wait::park_until(brief, reason, until, m);
  }
  wait::end_wait(s, o);
  return o != wait::outcome::timed_out || until != deadline;
}

}  // namespace coir::task
