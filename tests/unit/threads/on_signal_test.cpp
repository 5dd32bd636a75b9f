// Signals as calls of functions in fibers.
#include <coir/coir.hpp>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// In the threads of a test; SIGUSR1 for the process reaches those that do not block it.
void send_signal(int signal = SIGUSR1) {
  ::kill(::getpid(), signal);
}

void* handler_of(int signal) {
  struct sigaction now;
  ::sigaction(signal, nullptr, &now);
  return reinterpret_cast<void*>(now.sa_handler);
}

}  // namespace

TEST_CASE("on_signal: calls the function in a fiber, whether the thread sleeps or runs") {
  on_thread([] {
    if (GENERATE(false, true)) open_reactor();
    coir::semaphore called(0);
    int seen = 0;
    std::string where;
    const auto handle = coir::on_signal(SIGUSR1, [&](int number) {
      this_fiber::yield();  // ordinary code
      seen = number;
      where = this_fiber::name();
      called.release();
    });
    for (int i = 0; i < 20; ++i) {
      if (i % 2 == 0) {
        send_signal();
      } else {
        std::thread(send_signal, SIGUSR1).join();
      }
      CHECK(called.try_acquire_for(patience));
    }
    joined_threads later;
    later.start([] {
      std::this_thread::sleep_for(5ms);
      send_signal();
    });
    called.acquire();  // asleep
    CHECK(seen == SIGUSR1);
    CHECK(where == "on_signal");
  });
}

TEST_CASE("on_signal: the handle's end brings back what was there") {
  void* const before = handler_of(SIGUSR2);
  on_thread([&] {
    auto first = std::make_optional(coir::on_signal(SIGUSR2, [](int) {}));
    CHECK(handler_of(SIGUSR2) != before);
    auto second = coir::on_signal(SIGUSR2, [](int) {});
    first.reset();
    CHECK(handler_of(SIGUSR2) != before);
    second = {};
    CHECK(handler_of(SIGUSR2) == before);
    // … unless somebody else came meanwhile.
    first = coir::on_signal(SIGUSR2, [](int) {});
    struct sigaction other = {}, old;
    other.sa_handler = [](int) {};
    ::sigaction(SIGUSR2, &other, &old);
    first.reset();
    CHECK(handler_of(SIGUSR2) == reinterpret_cast<void*>(other.sa_handler));
    other.sa_handler = SIG_DFL;
    ::sigaction(SIGUSR2, &other, nullptr);
  });
}

TEST_CASE("on_signal: several functions for a signal are called in the order of making") {
  on_thread([] {
    std::string log;
    coir::semaphore called(0);
    const auto note = [&](const char* what) {
      return coir::on_signal(SIGUSR1, [&log, &called, what](int) {
        log += what;
        called.release();
      });
    };
    const auto a = note("a");
    auto b = note("b");
    const auto c = note("c");
    send_signal();
    for (int i = 0; i < 3; ++i) called.acquire();
    b = {};
    send_signal();
    for (int i = 0; i < 2; ++i) called.acquire();
    CHECK(log == "abcac");
  });
}

TEST_CASE("on_signal: a handler that was there before is called too") {
  static std::atomic<int> plain, with_info;
  plain = with_info = 0;
  on_thread([] {
    struct sigaction old, mine = {};
    const bool info = GENERATE(false, true);
    if (info) {
      mine.sa_sigaction = [](int, siginfo_t* i, void*) { with_info += i->si_signo; };
      mine.sa_flags = SA_SIGINFO;
    } else {
      mine.sa_handler = [](int n) { plain += n; };
    }
    ::sigaction(SIGUSR1, &mine, &old);
    coir::event called;
    {
      const auto handle = coir::on_signal(SIGUSR1, [&](int) { called.set(); });
      send_signal();
      called.wait();
    }
    // Perhaps on another thread, and after this one has been told.
    CHECK(comes_true([&] { return (info ? with_info : plain) == SIGUSR1; }));
    ::sigaction(SIGUSR1, &old, nullptr);
  });
}

TEST_CASE("on_signal: a handler put in between that calls the one before it ends") {
  static struct sigaction before;
  static std::atomic<int> between;
  between = 0;
  on_thread([] {
    coir::semaphore called(0);
    struct sigaction now = {}, first;
    ::sigaction(SIGUSR1, nullptr, &first);
    {
      const auto a = coir::on_signal(SIGUSR1, [&](int) { called.release(); });
      now.sa_flags = SA_SIGINFO;
      now.sa_sigaction = [](int n, siginfo_t* i, void* c) {
        if (++between < 100) before.sa_sigaction(n, i, c);
      };
      ::sigaction(SIGUSR1, &now, &before);
      const auto b = coir::on_signal(SIGUSR1, [&](int) { called.release(); });
      send_signal();
      called.acquire();
      called.acquire();
    }
    ::sigaction(SIGUSR1, &first, nullptr);
  });
  CHECK(between == 1);
}

TEST_CASE("on_signal: signals during a call are joined into one more") {
  on_thread([] {
    int calls = 0;
    coir::event go, begun;
    const auto handle = coir::on_signal(SIGUSR1, [&](int) {
      ++calls;
      begun.set();
      go.wait();
    });
    send_signal();
    begun.wait();
    for (int i = 0; i < 5; ++i) {
      ::raise(SIGUSR1);
      this_fiber::sleep_for(1ms);
    }
    go.set();
    while (coir::inspect::fiber_count() != 0) this_fiber::yield();
    CHECK(calls == 2);
  });
}

TEST_CASE("on_signal: a function that throws is reported, and called again the next time") {
  std::string text;
  int calls = 0;
  {
    const captured_stderr err;
    on_thread([&] {
      coir::semaphore called(0);
      const auto handle = coir::on_signal(SIGUSR1, [&](int) {
        ++calls;
        called.release();
        if (calls == 1) {
          send_signal();  // while it runs
          throw std::runtime_error("from the function");
        }
      });
      send_signal();
      called.acquire();
      called.acquire();
    });
    text = err.text();
  }
  CHECK(calls == 2);
  CHECK(contains(text, "ended by std::runtime_error: from the function"));
}

TEST_CASE("on_signal: each thread that asks is told") {
  on_thread([] {
    std::atomic<int> told{0};
    coir::event end, ready[2];
    joined_threads threads;
    for (int t = 0; t < 2; ++t)
      threads.start([&, t] {
        if (t == 0) open_reactor();
        const auto handle = coir::on_signal(SIGUSR1, [&](int) { ++told; });
        ready[t].set();
        end.wait();
      });
    for (auto& e : ready) e.wait();
    for (int i = 1; i <= 20; ++i) {
      send_signal();
      const stopwatch watch;
      while (told < 2 * i && watch.elapsed() < patience) this_fiber::sleep_for(100us);
      CHECK(told == 2 * i);
    }
    end.set();
  });
}

TEST_CASE("on_signal: a handle may outlive its thread, which hears no more") {
  void* const before = handler_of(SIGUSR2);
  coir::signal_handle kept;
  on_thread([&] { kept = coir::on_signal(SIGUSR2, [](int) {}); });
  CHECK(handler_of(SIGUSR2) == before);
  kept = {};
  CHECK(handler_of(SIGUSR2) == before);
}

TEST_CASE("on_signal: SIGCHLD tells of children, and takes none away") {
  on_thread([] {
    coir::semaphore told(0);
    const auto handle = coir::on_signal(SIGCHLD, [&](int) { told.release(); });
    for (int i = 0; i < 3; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(7);
      CHECK(told.try_acquire_for(patience));
      int status = 0;
      CHECK(::waitpid(pid, &status, 0) == pid);
      CHECK(WEXITSTATUS(status) == 7);
    }
  });
}

TEST_CASE("on_signal: an ignored SIGCHLD leaves no zombies") {
  on_thread([] {
    struct sigaction ignore = {}, old;
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGCHLD, &ignore, &old);
    {
      coir::event told;
      const auto handle = coir::on_signal(SIGCHLD, [&](int) { told.set(); });
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(0);
      CHECK(told.wait_for(patience));
      CHECK(::waitpid(pid, nullptr, 0) == -1);
      CHECK(errno == ECHILD);
    }
    CHECK(handler_of(SIGCHLD) == reinterpret_cast<void*>(SIG_IGN));
    ::sigaction(SIGCHLD, &old, nullptr);
  });
}

TEST_CASE("on_signal: a handle does not keep run from returning") {
  on_thread([] {
    const auto handle = coir::on_signal(SIGTERM, [](int) {});
    CHECK(coir::run([] { return 3; }) == 3);
    CHECK(coir::inspect::fiber_count() == 0);
  });
}

TEST_CASE("on_signal: what cannot be had is refused, naming it") {
  on_thread([] {
    for (const int number :
         {0, -1, 32, 65, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
      const std::string text =
          thrown_text<std::invalid_argument>([&] { (void)coir::on_signal(number, [](int) {}); });
      INFO(text);
      CHECK(contains(text, "coir::on_signal: signal=" + std::to_string(number)));
    }
    CHECK(throws<std::invalid_argument>([] { (void)coir::on_signal(SIGUSR1, nullptr); }));
  });
}

TEST_CASE("on_signal: the function sees the values its maker saw") {
  on_thread([] {
    coir::inherited<int> value(0);
    coir::promise<int> seen;
    coir::signal_handle handle;
    {
      const auto scope = value.with(4);
      handle = coir::on_signal(SIGUSR1, [&](int) { seen.set_value(*value); });
    }
    send_signal();
    CHECK(seen.get_future().get() == 4);
  });
}
