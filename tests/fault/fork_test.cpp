// fork (D12): in the child only the forking fiber goes on; the parent notices nothing. The scenarios are in
// fork_scenarios.cpp.
#include <string>

#include "catch.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

using namespace std::chrono_literals;

namespace {

// ThreadSanitizer takes every process with a fiber for one with threads, and would not let its child start
// any.
fault::ended run(const std::string& scenario, std::chrono::seconds limit = 60s) {
  return fault::run(scenario, {{"TSAN_OPTIONS", "die_after_fork=0"}}, limit);
}

}  // namespace

TEST_CASE("fork: only the calling fiber goes on in the child") {
  const std::string scenario = GENERATE(as<std::string>(), "fork_only_caller_goes_on", "fork_from_main",
                                        "fork_from_a_thread", "fork_twice");
  const auto r = run(scenario);
  INFO(scenario << ": " << r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: the parent's registrations stay intact") {
  const auto r = run("fork_parent_registrations");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: the child spawns, waits and starts threads") {
  const auto r = run("fork_child_works");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: timeouts and cancellation around the fork hold in the child") {
  const std::string scenario =
      GENERATE(as<std::string>(), "fork_timeouts", "fork_timeout_expired_before", "fork_cancel_pending");
  const auto r = run(scenario);
  INFO(scenario << ": " << r.text());
  CHECK(r.exited(0));
}

#ifndef COIR_TSAN  // it gives up on threads in the child of a process with threads

TEST_CASE("fork: pools of threads begin anew in the child, whose waits for the parent's jobs end") {
  const std::string scenario =
      GENERATE(as<std::string>(), "fork_thread_pool", "fork_in_a_job", "fork_offload");
  const auto r = run(scenario);
  INFO(scenario << ": " << r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: the child can be posted to, the parent's other threads cannot") {
  const auto r = run("fork_post");
  INFO(r.text());
  CHECK(r.exited(0));
}

#ifndef COIR_ASAN  // its allocator of gcc 12 is not fork-safe: another thread may hold its locks for ever

TEST_CASE("fork: works in a process whose other threads have fibers") {
  const auto r = run("fork_with_threads");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: the child can spawn although other threads were making stacks") {
  const auto r = run("fork_while_threads_begin_and_end");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: the child's pool works although others were working") {
  const auto r = run("fork_while_pools_work");
  INFO(r.text());
  CHECK(r.exited(0));
}

#endif

TEST_CASE("fork: a child of a thread without fibers closes descriptors another thread's fiber waits on") {
  const auto r = run("fork_from_a_thread_without_fibers");
  INFO(r.text());
  CHECK(r.exited(0));
}

#endif

TEST_CASE("fork: locals and inherited values of the forking fiber live on") {
  const auto r = run("fork_values");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: the forking thread's signal functions are called in the child") {
  const auto r = run("fork_on_signal");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: fibers that waited in the parent take nothing in the child") {
  const auto r = run("fork_ghosts_take_nothing");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("fork: a fiber that was to have its mutex back in the parent does not run in the child") {
  const auto r = run("fork_ghost_wants_its_mutex_back");
  INFO(r.text());
  CHECK(r.exited(0));
}

TEST_CASE("exit: may be called on a fiber of any thread") {
  const auto r = run("exit_on_a_fiber_of_another_thread", 10s);
  INFO(r.text());
  CHECK(r.exited(7));
}

TEST_CASE("fork: main does not go on in the child when the forking fiber ends there") {
  const auto r = run("fork_fiber_returns_in_child", 10s);
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(r.out == "main went on\n");
}
