// Where the kernel refuses io_uring, coir uses epoll and says nothing.
#include <sys/syscall.h>
#include <coir/coir.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#include "catch.hpp"
#include "sched/scheduler.hpp"
#include "support/child.hpp"
#include "support/process.hpp"
#include "support/seccomp.hpp"

using unit::contains;

namespace {

int spawns_without(int call, int error) {
  if (!fault::forbid_system_call(call, error)) return 77;
  try {
    coir::spawn([] {
      coir::sched::scheduler::ensure().io();
      coir::this_fiber::sleep_for(std::chrono::milliseconds(1));
      fault::say(std::string("slept on ") + coir::inspect::reactor_name());
    }).get();
  } catch (const std::system_error& e) {
    fault::say(std::string("system_error: ") + e.what());
  }
  return 0;
}

}  // namespace

COIR_SCENARIO(no_uring_setup) {
  return spawns_without(SYS_io_uring_setup, EPERM);
}
COIR_SCENARIO(no_uring_in_kernel) {
  return spawns_without(SYS_io_uring_setup, ENOSYS);
}
// A filter that lets the ring be made but not used.
COIR_SCENARIO(no_uring_enter) {
  return spawns_without(SYS_io_uring_enter, EPERM);
}
COIR_SCENARIO(no_pwait2) {
  return spawns_without(SYS_epoll_pwait2, ENOSYS);
}
COIR_SCENARIO(no_madvise_guard) {
  return spawns_without(SYS_madvise, EINVAL);
}

TEST_CASE("seccomp: io_uring forbidden or missing falls back to epoll silently") {
  const std::string scenario = GENERATE(as<std::string>(), "no_uring_setup", "no_uring_in_kernel");
  const std::string choice = GENERATE(as<std::string>(), "", "auto");
  const auto r = fault::run(scenario, {{"COIR_REACTOR", choice}});
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(r.out == "slept on epoll\n");
  CHECK(r.err == "");
}

TEST_CASE("seccomp: io_uring asked for by name but forbidden is an error that says what to do") {
  const auto r = fault::run("no_uring_setup", {{"COIR_REACTOR", "uring"}});
  INFO(r.text());
  CHECK(contains(r.out, "system_error: "));
  CHECK(contains(r.out, "COIR_REACTOR=uring"));
  CHECK(contains(r.out, "epoll"));
}

TEST_CASE("seccomp: a ring that may be made but not entered falls back to epoll too") {
  const auto r = fault::run("no_uring_enter", {{"COIR_REACTOR", ""}}, std::chrono::seconds(10));
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(r.out == "slept on epoll\n");
}

TEST_CASE("seccomp: kernels without epoll_pwait2 wait as exactly") {
  const auto r = fault::run("no_pwait2", {{"COIR_REACTOR", "epoll"}});
  INFO(r.text());
  CHECK(r.out == "slept on epoll\n");
}

TEST_CASE("seccomp: kernels without MADV_GUARD_INSTALL and MADV_NOHUGEPAGE still run fibers") {
  const auto r = fault::run("no_madvise_guard", {{"COIR_REACTOR", "epoll"}});
  INFO(r.text());
  CHECK(r.out == "slept on epoll\n");
}
