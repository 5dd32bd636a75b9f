#include "sched/timer_wheel.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "catch.hpp"

namespace {

using coir::base::nanoseconds;
using coir::base::never;
using coir::sched::timer;
using coir::sched::timer_wheel;

constexpr nanoseconds second = 1'000'000'000;

// A timer that writes itself into a log.
struct logged : timer {
  std::vector<logged*>* log = nullptr;
  int number = 0;
};

void write_down(timer* t) noexcept {
  auto* self = static_cast<logged*>(t);
  self->log->push_back(self);
}

class wheel_test {
 public:
  logged& at(nanoseconds when) {
    logged& t = timers_.emplace_back();
    t.when = when;
    t.fire = write_down;
    t.log = &fired;
    t.number = static_cast<int>(timers_.size()) - 1;
    return t;
  }
  logged& add(nanoseconds when, nanoseconds now = 0) {
    logged& t = at(when);
    wheel.add(&t, now);
    return t;
  }
  std::vector<nanoseconds> fired_times() const {
    std::vector<nanoseconds> times;
    for (const logged* t : fired) times.push_back(t->when);
    return times;
  }

  timer_wheel wheel;
  std::vector<logged*> fired;

 private:
  std::deque<logged> timers_;
};

// Goes from deadline to deadline as a scheduler does, up to `end`.
void run(wheel_test& w, nanoseconds end) {
  for (;;) {
    const nanoseconds next = w.wheel.next();
    if (next > end) break;
    w.wheel.fire_due(next);
  }
  w.wheel.fire_due(end);
}

}  // namespace

TEST_CASE_METHOD(wheel_test, "timer_wheel: an empty one has no next deadline") {
  CHECK(wheel.empty());
  CHECK(wheel.size() == 0);
  CHECK(wheel.next() == never);
  wheel.fire_due(second);
  CHECK(fired.empty());
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: fires at the nanosecond and not before") {
  const nanoseconds when = GENERATE(nanoseconds{1}, 65'535, 65'536, 65'537, 4'194'304, second, 3600 * second);
  logged& t = add(when);
  wheel.fire_due(when - 1);
  CHECK(fired.empty());
  CHECK(t.armed());
  wheel.fire_due(when);
  CHECK(fired == std::vector<logged*>{&t});
  CHECK_FALSE(t.armed());
  CHECK(wheel.empty());
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: next is never later than the first deadline, and gets there") {
  const nanoseconds when = GENERATE(nanoseconds{7}, 70'000, 9'000'000, 123'456'789, 86'400 * second + 12345);
  add(when);
  int steps = 0;
  while (fired.empty()) {
    const nanoseconds next = wheel.next();
    REQUIRE(next <= when);
    wheel.fire_due(next);
    REQUIRE(++steps < 16);
  }
  CHECK(fired_times() == std::vector<nanoseconds>{when});
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: one call fires all that is due in the order of deadlines") {
  for (const nanoseconds when :
       {5 * second, nanoseconds{3}, 70'000L, 2 * second, nanoseconds{4}, 65'536L, 65'535L})
    add(when);
  add(6 * second);
  wheel.fire_due(5 * second);
  CHECK(fired_times() == std::vector<nanoseconds>{3, 4, 65'535, 65'536, 70'000, 2 * second, 5 * second});
  CHECK(wheel.size() == 1);
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: a deadline in the past fires at once") {
  add(10 * second);
  wheel.fire_due(9 * second);
  add(second, 9 * second);
  CHECK(wheel.next() <= 9 * second);
  wheel.fire_due(9 * second);
  CHECK(fired_times() == std::vector<nanoseconds>{second});
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: a removed timer does not fire and may be used again") {
  logged& near = add(100);
  logged& far = add(second);
  logged& farther = add(3000 * second);
  logged& stays = add(2 * second);
  for (logged* t : {&near, &far, &farther}) {
    wheel.remove(t);
    CHECK_FALSE(t->armed());
  }
  CHECK(wheel.size() == 1);
  run(*this, 4000 * second);
  CHECK(fired == std::vector<logged*>{&stays});
  far.when = 5000 * second;
  wheel.add(&far, 4000 * second);
  run(*this, 5000 * second);
  CHECK(fired == std::vector<logged*>{&stays, &far});
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: removing the last timer of a slot leaves nothing to wake for") {
  logged& t = add(second);
  logged& later = add(100 * second);
  wheel.remove(&t);
  wheel.remove(&later);
  CHECK(wheel.empty());
  CHECK(wheel.next() == never);
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: deadlines to the end of time are kept") {
  add(never - 1);
  add(never / 2);
  add(second);
  CHECK(wheel.next() <= second);
  run(*this, 1000 * second);
  CHECK(fired_times() == std::vector<nanoseconds>{second});
  wheel.fire_due(never / 2 - 1);
  CHECK(fired.size() == 1);
  wheel.fire_due(never / 2);
  CHECK(fired.size() == 2);
  wheel.fire_due(never - 2);
  CHECK(fired.size() == 2);
  wheel.fire_due(never - 1);
  CHECK(fired_times() == std::vector<nanoseconds>{second, never / 2, never - 1});
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: a callback may add and remove timers") {
  struct chain : timer {
    timer_wheel* wheel;
    logged* victim;
    logged* follower;
  } first;
  logged& victim = add(2 * second);
  logged& follower = at(second);
  first.wheel = &wheel;
  first.victim = &victim;
  first.follower = &follower;
  first.when = second;
  first.fire = [](timer* t) noexcept {
    auto* self = static_cast<chain*>(t);
    self->wheel->remove(self->victim);
    self->wheel->add(self->follower, self->when);
  };
  wheel.add(&first, 0);
  wheel.fire_due(3 * second);
  CHECK(fired == std::vector<logged*>{&follower});
  CHECK(wheel.empty());
}

TEST_CASE_METHOD(wheel_test, "timer_wheel: a hundred thousand deadlines fire in order") {
  std::mt19937_64 random(1);
  std::vector<nanoseconds> expected;
  for (int i = 0; i < 100'000; ++i) {
    expected.push_back(static_cast<nanoseconds>(random() % 100'000'000));
    add(expected.back());
  }
  std::sort(expected.begin(), expected.end());
  run(*this, 100'000'000);
  CHECK(fired_times() == expected);
}

// The same random steps on a wheel and on a std::multimap.
TEST_CASE_METHOD(wheel_test, "timer_wheel: behaves as a sorted list does") {
  const unsigned seed = GENERATE(range(1U, 21U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t n) { return static_cast<nanoseconds>(random() % n); };
  std::multimap<nanoseconds, logged*> model;
  std::vector<logged*> idle;
  nanoseconds now = below(1'000'000'000'000);
  const nanoseconds spans[] = {1'000, 100'000, 10'000'000, second, 1000 * second, 10'000'000 * second};

  for (int step = 0; step < 4000; ++step) {
    const auto action = random() % 100;
    if (action < 50) {
      logged* t = idle.empty() ? &at(0) : idle.back();
      if (!idle.empty()) idle.pop_back();
      t->when = now + below(static_cast<std::uint64_t>(spans[random() % std::size(spans)])) -
                (action < 3 ? 50'000 : 0);
      t->when = std::max<nanoseconds>(t->when, 0);
      model.emplace(t->when, t);
      wheel.add(t, now);
    } else if (action < 70 && !model.empty()) {
      auto victim = std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()));
      wheel.remove(victim->second);
      idle.push_back(victim->second);
      model.erase(victim);
    } else if (action < 80) {
      const nanoseconds next = wheel.next();
      REQUIRE((next == never) == model.empty());
      if (!model.empty()) {
        REQUIRE(next <= std::max(now, model.begin()->first));
        if (random() % 2 == 0) now = std::max(now, next);
      }
    } else {
      now += below(static_cast<std::uint64_t>(spans[random() % std::size(spans)]));
    }
    if (action >= 70) {
      wheel.fire_due(now);
      std::vector<nanoseconds> expected;
      std::vector<logged*> due;
      while (!model.empty() && model.begin()->first <= now) {
        expected.push_back(model.begin()->first);
        due.push_back(model.begin()->second);
        model.erase(model.begin());
      }
      REQUIRE(fired_times() == expected);
      std::vector<logged*> got = fired;
      std::sort(got.begin(), got.end());
      std::sort(due.begin(), due.end());
      REQUIRE(got == due);
      idle.insert(idle.end(), fired.begin(), fired.end());
      fired.clear();
    }
    REQUIRE(wheel.size() == model.size());
    REQUIRE(wheel.empty() == model.empty());
  }
  while (!model.empty()) {
    wheel.remove(model.begin()->second);
    model.erase(model.begin());
  }
  CHECK(wheel.empty());
}
