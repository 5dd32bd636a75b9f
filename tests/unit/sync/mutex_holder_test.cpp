// Who holds a mutex, told by a position on a stack while the process has one thread, by a record beside
// others.
#include <coir/coir.hpp>

#include <sys/single_threaded.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// Calls `what` with `bytes` more of the stack in use.
template <class F>
[[gnu::noinline]] void deeper(std::size_t bytes, F what) {
  auto* room = static_cast<volatile char*>(__builtin_alloca(bytes));
  for (std::size_t i = 0; i < bytes; i += 4096) room[i] = 1;
  what();
  room[0] = 0;
}

bool refused(coir::mutex& m) {
  return throws<std::system_error>([&] { m.unlock(); });
}

// Runs `what` in a child, which has one thread at first, and returns what it returns. 255: it threw.
template <class F>
int in_child(F what) {
  const pid_t child = ::fork();
  if (child == 0) {
    int result = 255;
    try {
      result = what();
    } catch (...) {
    }
    ::_exit(result);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) != child) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// Locked and unlocked at distances below and above what lies between two stacks.
void in_other_frames(coir::mutex& m) {
  for (const std::size_t bytes : {200, 50'000, 70'000, 180'000}) {
    deeper(bytes, [&] { m.lock(); });
    CHECK_FALSE(m.try_lock());
    m.unlock();
    CHECK(m.try_lock());
    deeper(bytes, [&] { m.unlock(); });
    CHECK(m.try_lock());
    m.unlock();
  }
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "mutex: locked in one function, unlocked in another, by whichever fiber") {
  coir::mutex m;
  SECTION("main") {
    in_other_frames(m);
    deeper(1'000'000, [&] { m.lock(); });
    m.unlock();
  }
  SECTION("a fiber") {
    coir::spawn([&] { in_other_frames(m); }).get();
  }
  SECTION("a fiber with a larger stack") {
    coir::spawn(coir::attributes{.stack_size = 2'000'000}, [&] {
      in_other_frames(m);
      deeper(1'500'000, [&] { m.lock(); });
      m.unlock();
    }).get();
  }
}

TEST_CASE_METHOD(virtual_time, "mutex: held by one, it is refused to all others, however near their stacks") {
  coir::mutex m;
  std::vector<coir::fiber<void>> others;
  bool done = false;
  int refusals = 0;
  for (int i = 0; i < 20; ++i)
    others.push_back(coir::spawn([&] {
      while (!done) {
        refusals += refused(m) ? 1 : 0;
        deeper(150'000, [&] { refusals += refused(m) ? 1 : 0; });
        this_fiber::yield();
      }
    }));
  m.lock();
  this_fiber::yield();
  CHECK(refusals == 40);
  m.unlock();
  auto holder = coir::spawn(coir::attributes{.name = "holder"}, [&] {
    deeper(100'000, [&] { m.lock(); });
    this_fiber::yield();
    m.unlock();
  });
  this_fiber::yield();
  const std::string text = thrown_text<std::system_error>([&] { m.unlock(); });
  CHECK(contains(text, "\"holder\" does"));
  done = true;
  coir::wait_all(others);
  holder.get();
  CHECK(refusals == 20 * 2 * 2);
  CHECK(m.try_lock());
  const std::string mains =
      coir::spawn([&] { return thrown_text<std::system_error>([&] { m.unlock(); }); }).get();
  CHECK(contains(mains, "\"main\" does"));
  m.unlock();
}

// TSan knows nothing of stacks that swapcontext changes, and ends who starts a thread in the child of a fork;
// under it, as beside other threads, a holder is a record.
#ifndef COIR_TSAN

TEST_CASE_METHOD(virtual_time,
                 "mutex: a coroutine of the program's may lock it, and another of it unlock it") {
  static coir::mutex m;
  static ucontext_t home, routine;
  static std::vector<char> stack(64 * 1024);
  const auto on_routine = [](void (*what)()) {
    REQUIRE(::getcontext(&routine) == 0);
    routine.uc_stack = {.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
    routine.uc_link = &home;
    ::makecontext(&routine, what, 0);
    REQUIRE(::swapcontext(&home, &routine) == 0);
  };
  const auto both_ways = [&] {
    on_routine([] { m.lock(); });
    CHECK_FALSE(m.try_lock());
    m.unlock();
    m.lock();
    on_routine([] { m.unlock(); });
    CHECK(m.try_lock());
    m.unlock();
  };
  both_ways();
  coir::spawn(both_ways).get();
  std::vector<char>().swap(stack);
}

TEST_CASE_METHOD(virtual_time, "mutex: who holds it when a second thread begins holds it still") {
  for (const bool wanted : {false, true}) {
    const int result = in_child([&] {
      if (__libc_single_threaded == 0) return 1;
      coir::mutex m;
      m.lock();
      coir::fiber<void> waiter;
      if (wanted) waiter = coir::spawn([&] { const std::scoped_lock l(m); });
      this_fiber::yield();
      bool refused_there = false;
      std::thread([&] { refused_there = refused(m); }).join();
      if (__libc_single_threaded != 0) return 2;
      if (!refused_there) return 3;
      if (!coir::spawn([&] { return refused(m); }).get()) return 4;
      if (m.try_lock()) return 5;
      deeper(100'000, [&] { m.unlock(); });
      if (wanted) waiter.get();
      return m.try_lock() ? 0 : 6;
    });
    CHECK(result == 0);
  }
}

TEST_CASE_METHOD(virtual_time, "mutex: a fiber that waits for a condition while a second thread begins") {
  const int result = in_child([] {
    coir::mutex m;
    coir::condition_variable changed;
    bool go = false;
    auto f = coir::spawn([&] {
      std::unique_lock lock(m);
      changed.wait(lock, [&] { return go; });
      return lock.owns_lock() && !m.try_lock();
    });
    this_fiber::yield();
    std::thread([&] {
      const std::scoped_lock l(m);
      go = true;
      changed.notify_one();
    }).join();
    if (!f.get()) return 1;
    return m.try_lock() ? 0 : 2;
  });
  CHECK(result == 0);
}

#endif
