// What worker processes are, and what becomes of calls when they end.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "pool_calls.hpp"
#include "support/sanitized.hpp"
#include "sys/raw.hpp"

using namespace unit;
using coir::process_pool;
namespace this_fiber = coir::this_fiber;

namespace {

std::string action(int signal) {
  struct sigaction now;
  ::sigaction(signal, nullptr, &now);
  return now.sa_handler == SIG_DFL ? "default" : now.sa_handler == SIG_IGN ? "ignored" : "handled";
}
// Those above 2 that a worker may have.
template <class F>
void each_descriptor(F f) {
  for (int fd = 3; fd < 4096; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) f(fd);
}
// A fork that no handler hears of.
pid_t bare_fork() {
  return static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}
// Waits for 2 in a child of its own, and is killed.
template <pid_t (*Fork)()>
void leave_child_and_die(std::uint64_t address) {
  std::atomic<int>& stage = shared_int(address);
  if (Fork() == 0) {
    while (stage != 2) ::usleep(1000);
    ::_exit(0);
  }
  ::raise(SIGKILL);
}
// Both return.
template <pid_t (*Fork)()>
int fork_and_return(int result) {
  Fork();
  return result;
}

}  // namespace

TEST_CASE("process_pool: a worker that crashes ends its call by name, and is replaced") {
  with_children([] {
    process_pool pool(1);
    const int first = pool.submit(process).get();
    const std::string text =
        thrown_text<coir::worker_crashed>([&] { pool.submit([] { ::raise(SIGKILL); }).get(); });
    CHECK(text == "coir::process_pool: worker " + std::to_string(first) + " was killed by SIGKILL");
    CHECK(error_of(pool.submit([] {
            void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            *static_cast<volatile char*>(page) = 1;
          })) == "worker_crashed killed by SIGSEGV");
    CHECK(error_of(pool.submit([] { std::abort(); })) == "worker_crashed killed by SIGABRT");
    CHECK(error_of(pool.submit([] { ::_exit(3); })) == "worker_crashed exit 3");
    CHECK(error_of(pool.submit([] { std::_Exit(0); })) == "worker_crashed exit 0");
    CHECK(pool.submit(process).get() != first);
  });
}

TEST_CASE("process_pool: calls that had not begun do not notice a crash") {
  with_children([] {
    process_pool pool(2);
    std::vector<coir::future<int>> good, bad;
    for (int i = 0; i < 40; ++i) {
      if (i % 4 == 1)
        bad.push_back(pool.submit([]() -> int {
          ::raise(SIGSEGV);
          return 0;
        }));
      good.push_back(pool.submit(twice, i));
    }
    for (int i = 0; i < 40; ++i) CHECK(good[static_cast<std::size_t>(i)].get() == 2 * i);
    for (const auto& f : bad) CHECK(error_of(f) == "worker_crashed killed by SIGSEGV");
  });
}

TEST_CASE("process_pool: a worker that died idle is replaced unnoticed") {
  with_children([] {
    process_pool pool(1);
    for (int i = 0; i < 5; ++i) {
      const pid_t worker = pool.submit(process).get();
      ::kill(worker, SIGKILL);
      CHECK(comes_true([&] { return ::kill(worker, 0) != 0; }));  // its server has seen it
      CHECK(pool.submit(twice, i).get() == 2 * i);
    }
  });
}

TEST_CASE("process_pool: a result that the worker cannot finish sending is a crash") {
  with_children([] {
    process_pool pool(1);
    // Its own socket, closed under it: the only one it has. The patched calls would not close it.
    CHECK(error_of(pool.submit([] {
            each_descriptor([](int fd) { coir::sys::raw(SYS_close, fd); });
            return std::string(1 << 20, 'x');
          })).starts_with("worker_crashed "));
    CHECK(pool.submit(twice, 2).get() == 4);
  });
}

TEST_CASE("process_pool: a child that a call leaves behind does not hide the worker's death") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(2);
    auto forked = pool.submit(&leave_child_and_die<::fork>, stage.address());
    auto cloned = pool.submit(&leave_child_and_die<bare_fork>, stage.address());
    CHECK(comes_true([&] { return forked.ready() && cloned.ready(); }));
    *stage.get() = 2;
    CHECK(error_of(forked) == "worker_crashed killed by SIGKILL");
    CHECK(error_of(cloned) == "worker_crashed killed by SIGKILL");
  });
}

TEST_CASE("process_pool: forks of other threads do not hide a worker's death") {
  with_children([] {
    int gate[2];
    REQUIRE(::pipe2(gate, O_CLOEXEC) == 0);
    std::atomic<bool> stop{false};
    std::vector<pid_t> copies;
    process_pool pool(4);
    joined_threads threads;
    threads.start([&] {
      while (!stop && copies.size() < 100) {
        const pid_t copy = ::fork();
        if (copy == 0) {
          char byte;
          ::syscall(SYS_close, gate[1]);
          ::syscall(SYS_read, gate[0], &byte, 1);
          ::_exit(0);
        }
        copies.push_back(copy);
      }
    });
    bool all_ended = true;
    for (int round = 0; round < 25 && all_ended; ++round) {
      std::vector<coir::future<void>> calls;
      for (int i = 0; i < 4; ++i) calls.push_back(pool.submit([] { ::raise(SIGKILL); }));
      all_ended = comes_true(
          [&] { return std::all_of(calls.begin(), calls.end(), [](const auto& c) { return c.ready(); }); });
    }
    stop = true;
    threads.join();
    CHECK(all_ended);
    ::close(gate[1]);
    ::close(gate[0]);
    for (const pid_t copy : copies) ::waitpid(copy, nullptr, 0);
  });
}

TEST_CASE("process_pool: a call that forks and returns twice answers once") {
  with_children([] {
    process_pool pool(1);
    for (int i = 1; i <= 20; i += 2) {
      CHECK(pool.submit(&fork_and_return<::fork>, i).get() == i);
      CHECK(pool.submit(&fork_and_return<bare_fork>, i + 1).get() == i + 1);
    }
  });
}

TEST_CASE("process_pool: a worker that says what it was not asked is a crash") {
  with_children([] {
    process_pool pool(1);
    CHECK(error_of(pool.submit([] {
            each_descriptor([](int fd) { ::send(fd, "twenty-four bytes of text", 24, 0); });
          })) == "worker_crashed killed by SIGKILL");
    CHECK(pool.submit(twice, 1).get() == 2);
  });
}

TEST_CASE("process_pool: no file of the parent's writes to the pool") {
  with_children([] {
    std::vector<std::FILE*> files;
    for (int i = 0; i < 4; ++i) {
      files.push_back(std::fopen("/dev/null", "w"));
      std::fputs("what the parent has not yet written", files.back());
    }
    process_pool pool(1);
    CHECK(pool.submit([] { return std::fflush(nullptr) * 0 + 1; }).get() == 1);
    CHECK(pool.submit(twice, 2).get() == 4);
#ifndef UNIT_SANITIZED  // exit looks for leaks: to the worker's copy of LeakSanitizer the stacks of other
                        // threads are lost
    CHECK(error_of(pool.submit([] { std::exit(3); })) == "worker_crashed exit 3");
#endif
    for (std::FILE* f : files) std::fclose(f);
  });
}

TEST_CASE("process_pool: works where the standard streams are closed") {
  with_children([] {
    const pid_t daemon = ::fork();
    if (daemon == 0) {
      for (int fd = 0; fd < 3; ++fd) ::close(fd);
      bool right = true;
      {
        process_pool pool(2);
        for (int i = 0; i < 6; ++i)
          right = right && pool.submit(
                                   [](int x) {
                                     std::fprintf(stderr, "to nowhere\n");
                                     std::printf("to nowhere\n");
                                     return x;
                                   },
                                   i)
                                   .get() == i;
      }
      ::_exit(right ? 0 : 1);
    }
    int status = -1;
    CHECK(::waitpid(daemon, &status, 0) == daemon);
    CHECK(status == 0);
  });
}

TEST_CASE("process_pool: leaves no process behind, also where orphans come to the program") {
  with_children([] {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    {
      process_pool pool(3);
      std::vector<coir::future<int>> all;
      for (int i = 0; i < 6; ++i) all.push_back(pool.submit(process));
      for (const auto& f : all) f.wait();
    }
    CHECK(no_children());
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  });
}

TEST_CASE("process_pool: workers are plain processes") {
  with_children([] {
    const int leaky = ::open("/dev/null", O_RDONLY);
    struct sigaction before, mine = {};
    mine.sa_handler = [](int) {};
    ::sigaction(SIGTERM, &mine, &before);
    process_pool pool(1);
    ::sigaction(SIGTERM, &before, nullptr);
    const int later = ::open("/dev/null", O_RDONLY);
    // 0, 1, 2, and the pool's socket.
    CHECK(pool.submit([] { return static_cast<int>(open_descriptors()); }).get() == 4);
    CHECK(pool.submit([](int a, int b) { return ::fcntl(a, F_GETFD) + ::fcntl(b, F_GETFD); }, leaky, later)
              .get() < 0);
    ::close(leaky);
    ::close(later);
    CHECK(pool.submit(action, SIGTERM).get() == "default");
    CHECK(pool.submit(action, SIGINT).get() == "ignored");
    CHECK(pool.submit(action, SIGPIPE).get() == "default");
    CHECK(pool.submit([] {
                sigset_t blocked;
                ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
                return sigismember(&blocked, SIGCHLD) + sigismember(&blocked, SIGUSR1);
              })
              .get() == 0);
    CHECK(pool.submit([] {
                char byte;
                return static_cast<int>(::read(0, &byte, 1));
              })
              .get() == 0);
  });
}

#ifndef COIR_TSAN  // which cannot follow the threads of a process that was forked while it had several

TEST_CASE("process_pool: in the child of a fork it is refused, and its destructor does nothing") {
  with_children([] {
    auto pool = std::make_unique<process_pool>(1);
    CHECK(pool->submit(twice, 1).get() == 2);
    const pid_t copy = ::fork();
    if (copy == 0) {
      const bool refused = throws<std::logic_error>([&] { pool->submit(twice, 1); });
      pool.reset();
      bool works = false;
      {
        process_pool own(1);
        works = own.submit(twice, 4).get() == 8;
      }
      ::_exit(refused && works ? 0 : 1);
    }
    int status = -1;
    CHECK(::waitpid(copy, &status, 0) == copy);
    CHECK(status == 0);
    CHECK(pool->submit(twice, 2).get() == 4);
  });
}

#endif

TEST_CASE("process_pool: two pools at once do not hold each other's processes") {
  with_children([] {
    auto first = std::make_unique<process_pool>(1);
    CHECK(first->submit(twice, 1).get() == 2);
    process_pool second(1);
    CHECK(second.submit(twice, 2).get() == 4);
    first.reset();
    CHECK(second.submit(twice, 3).get() == 6);
  });
}

TEST_CASE("process_pool: workers die with their parent, computing or not") {
  on_thread([] {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
    const pid_t parent = ::fork();
    if (parent == 0) {
      const shared_value<int> stage;
      process_pool pool(2);
      auto held = pool.submit(hold, stage.address(), 1);
      while (*stage.get() != 1) this_fiber::yield();
      const int idle = pool.submit(process).get();
      // Where the parent's copy is: to see them go, the server and its workers are asked for through /proc.
      if (::write(fds[1], &idle, sizeof idle) != sizeof idle) ::_exit(1);
      ::kill(::getpid(), SIGKILL);
    }
    ::close(fds[1]);
    int idle = 0;
    CHECK(::read(fds[0], &idle, sizeof idle) == sizeof idle);
    ::close(fds[0]);
    int status = -1;
    CHECK(::waitpid(parent, &status, 0) == parent);
    CHECK(status == SIGKILL);
    CHECK(comes_true([&] { return ::kill(idle, 0) != 0; }));
  });
  CHECK(no_children());
}

TEST_CASE("process_pool: when its server was killed calls fail by name") {
  with_children([] {
    process_pool pool(1);
    const pid_t server = pool.submit([] { return ::getppid(); }).get();
    ::kill(server, SIGKILL);
    std::string text;
    CHECK(comes_true([&] {
      text = thrown_text<std::system_error>([&] { pool.submit(twice, 1).get(); });
      return contains(text, "the fork server has ended");
    }));
  });
}

TEST_CASE("process_pool: what a call prints is out when its result is there, and once") {
  with_children([] {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
    std::fflush(stdout);  // of this program
    const pid_t program = ::fork();
    if (program == 0) {
      ::dup2(fds[1], 1);
      std::printf("before ");
      process_pool pool(2);
      pool.submit([] { std::printf("worker "); }).get();
      std::printf("after");
      std::fflush(stdout);
      pool.join();
      ::_exit(0);
    }
    ::close(fds[1]);
    std::string text;
    char part[64];
    for (ssize_t n; (n = ::read(fds[0], part, sizeof part)) > 0;)
      text.append(part, static_cast<std::size_t>(n));
    ::close(fds[0]);
    int status = -1;
    CHECK(::waitpid(program, &status, 0) == program);
    CHECK(text == "worker before after");
  });
}
