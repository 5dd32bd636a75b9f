// The processes of fork_test.cpp that have threads without fibers, pools, posts and signals.
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <thread>
#include <vector>

#include "posix/close.hpp"
#include "posix/files.hpp"
#include "sched/scheduler.hpp"
#include "support/child.hpp"

using namespace std::chrono_literals;
namespace this_fiber = coir::this_fiber;

namespace {

bool broken(const coir::future<int>& f) {
  try {
    f.get();
  } catch (const std::future_error& e) {
    return e.code() == std::future_errc::broken_promise;
  }
  return false;
}

}  // namespace

COIR_SCENARIO(fork_thread_pool) {
  coir::event begun, go;
  coir::thread_pool pool(1);
  const auto running = pool.submit([&] {
    begun.set();
    go.wait();
    return 1;
  });
  begun.wait();
  const auto queued = pool.submit([] { return 2; });
  EXPECT(fault::fork_to([&] {
           if (pool.threads() != 0) return 1;
           bool told = false;
           running.on_done([&](const auto&) { told = true; });
           if (!told || !queued.wait_for(1h) || !broken(running) || !broken(queued)) return 2;
           if (pool.apply([] { return 3; }) != 3) return 3;
           const auto left = pool.submit([] { return 4; });
           pool.shutdown();
           return left.get() == 4 ? 0 : 4;
         }) == 0);
  go.set();
  EXPECT(running.get() == 1);
  EXPECT(queued.get() == 2);
  return 0;
}

// The thread that forks is the pool's own: it is the child's only one.
COIR_SCENARIO(fork_in_a_job) {
  coir::thread_pool pool(2);
  EXPECT(pool.apply([&] {
    return fault::fork_to([&] {
      const auto f = pool.submit([] { return 5; });  // waited for by a thread of the pool
      return f.get() == 5 && pool.threads() <= 2 ? 0 : 1;
    });
  }) == 0);
  EXPECT(pool.apply([] { return 6; }) == 6);
  return 0;
}

COIR_SCENARIO(fork_while_pools_work) {
  std::atomic<bool> stop{false};
  coir::thread_pool pool(2);
  std::thread feeder([&] {
    while (!stop) {
      coir::thread_pool other(1);
      for (int i = 0; i < 20; ++i) pool.submit([&] { other.submit([] {}); }).get();
    }
  });
  int failed = 0;
  for (int i = 0; i < 50; ++i)
    failed += fault::fork_to([&] { return pool.apply([] { return 7; }) == 7 ? 0 : 1; }) != 0;
  stop = true;
  feeder.join();
  EXPECT(failed == 0);
  return 0;
}

COIR_SCENARIO(fork_offload) {
  auto f = coir::spawn([] {
    if (coir::offload([] { return 1; }) != 1) return 1;
    return fault::fork_to([] { return coir::offload([] { return 2; }) == 2 ? 0 : 1; });
  });
  EXPECT(f.get() == 0);
  return 0;
}

COIR_SCENARIO(fork_post) {
  coir::event ready, end;
  coir::thread_handle other;
  std::thread host([&] {
    other = coir::this_thread_handle();
    ready.set();
    end.wait();
  });
  ready.wait();
  const auto here = coir::this_thread_handle();
  const auto before = coir::post(here, [] { return 5; });
  const int status = fault::fork_to([&] {
    if (!broken(before)) return 4;
    if (coir::post(here, [] { return 3; }).get() != 3) return 1;
    try {
      coir::post(other, [] {}).get();
    } catch (const std::system_error& e) {
      return e.code() == std::errc::no_such_process ? 0 : 2;
    }
    return 3;
  });
  EXPECT(coir::post(other, [] { return 4; }).get() == 4);
  end.set();
  host.join();
  EXPECT(status == 0);
  return 0;
}

COIR_SCENARIO(fork_on_signal) {
  coir::semaphore told(0);
  const auto handle = coir::on_signal(SIGUSR1, [&](int) { told.release(); });
  EXPECT(fault::fork_to([&] {
           ::kill(::getpid(), SIGUSR1);
           return told.try_acquire_for(8s) ? 0 : 1;
         }) == 0);
  EXPECT(told.available() == 0);
  ::kill(::getpid(), SIGUSR1);
  told.acquire();
  return 0;
}

COIR_SCENARIO(fork_values) {
  coir::inherited<int> value(0);
  coir::local<int> own;
  value.set(1);
  *own = 2;
  auto f = coir::spawn([&] {
    *own = 3;
    return fault::fork_to([&] {
      const int child = coir::spawn([&] { return *value * 10 + *own; }).get();
      return child == 10 && *value == 1 && *own == 3 ? 0 : 1;
    });
  });
  EXPECT(f.get() == 0);
  return 0;
}

COIR_SCENARIO(fork_from_a_thread_without_fibers) {
  int ends[2];
  EXPECT(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  std::atomic<bool> forked{false};
  std::thread forker([&] {
    ::usleep(20'000);
    const pid_t pid = ::fork();
    if (pid == 0) {
      for (int fd = 3; fd < 64; ++fd) coir::posix::close(fd);
      ::_exit(0);
    }
    int status = -1;
    ::waitpid(pid, &status, 0);
    forked = status == 0;
    char c = 'x';
    if (::write(ends[1], &c, 1) != 1) forked = false;
  });
  auto reader = coir::spawn([&] {
    char c = 0;
    coir::timeout limit(5s);
    return coir::posix::read(ends[0], &c, 1) == 1 && c == 'x';
  });
  const bool got = reader.get();
  forker.join();
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT(got);
  EXPECT(forked);
  return 0;
}

COIR_SCENARIO(fork_from_a_thread) {
  int status = -1;
  std::thread([&] {
    coir::sched::scheduler::ensure().io();
    auto f = coir::spawn([] {
      return fault::fork_to([] {
        coir::spawn([] { this_fiber::sleep_for(1ms); }).join();
        return 0;
      });
    });
    status = f.get();
  }).join();
  EXPECT(status == 0);
  return 0;
}

// exit() on a fiber of another thread than the first: its statics are destroyed, and the process ends.
COIR_SCENARIO(exit_on_a_fiber_of_another_thread) {
  std::thread([] {
    coir::event never;
    auto other = coir::spawn([&] { never.wait(); });
    coir::spawn([] { std::exit(7); }).join();
  }).join();
  return 1;
}
