// Running into a stack's guard, told apart from any other fault.
#include <signal.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "context/stack.hpp"
#include "support/child.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "sys/kernel.hpp"

using unit::contains;

namespace {

// Uses 200 bytes of stack and more per level.
[[gnu::noinline]] int dig(int depth) {
  volatile char room[200];
  room[depth % 200] = static_cast<char>(depth);
  if (depth < 0) return 0;
  return dig(depth + 1) + room[depth % 200];
}

void overflow_fiber(std::size_t stack_size) {
  coir::fiber<int> f;
  f = coir::spawn(coir::attributes{.name = "digger", .stack_size = stack_size}, [] { return dig(1); });
  fault::say("id " + std::to_string(f.id()) + ".");
  coir::spawn([] {}).join();  // others run as well
  f.get();
}

}  // namespace

COIR_SCENARIO(overflow_default) {
  overflow_fiber(256 * 1024);
  return 0;
}
COIR_SCENARIO(overflow_small) {
  overflow_fiber(16 * 1024);
  return 0;
}
COIR_SCENARIO(overflow_heavy_guard) {
  coir::sys::forbid_light_guards(true);
  overflow_fiber(256 * 1024);
  return 0;
}
COIR_SCENARIO(overflow_in_thread) {
  std::thread([] { overflow_fiber(64 * 1024); }).join();
  return 0;
}
COIR_SCENARIO(overflow_with_abort_handler) {
  // A program whose SIGABRT handler itself needs the stack: the process must still end by SIGABRT.
  ::signal(SIGABRT, [](int) { ::_exit(42); });
  overflow_fiber(256 * 1024);
  return 0;
}

TEST_CASE("overflow: names fiber, number, stack size and spawn site, then aborts") {
  struct kind {
    const char* scenario;
    const char* size;
  };
  const kind k = GENERATE(kind{"overflow_default", "262144"}, kind{"overflow_small", "16384"},
                          kind{"overflow_heavy_guard", "262144"}, kind{"overflow_in_thread", "65536"},
                          kind{"overflow_with_abort_handler", "262144"});
  const auto r = fault::run(k.scenario);
  INFO(k.scenario << ": " << r.text());
  CHECK(r.killed_by(SIGABRT));
  CHECK(contains(r.err, "coir: stack overflow in fiber #"));
  const std::string id = r.out.substr(3, r.out.find('.') - 3);
  CHECK(contains(r.err, "#" + id + " \"digger\""));
  CHECK(contains(r.err, std::string(k.size) + " bytes"));
  CHECK(contains(r.err, "spawned at "));
  CHECK(contains(r.err, "fault_tests"));
}

namespace {

// A frame that steps over the guard without touching it, and is used at its far end.
[[gnu::noinline]] bool step_over(std::size_t bytes, const std::function<void()>& wait) {
  volatile char* room = static_cast<volatile char*>(__builtin_alloca(bytes));
  wait();
  return room[0] == 0;
}

// The first of three steps over its guard, into the stack of another.
int step_over_guard(std::size_t stack_size, std::size_t bytes, const std::function<void()>& wait) {
  std::vector<coir::fiber<void>> others;
  const coir::attributes how{.name = "stepper", .stack_size = stack_size};
  const auto stepper = coir::spawn(how, [&] {
    coir::this_fiber::yield();
    fault::say("steps");
    step_over(bytes, wait);
    fault::say("goes on");
  });
  for (int i = 0; i < 40; ++i) {
    others.push_back(coir::spawn(how, [] {
      volatile char room[10000] = {};
      for (int turn = 0; turn < 3; ++turn) coir::this_fiber::yield();
      for (const volatile char& c : room)
        if (c != 0) fault::say("overwritten");
    }));
  }
  stepper.join();
  return 0;
}

}  // namespace

COIR_SCENARIO(step_over_and_sleep) {
  return step_over_guard(0, 600 * 1024, [] { coir::this_fiber::sleep_for(std::chrono::milliseconds(1)); });
}
COIR_SCENARIO(step_over_and_wait) {
  coir::event never;
  return step_over_guard(32 * 1024, 200 * 1024, [&] { never.wait_for(std::chrono::milliseconds(1)); });
}
// Below the lowest stack of all.
COIR_SCENARIO(step_far) {
  return step_over_guard(0, 7 << 20, [] { coir::this_fiber::sleep_for(std::chrono::milliseconds(1)); });
}
COIR_SCENARIO(step_far_enough_room) {
  coir::set_default_stack_size(8 << 20);
  return step_over_guard(0, 7 << 20, [] { coir::this_fiber::sleep_for(std::chrono::milliseconds(1)); });
}

TEST_CASE("overflow: a frame that steps over the guard is named when it waits, and has written nothing") {
  const std::string scenario =
      GENERATE(as<std::string>(), "step_over_and_sleep", "step_over_and_wait", "step_far");
  const auto r = fault::run(scenario);
  INFO(scenario << ": " << r.text());
  CHECK(r.killed_by(SIGABRT));
  CHECK(r.out == "steps\n");
  CHECK(contains(r.err, "coir: stack overflow in fiber #"));
  CHECK(contains(r.err, "\"stepper\""));
  CHECK(contains(r.err, "at least "));
  CHECK(contains(r.err, "COIR_STACK_SIZE"));
}

TEST_CASE("overflow: the same frame has room where all stacks are larger") {
  const auto r = fault::run("step_far_enough_room");
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(r.out == "steps\ngoes on\n");
}

namespace {

int* volatile nowhere = reinterpret_cast<int*>(64);

// Ends the process from a signal handler.
[[noreturn]] void end_with(const char* text, int status) {
  ::_exit(::write(1, text, std::strlen(text)) > 0 ? status : 99);
}

void on_segv(int, siginfo_t* info, void*) {
  end_with(info->si_addr == nowhere ? "handler, right address\n" : "handler, another address\n", 7);
}
void plain_handler(int) {
  end_with("plain handler\n", 8);
}

void install(void (*handler)(int, siginfo_t*, void*)) {
  struct sigaction a = {};
  a.sa_sigaction = handler;
  a.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &a, nullptr);
}

[[gnu::noinline]] void fault_now() {
  volatile int* const target = nowhere;
  *target = 1;
}

}  // namespace

COIR_SCENARIO(fault_in_fiber) {
  coir::spawn([] { fault_now(); }).join();
  return 0;
}
COIR_SCENARIO(fault_in_main) {
  coir::spawn([] {}).join();
  fault_now();
  return 0;
}
COIR_SCENARIO(fault_with_handler) {
  install(on_segv);
  coir::spawn([] { fault_now(); }).join();
  return 0;
}
COIR_SCENARIO(fault_with_handler_installed_later) {
  coir::spawn([] {}).join();
  install(on_segv);
  coir::spawn([] { fault_now(); }).join();
  return 0;
}
COIR_SCENARIO(fault_with_plain_handler) {
  ::signal(SIGSEGV, plain_handler);
  coir::spawn([] { fault_now(); }).join();
  return 0;
}
COIR_SCENARIO(sent_signal) {
  coir::spawn([] { ::raise(SIGSEGV); }).join();
  return 0;
}
COIR_SCENARIO(sent_signal_with_handler) {
  ::signal(SIGSEGV, plain_handler);
  coir::spawn([] { ::raise(SIGSEGV); }).join();
  return 0;
}
COIR_SCENARIO(main_overflow) {
  coir::spawn([] {}).join();
  return dig(1);
}

TEST_CASE("overflow: another fault keeps its default action, and coir says nothing") {
  const std::string scenario =
      GENERATE(as<std::string>(), "fault_in_fiber", "fault_in_main", "sent_signal", "main_overflow");
  const auto r = fault::run(scenario);
  INFO(scenario << ": " << r.text());
#ifdef UNIT_SANITIZED
  CHECK(r.status != 0);  // the sanitizer has a handler, which reports it
#else
  CHECK(r.killed_by(SIGSEGV));
#endif
  CHECK_FALSE(contains(r.err, "coir: "));
}

TEST_CASE("overflow: another fault goes to the program's own handler") {
  struct kind {
    const char* scenario;
    const char* says;
    int status;
  };
  const kind k = GENERATE(kind{"fault_with_handler", "handler, right address\n", 7},
                          kind{"fault_with_handler_installed_later", "handler, right address\n", 7},
                          kind{"fault_with_plain_handler", "plain handler\n", 8},
                          kind{"sent_signal_with_handler", "plain handler\n", 8});
  const auto r = fault::run(k.scenario);
  INFO(k.scenario << ": " << r.text());
  CHECK(r.out == k.says);
  CHECK(r.exited(k.status));
  CHECK(r.err == "");
}
