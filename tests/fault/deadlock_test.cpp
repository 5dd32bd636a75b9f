// When nothing can ever run again, in all the places main may be.
#include <sys/wait.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "catch.hpp"
#include "sched/scheduler.hpp"
#include "support/child.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"

using unit::contains;
namespace this_fiber = coir::this_fiber;

namespace {

template <class F>
int expect_deadlock(F&& f) {
  try {
    f();
    fault::say("returned");
  } catch (const coir::deadlock& e) {
    fault::say("caught: " + std::string(e.what()));
  }
  return 0;
}

}  // namespace

COIR_SCENARIO(deadlock_in_get) {
  static coir::event e;
  return expect_deadlock([] { coir::spawn(coir::attributes{.name = "stuck"}, [] { e.wait(); }).get(); });
}
COIR_SCENARIO(deadlock_in_run) {
  static coir::event e;
  return expect_deadlock(
      [] { coir::run([] { coir::spawn(coir::attributes{.name = "stuck"}, [] { e.wait(); }).get(); }); });
}
COIR_SCENARIO(deadlock_in_group) {
  static coir::event e;
  return expect_deadlock([] {
    coir::group g;
    g.spawn(coir::attributes{.name = "stuck"}, [] { e.wait(); });
    g.join();
  });
}
// In the child the fiber that forked is what main is elsewhere.
COIR_SCENARIO(deadlock_in_child_of_fiber) {
  static coir::event e;
  const pid_t child = coir::spawn([] {
                        const pid_t pid = ::fork();
                        if (pid == 0)
                          ::_exit(expect_deadlock([] {
                            coir::spawn(coir::attributes{.name = "stuck"}, [] { e.wait(); }).get();
                          }));
                        return pid;
                      }).get();
  int status = -1;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
// A member that will not hear of cancellation: main's destructor can neither return nor throw.
COIR_SCENARIO(deadlock_in_group_destructor) {
  static coir::event e;
  coir::group g;
  g.spawn(coir::attributes{.name = "stuck"}, [] {
    const this_fiber::shield deaf;
    e.wait();
  });
  this_fiber::yield();
  return 0;
}
COIR_SCENARIO(deadlock_with_idle_reactor) {
  static coir::event e;
  coir::sched::scheduler::ensure().io();
  return expect_deadlock([] { coir::spawn(coir::attributes{.name = "stuck"}, [] { e.wait(); }).get(); });
}
COIR_SCENARIO(deadlock_while_unwinding) {
  static coir::event e;
  struct waits {
    ~waits() { e.wait(); }
  };
  return expect_deadlock([] {
    try {
      const waits w;
      throw std::runtime_error("unwinding");
    } catch (const std::runtime_error&) {
    }
  });
}
COIR_SCENARIO(timeout_of_another_fiber) {
  coir::spawn(coir::attributes{.name = "careless"}, [limit = std::make_unique<coir::timeout>(
                                                         std::chrono::seconds(1))] {
  }).join();
  return 0;
}

COIR_SCENARIO(shield_of_another_fiber) {
  coir::spawn(coir::attributes{.name = "careless"}, [quiet = std::make_unique<this_fiber::shield>()] {
  }).join();
  return 0;
}

// What a group's destructor can neither wait for nor leave.
COIR_SCENARIO(group_destroyed_by_its_own) {
  auto* g = new coir::group;
  g->spawn(coir::attributes{.name = "careless"}, [g] { delete g; }).join();
  return 0;
}
// A job that calls exit, which destroys the pool, wherever that is.
std::unique_ptr<coir::thread_pool> owned_pool;
COIR_SCENARIO(exit_in_a_job) {
  static coir::thread_pool other(1);
  other.submit([] {}).get();
  owned_pool = std::make_unique<coir::thread_pool>(2);
  owned_pool->submit([] { std::exit(7); }).get();
  return 1;
}
// The same by fibers of static groups, and by a thread beside them.
COIR_SCENARIO(exit_in_a_member) {
  static coir::group g;
  static coir::pool p(2);
  p.spawn([] { this_fiber::sleep_for(std::chrono::hours(1)); });
  g.spawn([] { std::exit(7); });
  g.join();
  return 1;
}
COIR_SCENARIO(exit_beside_a_group) {
  static coir::group g;
  g.spawn([] { this_fiber::sleep_for(std::chrono::hours(1)); });
  std::thread([] { std::exit(7); }).detach();
  g.join();
  return 1;
}
COIR_SCENARIO(pool_destroyed_by_its_own) {
  owned_pool = std::make_unique<coir::thread_pool>(1);
  owned_pool->submit([] { owned_pool.reset(); }).get();
  return 1;
}
COIR_SCENARIO(group_destroyed_elsewhere) {
  auto* g = new coir::group;
  g->spawn(coir::attributes{.name = "member"}, [] { this_fiber::sleep_for(std::chrono::seconds(1)); });
  std::thread([g] { delete g; }).join();
  return 0;
}

// Nothing but a signal can wake main: that is no deadlock.
COIR_SCENARIO(no_deadlock_with_signals) {
  coir::event told;
  const auto handle = coir::on_signal(SIGALRM, [&](int) { told.set(); });
  ::alarm(1);
  told.wait();
  fault::say("told");
  return 0;
}
COIR_SCENARIO(deadlock_after_signals) {
  static coir::event e;
  {
    const auto handle = coir::on_signal(SIGALRM, [](int) {});
  }
  return expect_deadlock([] { coir::spawn(coir::attributes{.name = "stuck"}, [] { e.wait(); }).get(); });
}

#ifndef COIR_TSAN  // there no process counts as single-threaded

TEST_CASE("deadlock: main gets coir::deadlock, whatever it waits in, after a dump") {
  const std::string scenario =
      GENERATE(as<std::string>(), "deadlock_in_get", "deadlock_in_run", "deadlock_in_group",
               "deadlock_in_child_of_fiber", "deadlock_with_idle_reactor", "deadlock_after_signals");
  const auto r = fault::run(scenario, {}, std::chrono::seconds(10));
  INFO(scenario << ": " << r.text());
  CHECK(r.exited(0));
  CHECK(contains(r.out, "caught: coir: deadlock"));
  CHECK(contains(r.err, "\"stuck\" parked in event"));
}

TEST_CASE("deadlock: where main can neither throw nor return, the process ends with a dump") {
  const std::string scenario =
      GENERATE(as<std::string>(), "deadlock_in_group_destructor", "deadlock_while_unwinding");
  const auto r = fault::run(scenario, {}, std::chrono::seconds(10));
  INFO(scenario << ": " << r.text());
  CHECK(r.killed_by(SIGABRT));
  CHECK(contains(r.err, "deadlock"));
}

#endif

TEST_CASE("deadlock: a main fiber that waits for a signal is in none") {
  const auto r = fault::run("no_deadlock_with_signals", {}, std::chrono::seconds(20));
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(r.out == "told\n");
}

TEST_CASE("exit: called by what a static pool or group waits for it ends the process") {
  for (const char* scenario : {"exit_in_a_job", "exit_in_a_member", "exit_beside_a_group"}) {
    const auto r = fault::run(scenario, {}, std::chrono::seconds(20));
    INFO(r.text());
    CHECK(r.exited(7));
    CHECK(r.err == "");
  }
}

TEST_CASE("misuse that cannot be thrown: aborts, says what is wrong and names the running fiber") {
  const auto ends = [](const char* scenario, const char* words, const char* who) {
    const auto r = fault::run(scenario, {}, std::chrono::seconds(20));
    INFO(r.text());
    CHECK(r.killed_by(SIGABRT));
    CHECK(contains(r.err, words));
    CHECK(contains(r.err, who));
  };
  ends("timeout_of_another_fiber", "coir: a coir::timeout is destroyed by another fiber than made it",
       "\"careless\"");
  ends("shield_of_another_fiber",
       "coir: a coir::this_fiber::shield is destroyed by another fiber than made it", "\"careless\"");
  ends("group_destroyed_by_its_own", "is destroyed by one of its own fibers", "\"careless\"");
  ends("pool_destroyed_by_its_own", "a thread_pool is destroyed by one of its own jobs", "");
  ends("group_destroyed_elsewhere", "is destroyed on another thread than its fibers run on", "");
}
