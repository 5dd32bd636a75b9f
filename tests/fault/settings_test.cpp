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
