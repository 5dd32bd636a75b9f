// What belongs to a flow of control stays with it: errno and the C++ exceptions in flight and in handling
// (D11).
#include <coir/coir.hpp>

#include <cerrno>
#include <cfenv>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "switch: errno belongs to the fiber") {
  const auto keep = [](int value) {
    errno = value;
    for (int i = 0; i < 20; ++i) {
      if (i % 2 == 0)
        this_fiber::yield();
      else
        this_fiber::sleep_for(1us);
      if (errno != value) return false;
    }
    return true;
  };
  auto a = coir::spawn(keep, EINTR);
  auto b = coir::spawn(keep, ENOENT);
  const bool mine = keep(EAGAIN);
  const bool first = a.get(), second = b.get();
  CHECK(mine);
  CHECK(first);
  CHECK(second);
}

TEST_CASE_METHOD(virtual_time, "switch: a new fiber begins with errno 0") {
  errno = EBADF;
  auto f = coir::spawn([] { return errno; });
  const int seen = f.get();
  const int mine = errno;
  CHECK(seen == 0);
  CHECK(mine == EBADF);
}

TEST_CASE_METHOD(virtual_time, "switch: fibers wait inside catch handlers, each with its own exception") {
  std::vector<coir::fiber<bool>> fibers;
  for (int i = 0; i < 5; ++i)
    fibers.push_back(coir::spawn([i] {
      const std::string text = "error of fiber " + std::to_string(i);
      try {
        throw std::runtime_error(text);
      } catch (const std::runtime_error& e) {
        for (int j = 0; j < 4; ++j) {
          // Different lengths, so that handlers end in another order than they began.
          this_fiber::sleep_for(std::chrono::microseconds(7 * (i + 1) % 5 + 1));
          if (e.what() != text) return false;
        }
        try {
          std::rethrow_exception(std::current_exception());
        } catch (const std::exception& same) {
          if (same.what() != text) return false;
        }
        try {
          throw;
        } catch (const std::exception& again) {
          return again.what() == text;
        }
      }
    }));
  for (auto& f : fibers) {
    const bool kept = f.get();
    CHECK(kept);
  }
}

TEST_CASE_METHOD(virtual_time, "switch: nested handlers and rethrows survive other fibers' handlers") {
  const auto nested = [](int depth, const auto& self) -> std::string {
    try {
      throw depth;
    } catch (int value) {
      this_fiber::yield();
      const std::string below = depth > 0 ? self(depth - 1, self) : "";
      this_fiber::yield();
      try {
        throw;
      } catch (int again) {
        this_fiber::yield();
        return std::to_string(value == again ? value : -1) + below;
      }
    }
  };
  auto a = coir::spawn([&] { return nested(3, nested); });
  auto b = coir::spawn([&] { return nested(5, nested); });
  auto c = coir::spawn([&] { return nested(1, nested); });
  const std::string mine = nested(4, nested);
  const std::string first = a.get(), second = b.get(), third = c.get();
  CHECK(mine == "43210");
  CHECK(first == "3210");
  CHECK(second == "543210");
  CHECK(third == "10");
}

namespace {

// Waits while the stack unwinds.
struct waits_in_destructor {
  int* uncaught_before;
  int* uncaught_after;
  ~waits_in_destructor() {
    *uncaught_before = std::uncaught_exceptions();
    this_fiber::sleep_for(10us);
    this_fiber::yield();
    *uncaught_after = std::uncaught_exceptions();
  }
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "switch: fibers wait in destructors during unwinding") {
  std::vector<coir::fiber<bool>> fibers;
  for (int i = 0; i < 4; ++i)
    fibers.push_back(coir::spawn([i] {
      int before = -1, after = -1;
      try {
        const waits_in_destructor w{&before, &after};
        throw std::runtime_error(std::to_string(i));
      } catch (const std::runtime_error& e) {
        return e.what() == std::to_string(i) && before == 1 && after == 1 && std::uncaught_exceptions() == 0;
      }
    }));
  auto bystander = coir::spawn([] {
    for (int i = 0; i < 50; ++i) {
      if (std::uncaught_exceptions() != 0 || std::current_exception() != nullptr) return false;
      this_fiber::sleep_for(1us);
    }
    return true;
  });
  for (auto& f : fibers) {
    const bool kept = f.get();
    CHECK(kept);
  }
  const bool clean = bystander.get();
  CHECK(clean);
}

TEST_CASE_METHOD(virtual_time,
                 "switch: a destructor that waits and catches during unwinding disturbs nothing") {
  struct catches_while_unwinding {
    ~catches_while_unwinding() {
      try {
        this_fiber::yield();
        throw 1;
      } catch (int) {
        this_fiber::sleep_for(3us);
      }
    }
  };
  const auto work = [](int n) {
    try {
      const catches_while_unwinding c;
      throw n;
    } catch (int value) {
      return value;
    }
  };
  auto a = coir::spawn(work, 7);
  auto b = coir::spawn(work, 8);
  const int mine = work(9);
  const int first = a.get(), second = b.get();
  CHECK(mine == 9);
  CHECK(first == 7);
  CHECK(second == 8);
}

TEST_CASE_METHOD(virtual_time, "switch: a fiber spawned inside a handler has no exception of its own") {
  try {
    throw std::runtime_error("mine");
  } catch (const std::runtime_error&) {
    auto f =
        coir::spawn([] { return std::current_exception() == nullptr && std::uncaught_exceptions() == 0; });
    const bool clean = f.get();
    CHECK(clean);
    auto thrower = coir::spawn([]() -> int { throw std::logic_error("theirs"); });
    std::string text = thrown_text<std::logic_error>([&] { thrower.get(); });
    CHECK(text == "theirs");
    text = thrown_text<std::runtime_error>([] { throw; });
    CHECK(text == "mine");
  }
}

TEST_CASE_METHOD(virtual_time, "switch: an exception may be held while its fiber ends") {
  std::exception_ptr kept;
  coir::spawn([&] {
    try {
      throw std::runtime_error("kept");
    } catch (...) {
      kept = std::current_exception();
    }
  }).join();
  for (int i = 0; i < 10; ++i) coir::spawn([] {}).join();
  const std::string text = thrown_text<std::runtime_error>([&] { std::rethrow_exception(kept); });
  CHECK(text == "kept");
}

TEST_CASE_METHOD(virtual_time, "switch: the floating-point rounding mode belongs to the fiber") {
  auto f = coir::spawn([] {
    const int before = std::fegetround();
    std::fesetround(FE_UPWARD);
    this_fiber::yield();
    this_fiber::sleep_for(1us);
    return before == FE_TONEAREST && std::fegetround() == FE_UPWARD;
  });
  this_fiber::yield();
  const int mine = std::fegetround();
  const bool kept = f.get();
  CHECK(mine == FE_TONEAREST);
  CHECK(std::fegetround() == FE_TONEAREST);
  CHECK(kept);
}

TEST_CASE_METHOD(virtual_time, "switch: floating-point values survive") {
  const auto sum = [](double step) {
    double total = 0;
    for (int i = 0; i < 100; ++i) {
      total += step;
      this_fiber::yield();
    }
    return total;
  };
  auto a = coir::spawn(sum, 0.5);
  auto b = coir::spawn(sum, 0.25);
  const double first = a.get(), second = b.get();
  CHECK(first == 50);
  CHECK(second == 25);
}
