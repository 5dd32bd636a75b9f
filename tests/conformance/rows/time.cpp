// Sleeping and yielding.
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

timespec from_now(clockid_t clock, long ns) {
  timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += ns;
  t.tv_sec += t.tv_nsec / 1'000'000'000;
  t.tv_nsec %= 1'000'000'000;
  return t;
}

}  // namespace

COIR_ROW("sleep: nanosleep and usleep are never early, at any length") {
  for (const long ns :
       {1L, 1000L, 49'999L, 65'537L, 300'001L, 999'999L, 1'000'001L, 3'141'592L, 20'000'000L, 65'536'000L}) {
    const timespec t = {0, ns};
    for (int i = 0; i < 4; ++i) {
      const stopwatch since;
      if (nanosleep(&t, nullptr) != 0) o.say("nanosleep fails");
      o.check(since.milliseconds() >= static_cast<double>(ns) / 1e6, "nanosleep is not early");
      if (ns > 3'000'000) break;
    }
    const stopwatch since;
    if (usleep(static_cast<useconds_t>(ns / 1000)) != 0) o.say("usleep fails");
    o.check(since.milliseconds() >= static_cast<double>(ns / 1000) / 1e3, "usleep is not early");
  }
  o.say("done");
}

COIR_ROW("sleep: many flows with different times all wake, none early") {
  constexpr int count = 40;
  std::atomic<int> early{0}, woken{0};
  {
    std::vector<std::unique_ptr<flow>> flows;
    for (int i = count - 1; i >= 0; --i)
      flows.push_back(std::make_unique<flow>("sleeper", [&, i](log&) {
        const timespec t = {0, 20'000'000L + i * 5'000'000L};
        const stopwatch since;
        nanosleep(&t, nullptr);
        if (since.milliseconds() < 20 + i * 5) ++early;
        ++woken;
      }));
  }
  o.say("%d woken, %d early", woken.load(), early.load());
}

COIR_ROW("sleep: usleep of a second and more is legal") {
  stopwatch since;
  flow second("second", [&](log& s) { COIR_OBSERVE(s, usleep(1'000'000)); });
  flow more("more", [&](log& s) { COIR_OBSERVE(s, usleep(1'050'000)); });
  second.join();
  o.took(since, 1000);
  more.join();
  o.took(since, 1050);
}

COIR_ROW("sleep: sleep(1) takes a second and returns 0") {
  const stopwatch since;
  COIR_OBSERVE(o, sleep(1));
  o.took(since, 1000);
}

COIR_ROW("sleep: zero returns at once and lets others run") {
  std::atomic<int> rounds{0};
  std::atomic<bool> stop{false};
  flow other("other", [&](log&) {
    while (!stop) {
      ++rounds;
      sched_yield();
    }
  });
  const stopwatch since;
  COIR_OBSERVE(o, sleep(0));
  COIR_OBSERVE(o, usleep(0));
  timespec none = {0, 0}, left = {7, 7};
  COIR_OBSERVE(o, nanosleep(&none, &left));
  o.say("left is not touched: %d", left.tv_sec == 7 && left.tv_nsec == 7);
  COIR_OBSERVE(o, sched_yield());
  thrd_yield();
  o.took_no_time(since);
  while (rounds < 5) sched_yield();
  const int before = rounds;
  for (const stopwatch limit; limit.milliseconds() < 900 && rounds < before + 5;) {
    sleep(0);
    usleep(0);
  }
  o.check(rounds >= before + 5, "the other flow ran meanwhile");
  stop = true;
}

COIR_ROW("sleep: wrong durations say EINVAL at once") {
  const timespec bad[] = {{0, 1'000'000'000}, {0, -1}, {-1, 0}, {1, 2'000'000'000}};
  const stopwatch since;
  for (const timespec& t : bad) {
    COIR_OBSERVE(o, nanosleep(&t, nullptr));
    o.say("clock_nanosleep %s", strerrorname_np(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr)));
    o.say("absolute %s", strerrorname_np(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr)));
    o.say("thrd_sleep %d", thrd_sleep(&t, nullptr));
  }
  o.took_no_time(since);
}

COIR_ROW("sleep: clock_nanosleep, relative and absolute, on the clocks that can") {
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI}) {
    const timespec t = {0, 30'000'000};
    stopwatch since;
    errno = untouched;
    o.say("clock %d: %d", clock, clock_nanosleep(clock, 0, &t, nullptr));
    o.took(since, 30);
    const timespec at = from_now(clock, 30'000'000);
    since.restart();
    o.say("clock %d: %d", clock, clock_nanosleep(clock, TIMER_ABSTIME, &at, nullptr));
    o.took(since, 29.9);
    timespec now;
    clock_gettime(clock, &now);
    o.check(now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec),
            "the point has come");
    o.check(errno == untouched, "errno stays");
  }
}

COIR_ROW("sleep: an absolute time that has passed returns at once") {
  const timespec long_ago = {1, 0}, just_now = from_now(CLOCK_MONOTONIC, 0);
  const stopwatch since;
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME})
    o.say("clock %d: %d", clock, clock_nanosleep(clock, TIMER_ABSTIME, &long_ago, nullptr));
  o.say("just now: %d", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &just_now, nullptr));
  o.took_no_time(since);
}

COIR_ROW("sleep: clocks that cannot be slept on are refused") {
  const timespec t = {0, 1'000'000};
  for (const clockid_t clock :
       {clockid_t{CLOCK_MONOTONIC_RAW}, clockid_t{CLOCK_REALTIME_COARSE}, clockid_t{CLOCK_MONOTONIC_COARSE},
        clockid_t{CLOCK_THREAD_CPUTIME_ID}, clockid_t{77}, clockid_t{-1}})
    for (const int flags : {0, TIMER_ABSTIME})
      o.say("clock %d: %s", clock, strerrorname_np(clock_nanosleep(clock, flags, &t, nullptr)));
}

COIR_ROW("sleep: thrd_sleep") {
  timespec t = {0, 20'500'000}, left = {7, 7};
  const stopwatch since;
  o.say("thrd_sleep %d", thrd_sleep(&t, &left));
  o.took(since, 20.5);
  o.say("left %ld", static_cast<long>(left.tv_sec));
}

COIR_ROW("sleep: the time left is not written by a sleep that ends by itself") {
  timespec t = {0, 5'000'000}, left = {7, 7};
  COIR_OBSERVE(o, nanosleep(&t, &left));
  o.say("clock_nanosleep %d", clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &left));
  o.say("left %ld s %ld ns", static_cast<long>(left.tv_sec), left.tv_nsec);
}

COIR_ROW("sleep: the argument may be where the time left goes") {
  timespec t = {0, 30'000'000};
  const stopwatch since;
  COIR_OBSERVE(o, nanosleep(&t, &t));
  o.took(since, 30);
  o.say("%ld s %ld ns", static_cast<long>(t.tv_sec), t.tv_nsec);
}

COIR_ROW("sleep: very long ones just last") {
  const timespec forever = {0x7fffffffffffffff, 999'999'999};
  const both_ends e = make(kind::unix_stream);
  flow poller("poller", [&](log& p) {
    fd_set in;
    FD_ZERO(&in);
    FD_SET(e.a, &in);
    COIR_OBSERVE(p, pselect(e.a + 1, &in, nullptr, nullptr, &forever, nullptr));
  });
  flow second("second poller", [&](log& p) {
    pollfd f = {e.a, POLLIN, 0};
    COIR_OBSERVE(p, poll(&f, 1, 0x7fffffff));
  });
  const both_ends s = make(kind::unix_stream);
  flow reader("reader", [&](log& r) {
    const timeval long_time = {0x7fffffffffffffff / 4000, 0};
    COIR_OBSERVE(r, setsockopt(s.a, SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof long_time));
    char data[4];
    COIR_OBSERVE(r, recv(s.a, data, sizeof data, 0));
  });
  flow selector("selector", [&](log& p) {
    fd_set in;
    FD_ZERO(&in);
    FD_SET(e.a, &in);
    timeval t = {0x7fffffffffffffff, 999'999};
    const long n = COIR_OBSERVE(p, select(e.a + 1, &in, nullptr, nullptr, &t));
    p.check(n == 1 && t.tv_sec > 1'000'000'000, "much is left");
  });
  usleep(40'000);
  o.say("%s, %s, %s, %s", poller.state(), second.state(), reader.state(), selector.state());
  write_all(e.b, "x");
  write_all(s.b, "x");
}
