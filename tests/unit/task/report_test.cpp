// Exceptions nobody can see any more.
#include <coir/coir.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

struct seen {
  std::uint64_t id;
  std::string name;
  std::string text;
};
std::vector<seen> reports;

void remember(std::uint64_t id, const char* name, std::exception_ptr error) {
  reports.push_back({id, name, thrown_text<std::exception>([&] { std::rethrow_exception(error); })});
}

// The handler of this test, gone after it.
struct with_handler : virtual_time {
  with_handler() {
    reports.clear();
    coir::set_unhandled_exception_handler(remember);
  }
  ~with_handler() { coir::set_unhandled_exception_handler(nullptr); }
};

}  // namespace

TEST_CASE_METHOD(virtual_time,
                 "unseen exception: is told on stderr with the fiber's name, and the others go on") {
  std::string text;
  bool other_ran = false;
  std::uint64_t id = 0;
  {
    const captured_stderr err;
    id =
        coir::spawn(coir::attributes{.name = "doomed"}, [] { throw std::runtime_error("unseen text"); }).id();
    auto other = coir::spawn([&] { other_ran = true; });
    other.join();
    text = err.text();
  }
  CHECK(other_ran);
  INFO(text);
  CHECK(contains(text, "fiber #" + std::to_string(id) + " \"doomed\""));
  CHECK(contains(text, ", spawned at "));
  CHECK(
      contains(text, ", ended by std::runtime_error: unseen text\n      (no handle of it is left: keep one"));
}

TEST_CASE_METHOD(with_handler, "unseen exception: goes to the handler") {
  std::string text;
  std::uint64_t id = 0;
  {
    const captured_stderr err;
    id = coir::spawn(coir::attributes{.name = "doomed"}, [] { throw std::logic_error("one"); }).id();
    settle();
    text = err.text();
  }
  CHECK(text == "");
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].id == id);
  CHECK(reports[0].name == "doomed");
  CHECK(reports[0].text == "one");
}

TEST_CASE_METHOD(with_handler, "unseen exception: is reported when the last handle goes, not before") {
  {
    auto f = coir::spawn([] { throw std::logic_error("two"); });
    f.join();
    CHECK(reports.empty());
    auto copy = f;
    f = {};
    CHECK(reports.empty());
  }
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].text == "two");
}

TEST_CASE_METHOD(with_handler, "unseen exception: what get or exception showed is not reported") {
  {
    auto f = coir::spawn([] { throw std::logic_error("three"); });
    CHECK(throws<std::logic_error>([&] { f.get(); }));
    auto g = coir::spawn([] { throw std::logic_error("four"); });
    g.join();
    CHECK(g.exception() != nullptr);
  }
  CHECK(reports.empty());
}

TEST_CASE_METHOD(with_handler, "unseen exception: cancellation is an end, not an error") {
  {
    auto f = coir::spawn([] { this_fiber::sleep_for(1s); });
    auto g = coir::spawn([] {});
    this_fiber::yield();
    f.cancel();
    auto never_begun = coir::spawn([] {});
    never_begun.cancel();
    coir::wait_all(f, g, never_begun);
  }
  CHECK(reports.empty());
}

TEST_CASE_METHOD(with_handler, "unseen exception: what a cancelled fiber's clean-up throws is reported") {
  auto f = coir::spawn([] {
    try {
      this_fiber::sleep_for(1s);
    } catch (const coir::cancelled&) {
      throw std::runtime_error("clean-up failed");
    }
  });
  this_fiber::yield();
  f.cancel();
  f.join();
  f = {};
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].text == "clean-up failed");
}

TEST_CASE_METHOD(virtual_time, "unseen exception: setting a handler returns the one before") {
  CHECK(coir::set_unhandled_exception_handler(remember) == nullptr);
  CHECK(coir::set_unhandled_exception_handler(nullptr) == remember);
  CHECK(coir::set_unhandled_exception_handler(nullptr) == nullptr);
}

TEST_CASE_METHOD(virtual_time, "unseen exception: a handler that throws is reported itself") {
  std::string text;
  coir::set_unhandled_exception_handler(
      [](std::uint64_t, const char*, std::exception_ptr) { throw std::runtime_error("bad handler"); });
  {
    const captured_stderr err;
    coir::spawn([] { throw 1; });
    settle();
    text = err.text();
  }
  coir::set_unhandled_exception_handler(nullptr);
  INFO(text);
  CHECK(contains(text, "bad handler"));
}

TEST_CASE_METHOD(with_handler, "unseen exception: errno of the fiber that runs next is not touched") {
  auto f = coir::spawn([] {
    errno = ENOENT;
    this_fiber::yield();
    return errno;
  });
  coir::spawn([] {
    errno = EBADF;
    throw std::logic_error("five");
  });
  const int kept = f.get();
  CHECK(kept == ENOENT);
}
