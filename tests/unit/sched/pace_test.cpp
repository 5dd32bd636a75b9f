// A turn of the run queue is a time, not a number of switches: who waits for time or I/O beside fibers that
// compute is served after a turn and two of their slices, however many they are.
#include "sched/pace.hpp"

#include <sys/epoll.h>
#include <coir/coir.hpp>

#include <algorithm>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"
#include "wait/io.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

constexpr nanoseconds slice = 500us;
constexpr nanoseconds bound = 2 * slice + 1ms;

class computing : public virtual_time {
 public:
  // `count` fibers that compute for a slice between their switches, until `stop`.
  void crowd(int count, nanoseconds each = slice) {
    for (int i = 0; i < count; ++i)
      fibers.push_back(coir::spawn([this, each] {
        while (!stop) {
          compute(each);
          ++slices;
          this_fiber::yield();
        }
      }));
  }
  // How late the latest of `rounds` sleeps ended.
  nanoseconds latest_timer(int rounds) {
    nanoseconds latest = 0ns;
    for (int i = 0; i < rounds; ++i) {
      const nanoseconds due = elapsed() + 5ms + i * 70us;
      this_fiber::sleep_for(5ms + i * 70us);
      latest = std::max(latest, elapsed() - due);
    }
    return latest;
  }
  // The same for descriptors that become ready.
  nanoseconds latest_event(int rounds) {
    nanoseconds latest = 0ns;
    for (int i = 0; i < rounds; ++i) {
      constexpr int fd = 5;
      const nanoseconds due = elapsed() + 3ms + i * 130us;
      io().make_ready_at(io().now() + (3ms + i * 130us).count(), fd, EPOLLIN);
      coir::wait::waiting_operation op;
      op.kind = coir::reactor::op_kind::poll;
      op.fd = fd;
      op.events = EPOLLIN;
      op.state = scheduler().fds().get(fd);
      CHECK(coir::wait::perform(scheduler(), op, {"test"}) > 0);
      scheduler().charge();  // who has just been woken has used nothing of a turn
      latest = std::max(latest, elapsed() - due);
    }
    return latest;
  }
  void end() {
    stop = true;
    coir::wait_all(fibers);
  }

  bool stop = false;
  long slices = 0;
  std::vector<coir::fiber<void>> fibers;
};

}  // namespace

TEST_CASE_METHOD(computing,
                 "pace: timers and I/O beside computing fibers are late by a turn and two slices") {
  const int count = GENERATE(1, 2, 3, 10, 100, 1000);
  CAPTURE(count);
  crowd(count);
  auto timer = coir::spawn([&] { return latest_timer(20); });
  auto event = coir::spawn([&] { return latest_event(20); });
  const nanoseconds timers = timer.get(), events = event.get();
  CHECK(timers <= bound);
  CHECK(events <= bound);
  end();
}

TEST_CASE_METHOD(computing, "pace: slices that become long are noticed after sixteen of them") {
  nanoseconds each = 0ns;
  for (int i = 0; i < 2; ++i)
    fibers.push_back(coir::spawn([&] {
      while (!stop) {
        compute(each);
        this_fiber::yield();
      }
    }));
  for (int i = 0; i < 1000; ++i) this_fiber::yield();
  auto timer = coir::spawn([&] { return latest_timer(10); });
  this_fiber::yield();
  for (int i = 0; i < 1000; ++i) this_fiber::yield();
  each = slice;
  CHECK(timer.get() <= bound + 16 * slice);
  end();
}

TEST_CASE_METHOD(computing, "pace: slices between fibers that pass items on count as well") {
  coir::channel<int> items;
  auto from = coir::spawn([&] {
    while (!stop) {
      compute(slice);
      items.push(1);
    }
    items.close();
  });
  auto to = coir::spawn([&] {
    while (items.pop()) compute(slice);
  });
  auto timer = coir::spawn([&] { return latest_timer(20); });
  CHECK(timer.get() <= bound);
  stop = true;
  coir::wait_all(from, to);
}

TEST_CASE_METHOD(computing, "pace: calls that need not wait give way after the time of a turn") {
  auto caller = coir::spawn([&] {
    while (!stop) {
      compute(100us);
      scheduler().charge();
    }
  });
  auto timer = coir::spawn([&] { return latest_timer(20); });
  CHECK(timer.get() <= bound);
  end();
  caller.join();
}

TEST_CASE_METHOD(computing, "pace: a crowd that time and I/O have woken is served in its own order") {
  std::vector<int> served;
  for (int i = 0; i < 500; ++i)
    fibers.push_back(coir::spawn([&, i] {
      this_fiber::sleep_for(1ms + i * 5us);
      served.push_back(i);
      compute(20us);
    }));
  end();
  CHECK(served.size() == 500);
  CHECK(std::is_sorted(served.begin(), served.end()));
}

TEST_CASE_METHOD(computing,
                 "pace: who is woken all the time leaves every other switch to those who compute") {
  crowd(10);
  std::vector<coir::fiber<void>> eager;
  for (int i = 0; i < 10; ++i)
    eager.push_back(coir::spawn([&] {
      while (!stop) {
        this_fiber::sleep_for(10us);
        compute(slice);
      }
    }));
  this_fiber::sleep_for(1s);
  CHECK(slices >= 900);
  end();
  coir::wait_all(eager);
}

TEST_CASE("pace: short switches are looked at seldom, long ones each time") {
  constexpr std::uint64_t turn = 1000;
  coir::sched::pace p;
  std::uint64_t now = 0;
  p.begin(now);
  unsigned granted = p.grant(256), looks = 0;
  for (unsigned made = 0; made < 255;) {
    now += granted;  // a tick each
    made += granted;
    ++looks;
    if (p.spent(now, turn)) break;
    granted = p.grant(256);
  }
  CHECK(looks <= 10);
  p.begin(now);
  CHECK(p.grant(16) == 16);
  now += 16 * 600;
  CHECK(p.spent(now, turn));
  p.begin(now);
  CHECK(p.grant(16) <= 1);
  CHECK(p.long_round(2, turn));
  CHECK_FALSE(p.long_round(1, turn));
}
