// Exceptions raised in a fiber by another.
#include <coir/coir.hpp>

#include <memory>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"
#include "wait/wait_kinds.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "raise: ends every kind of wait with the exception, once") {
  for (const wait_kind& kind : wait_kinds()) {
    primitives p;
    bool second_wait = false;
    auto f = coir::spawn([&] {
      try {
        kind.wait(p);
      } catch (const std::runtime_error& e) {
        if (e.what() != std::string("raised")) throw;
      }
      this_fiber::sleep_for(1ms);
      second_wait = true;
    });
    settle();
    f.raise(std::runtime_error("raised"));
    f.join();
    INFO(kind.name);
    CHECK(second_wait);
    CHECK(f.successful());
  }
}

TEST_CASE_METHOD(virtual_time, "raise: meets the next wait of a fiber that is not waiting") {
  auto f = coir::spawn([] {
    this_fiber::yield();
    this_fiber::check_cancelled();
  });
  f.raise(std::make_exception_ptr(std::logic_error("pending")));
  const std::string text = thrown_text<std::logic_error>([&] { f.get(); });
  CHECK(text == "pending");
}

TEST_CASE_METHOD(virtual_time, "raise: waits behind a shield") {
  bool finished = false;
  auto f = coir::spawn([&] {
    {
      const this_fiber::shield quiet;
      this_fiber::sleep_for(1ms);
      finished = true;
    }
    this_fiber::yield();
  });
  this_fiber::yield();
  f.raise(std::runtime_error("later"));
  CHECK(throws<std::runtime_error>([&] { f.get(); }));
  CHECK(finished);
}

TEST_CASE_METHOD(virtual_time, "raise: null is an invalid argument") {
  auto f = coir::spawn([] {});
  const std::string text = thrown_text<std::invalid_argument>([&] { f.raise(std::exception_ptr()); });
  INFO(text);
  CHECK(contains(text, "error=null"));
  f.join();
  f.raise(1);  // no effect: it has ended
  CHECK(f.successful());
}

TEST_CASE_METHOD(virtual_time, "raise: a second one does not take the place of the first") {
  std::string heard;
  auto f = coir::spawn([&] {
    for (int i = 0; i < 3; ++i) {
      try {
        this_fiber::sleep_for(1ms);
        heard += "- ";
      } catch (const std::runtime_error& e) {
        heard += std::string(e.what()) + " ";
      }
    }
  });
  this_fiber::yield();
  f.raise(std::runtime_error("first"));
  f.raise(std::runtime_error("second"));
  f.join();
  CHECK(heard == "first second - ");
}

TEST_CASE_METHOD(virtual_time, "raise: what nobody heard of goes with the fiber") {
  const auto kept = std::make_shared<int>(1);
  {
    auto f = coir::spawn([] { this_fiber::yield(); });
    f.raise(kept);
    f.raise(kept);
    f.cancel();
    f.join();
  }
  CHECK(kept.use_count() == 1);
}
