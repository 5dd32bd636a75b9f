// A patched call that is cancelled, or overtaken by a timeout, while it waits.
#pragma once

#include <coir/coir.hpp>

#include <string>

#include "../row.hpp"

namespace conformance {

// Makes `call` on a fiber that is cancelled while it waits, and again under a timeout scope. It is to fail
// with `cancelled` and `timed_out`, by -1 and errno or, if it returns errors itself, as its result.
template <class Call>
void interrupted(log& o, const std::string& what, Call call) {
  const auto outcome = [&](long r) { return r == -1 ? errno : r > 0 && r < 4096 ? static_cast<int>(r) : 0; };
  {
    int error = 0, again = 0;
    coir::fiber<void> f = coir::spawn([&] {
      error = outcome(call());
      again = outcome(call());
    });
    settle();
    o.check(!f.ready(), (what + " waits").c_str());
    const stopwatch since;
    f.cancel();
    f.join();
    o.check(since.milliseconds() < 150, ("late: " + what + " does not end at once").c_str());
    o.check(error == ECANCELED, (what + ": ECANCELED, not " + std::to_string(error)).c_str());
    o.check(again == ECANCELED, (what + ": ECANCELED again, not " + std::to_string(again)).c_str());
  }
  const stopwatch since;
  coir::timeout limit(30ms);
  const int error = outcome(call());
  o.check(error == ETIMEDOUT, (what + ": ETIMEDOUT, not " + std::to_string(error)).c_str());
  const double took = since.milliseconds();
  o.check(limit.expired() && took >= 30, (what + " takes as long as allowed").c_str());
  o.check(took < 180, ("late: " + what + " takes longer than allowed").c_str());
}

}  // namespace conformance
