// The COIR_* variables.
#include <coir/coir.h>
#include <coir/coir.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "sched/scheduler.hpp"
#include "support/child.hpp"
#include "support/process.hpp"

using unit::contains;

COIR_SCENARIO(spawns) {
  try {
    coir::spawn([] { fault::say("ran"); }).join();
    coir::sched::scheduler::ensure().io();
    fault::say(std::string("reactor ") + coir::inspect::reactor_name());
  } catch (const std::invalid_argument& e) {
    fault::say(std::string("invalid argument: ") + e.what());
    // It says so each time.
    try {
      coir::this_fiber::yield();
    } catch (const std::invalid_argument& again) {
      if (again.what() == std::string(e.what())) fault::say("again");
    }
    errno = 0;
    if (coir_spawn([](void*) -> void* { return nullptr; }, nullptr) == nullptr && errno == EINVAL)
      fault::say("EINVAL");
    // And goes on once the environment is right.
    ::unsetenv("COIR_REACTOR");
    ::unsetenv("COIR_REACTRO");
    coir::spawn([] { fault::say("ran after all"); }).join();
  }
  return 0;
}

TEST_CASE("settings: a wrong value is an error that names variable, value and what was expected") {
  const auto r = fault::run("spawns", {{"COIR_REACTOR", "kqueue"}});
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(contains(r.out, "invalid argument: "));
  CHECK(contains(r.out, "COIR_REACTOR"));
  CHECK(contains(r.out, "'kqueue'"));
  CHECK(contains(r.out, "epoll"));
  CHECK(contains(r.out, "uring"));
  CHECK(contains(r.out, "again\n"));
  CHECK(contains(r.out, "EINVAL\n"));
  CHECK(contains(r.out, "ran after all\n"));
  CHECK_FALSE(contains(r.out, "ran\n"));
}

TEST_CASE("settings: an unknown COIR_ variable is an error") {
  const auto r = fault::run("spawns", {{"COIR_REACTRO", "epoll"}});
  INFO(r.text());
  CHECK(contains(r.out, "COIR_REACTRO"));
  CHECK(contains(r.out, "COIR_REACTOR"));
}

TEST_CASE("settings: the reactor asked for is the one used, auto and nothing take the best") {
  const auto epoll = fault::run("spawns", {{"COIR_REACTOR", "epoll"}});
  INFO(epoll.text());
  CHECK(contains(epoll.out, "reactor epoll\n"));
  const auto automatic = fault::run("spawns", {{"COIR_REACTOR", "auto"}});
  const auto unset = fault::run("spawns", {{"COIR_REACTOR", ""}});
  CHECK(automatic.exited(0));
  CHECK(automatic.out == unset.out);
}

COIR_SCENARIO(stack_size) {
  try {
    fault::say(std::to_string(coir::default_stack_size()));
  } catch (const std::invalid_argument& e) {
    fault::say(std::string("invalid argument: ") + e.what());
    return 0;
  }
  coir::spawn([] {
    volatile char room[600 * 1024];
    for (std::size_t i = sizeof room; i > 1000; i -= 1000) room[i - 1] = 1;
    coir::this_fiber::yield();
    fault::say(room[sizeof room - 1] == 1 ? "room" : "no room");
  }).join();
  coir::set_default_stack_size(64 * 1024);
  fault::say(std::to_string(coir::default_stack_size()));
  return 0;
}

TEST_CASE("settings: COIR_STACK_SIZE is the size of stacks whose fibers ask for none") {
  struct kind {
    const char* value;
    const char* bytes;
  };
  const kind k = GENERATE(kind{"1M", "1048576"}, kind{"1000K", "1024000"}, kind{"1000000", "1003520"});
  const auto r = fault::run("stack_size", {{"COIR_STACK_SIZE", k.value}});
  INFO(r.text());
  CHECK(r.out == std::string(k.bytes) + "\nroom\n65536\n");
}

TEST_CASE("settings: a wrong COIR_STACK_SIZE is an error that names value and expectation") {
  const std::string value =
      GENERATE(as<std::string>(), "1Q", "K", "-1", "15K", "65G", "1.5M", "1M ", "99999999999999999999");
  const auto r = fault::run("stack_size", {{"COIR_STACK_SIZE", value}});
  INFO(r.text());
  CHECK(contains(r.out, "invalid argument: "));
  CHECK(contains(r.out, "COIR_STACK_SIZE='" + value + "'"));
  CHECK(contains(r.out, "16K to 64G"));
}
