// The processes of fork_test.cpp: each forks, and ends with 0 if parent and child find what they should.
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "posix/close.hpp"
#include "posix/files.hpp"
#include "reactor/reactor.hpp"
#include "sched/scheduler.hpp"
#include "support/child.hpp"
#include "wait/waiter.hpp"

using namespace std::chrono_literals;
namespace this_fiber = coir::this_fiber;

namespace {

struct readable : coir::reactor::operation {
  coir::wait::waiter waiter;
};

// Parks until `fd` is readable. The core has no such call; lib/posix, which does, is not under test here.
void wait_readable(int fd) {
  auto& s = coir::sched::scheduler::ensure();
  readable op;
  op.fd = fd;
  op.events = EPOLLIN;
  op.state = s.fds().get(fd);
  op.complete = [](coir::reactor::operation* self) noexcept {
    auto& w = static_cast<readable*>(self)->waiter;
    if (!w.claim(coir::wait::outcome::notified)) return false;
    w.wake();
    return true;
  };
  if (s.io().start(op) != 0) std::abort();
  coir::wait::park(op.waiter, "readable", coir::wait::mode::uninterruptible);
}

}  // namespace

COIR_SCENARIO(fork_only_caller_goes_on) {
  std::atomic<int> steps{0};
  bool stop = false;
  auto other = coir::spawn([&] {
    while (!stop) {
      ++steps;
      this_fiber::sleep_for(1ms);
    }
  });
  auto forker = coir::spawn([&] {
    return fault::fork_to([&] {
      const int before = steps;
      for (int i = 0; i < 10; ++i) this_fiber::sleep_for(3ms);
      return steps == before && coir::inspect::fiber_count() == 1 ? 0 : 1;
    });
  });
  EXPECT(forker.get() == 0);
  const int seen = steps;
  this_fiber::sleep_for(20ms);
  EXPECT(steps > seen);  // in the parent it runs on
  stop = true;
  other.join();
  return 0;
}

COIR_SCENARIO(fork_from_main) {
  auto other = coir::spawn([] { this_fiber::sleep_for(30ms); });
  this_fiber::yield();
  const int status = fault::fork_to([&] {
    if (coir::inspect::fiber_count() != 0) return 1;
    this_fiber::sleep_for(50ms);
    return other.ready() ? 2 : 0;
  });
  EXPECT(status == 0);
  other.join();
  return 0;
}

COIR_SCENARIO(fork_parent_registrations) {
  int ends[2];
  EXPECT(::pipe(ends) == 0);
  bool woken = false;
  auto reader = coir::spawn([&] {
    wait_readable(ends[0]);
    woken = true;
  });
  this_fiber::sleep_for(1ms);
  const int status = fault::fork_to([&] {
    // The child waits on the same descriptor, with a reactor of its own, and ends.
    int mine[2];
    if (::pipe(mine) != 0) return 1;
    auto f = coir::spawn([&] { wait_readable(mine[0]); });
    this_fiber::yield();
    if (::write(mine[1], "x", 1) != 1) return 2;
    f.join();
    return 0;
  });
  EXPECT(status == 0);
  EXPECT(!woken);
  EXPECT(::write(ends[1], "x", 1) == 1);
  EXPECT(reader.join_for(10s));
  EXPECT(woken);
  return 0;
}

COIR_SCENARIO(fork_child_works) {
  coir::sched::scheduler::ensure().io();
  auto forker = coir::spawn([] {
    return fault::fork_to([] {
      std::vector<coir::fiber<int>> fibers;
      for (int i = 0; i < 100; ++i)
        fibers.push_back(coir::spawn([i] {
          this_fiber::sleep_for(std::chrono::microseconds(i * 10));
          return i;
        }));
      int sum = 0;
      for (const int i : coir::gather(fibers)) sum += i;
      coir::channel<int> c;
      auto f = coir::spawn([&] { c.push(50); });
      sum += *c.pop();
      // Threads with fibers, too.
      std::thread([&] { sum += coir::spawn([] { return 1; }).get(); }).join();
      return sum == 5001 ? 0 : 1;
    });
  });
  EXPECT(forker.get() == 0);
  return 0;
}

COIR_SCENARIO(fork_timeouts) {
  auto forker = coir::spawn([] {
    const coir::timeout outer(10s);
    const coir::timeout limit(100ms);
    const auto start = std::chrono::steady_clock::now();
    const int status = fault::fork_to([&] {
      try {
        this_fiber::sleep_for(1h);
      } catch (const coir::timed_out& e) {
        const auto took = std::chrono::steady_clock::now() - start;
        return e.from(limit) && took >= 100ms && took < 8s ? 0 : 1;
      }
      return 2;
    });
    return status;
  });
  // The parent waits for its child longer than 100 ms perhaps; then the same timeout ends it there.
  int status = -1;
  try {
    status = forker.get();
  } catch (const coir::timed_out&) {
    status = 0;
    int child = 0;
    EXPECT(::waitpid(-1, &child, 0) > 0);
    EXPECT(WIFEXITED(child) && WEXITSTATUS(child) == 0);
  }
  EXPECT(status == 0);
  return 0;
}

COIR_SCENARIO(fork_timeout_expired_before) {
  auto forker = coir::spawn([] {
    const coir::timeout limit(1ms);
    try {
      this_fiber::sleep_for(1h);
    } catch (const coir::timed_out&) {
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
      try {
        this_fiber::yield();
      } catch (const coir::timed_out& e) {
        ::_exit(e.from(limit) ? 0 : 1);
      }
      ::_exit(2);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
  });
  EXPECT(forker.get() == 0);
  return 0;
}

COIR_SCENARIO(fork_with_threads) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      coir::sched::scheduler::ensure().io();
      while (!stop) coir::spawn([] { this_fiber::sleep_for(100us); }).join();
    });
  int failed = 0;
  for (int i = 0; i < 20; ++i) {
    auto forker = coir::spawn([] {
      return fault::fork_to([] {
        auto f = coir::spawn([] {
          this_fiber::sleep_for(1ms);
          return 5;
        });
        return f.get() == 5 ? 0 : 1;
      });
    });
    failed += forker.get() != 0;
  }
  stop = true;
  for (auto& t : threads) t.join();
  EXPECT(failed == 0);
  return 0;
}

// Other threads map and hand back stacks all the time; the child needs some as well.
COIR_SCENARIO(fork_while_threads_begin_and_end) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> makers;
  for (int t = 0; t < 2; ++t)
    makers.emplace_back([&] {
      while (!stop)
        std::thread([] {
          std::vector<coir::fiber<void>> fibers;
          for (int i = 0; i < 64; ++i) fibers.push_back(coir::spawn([] {}));
          coir::wait_all(fibers);
        }).join();
    });
  int failed = 0, hung = 0;
  for (int i = 0; i < 300 && hung == 0; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::alarm(5);
      std::vector<coir::fiber<void>> fibers;
      for (int j = 0; j < 100; ++j) fibers.push_back(coir::spawn([] {}));
      coir::wait_all(fibers);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) ++hung;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) ++failed;
  }
  stop = true;
  for (auto& t : makers) t.join();
  EXPECT(hung == 0);
  EXPECT(failed == 0);
  return 0;
}

// The child inherits the descriptors of the other thread's reactor, and shares what stands behind them.
COIR_SCENARIO(fork_twice) {
  auto f = coir::spawn([] {
    return fault::fork_to([] {
      auto g = coir::spawn([] {
        return fault::fork_to([] {
          this_fiber::sleep_for(1ms);
          return 3;
        });
      });
      return g.get() + 1;
    });
  });
  EXPECT(f.get() == 4);
  return 0;
}

COIR_SCENARIO(fork_cancel_pending) {
  coir::fiber<int> f;
  f = coir::spawn([&] {
    f.cancel();
    const pid_t pid = ::fork();
    if (pid == 0) {
      int status = 1;
      try {
        this_fiber::yield();
      } catch (const coir::cancelled&) {
        status = 0;
      }
      ::_exit(status);
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
  });
  EXPECT(f.get() == 0);
  return 0;
}

// Others wait on what the forking fiber uses in the child: they are not there any more, so they take nothing.
COIR_SCENARIO(fork_ghosts_take_nothing) {
  coir::event event;
  coir::semaphore permits(0);
  coir::channel<int> channel;
  coir::queue<int> queue;
  coir::mutex mutex, condition_mutex;
  coir::condition_variable condition;
  int woken = 0;
  std::vector<coir::fiber<void>> ghosts;
  const auto ghost = [&](auto wait) {
    ghosts.push_back(coir::spawn([&woken, wait] {
      wait();
      ++woken;
    }));
  };
  mutex.lock();
  ghost([&] { event.wait(); });
  ghost([&] { permits.acquire(); });
  ghost([&] { channel.pop(); });
  ghost([&] { queue.pop(); });
  ghost([&] {
    mutex.lock();
    mutex.unlock();
  });
  ghost([&] {
    std::unique_lock lock(condition_mutex);
    condition.wait(lock);
  });
  ghost([&] {
    const this_fiber::shield deaf;
    permits.acquire();
  });
  this_fiber::yield();
  const int status = fault::fork_to([&] {
    event.set();
    permits.release(2);
    if (permits.available() != 2) return 1;
    if (channel.try_push(1)) return 2;
    queue.push(7);
    if (queue.try_pop() != 7) return 3;
    mutex.unlock();
    if (!mutex.try_lock()) return 4;
    condition.notify_all();
    for (int i = 0; i < 10; ++i) this_fiber::sleep_for(100us);
    if (coir::inspect::fiber_count() != 0) return 5;
    return woken == 0 ? 0 : 6;
  });
  fault::say("status " + std::to_string(status));
  event.set();
  permits.release(2);
  channel.push(1);
  queue.push(1);
  mutex.unlock();
  condition.notify_all();
  coir::wait_all(ghosts);
  EXPECT(woken == 7);
  EXPECT(status == 0);
  return 0;
}

// One that is to have its mutex back, which no interrupt keeps from it.
COIR_SCENARIO(fork_ghost_wants_its_mutex_back) {
  coir::mutex mutex;
  coir::condition_variable condition;
  int woken = 0;
  auto ghost = coir::spawn([&] {
    std::unique_lock lock(mutex);
    condition.wait(lock);
    ++woken;
  });
  this_fiber::yield();
  mutex.lock();
  condition.notify_one();
  this_fiber::yield();  // now it waits for the mutex
  const int status = fault::fork_to([&] {
    mutex.unlock();
    if (!mutex.try_lock()) return 1;
    mutex.unlock();
    this_fiber::sleep_for(1ms);
    if (coir::inspect::fiber_count() != 0) return 2;
    return woken == 0 ? 0 : 3;
  });
  mutex.unlock();
  ghost.join();
  EXPECT(woken == 1);
  EXPECT(status == 0);
  return 0;
}

// The forking fiber returns in the child: nothing is left there to run.
COIR_SCENARIO(fork_fiber_returns_in_child) {
  auto f = coir::spawn([] { return static_cast<int>(::fork()); });
  const int pid = f.get();
  if (pid == 0) fault::say("main went on in the child");
  fault::say("main went on");
  int status = -1;
  ::waitpid(pid, &status, 0);
  EXPECT(WIFEXITED(status) || WIFSIGNALED(status));
  return 0;
}
