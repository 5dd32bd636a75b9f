// Calls in worker processes.
#include <coir/coir.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <thread>

#include "children.hpp"

using namespace unit;
using coir::exit_status;
using coir::process_pool;
namespace this_fiber = coir::this_fiber;

namespace {

int twice(int x) {
  return 2 * x;
}
int process() {
  return ::getpid();
}
void nothing() {}
std::string joined(const std::vector<std::string>& words, const std::string& by) {
  std::string all;
  for (const std::string& w : words) all += w + by;
  return all;
}
std::string action(int signal) {
  struct sigaction now;
  ::sigaction(signal, nullptr, &now);
  return now.sa_handler == SIG_DFL ? "default" : now.sa_handler == SIG_IGN ? "ignored" : "handled";
}
[[noreturn]] int sleep_for_ever() {
  for (;;) ::pause();
}

// Memory that is shared with the workers of pools made after it.
template <class T>
class shared_value {
 public:
  shared_value()
      : at_(static_cast<std::atomic<T>*>(::mmap(nullptr, sizeof(std::atomic<T>), PROT_READ | PROT_WRITE,
                                                MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~shared_value() { ::munmap(static_cast<void*>(at_), sizeof(std::atomic<T>)); }
  std::atomic<T>* get() const { return at_; }
  std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(at_); }

 private:
  std::atomic<T>* at_;
};

std::atomic<int>& shared_int(std::uint64_t address) {
  return *reinterpret_cast<std::atomic<int>*>(address);
}
// Tells that it has begun, and goes on when it is told to.
int hold(std::uint64_t address, int result) {
  std::atomic<int>& stage = shared_int(address);
  stage = 1;
  while (stage != 2) std::this_thread::yield();
  return result;
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

struct my_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The exception that `f` ends with: "type: text" for those the test knows.
template <class F>
std::string error_of(coir::future<F> f) {
  try {
    f.get();
    return "none";
  } catch (const coir::worker_crashed& e) {
    return "worker_crashed " + to_string(e.status());
  } catch (const coir::remote_error& e) {
    return "remote_error " + e.type() + "|" + e.text();
  } catch (const std::system_error& e) {
    return std::string("system_error ") + e.what();
  } catch (const std::invalid_argument& e) {
    return std::string("invalid_argument ") + e.what();
  } catch (const std::out_of_range& e) {
    return std::string("out_of_range ") + e.what();
  } catch (const std::runtime_error& e) {
    return std::string("runtime_error ") + e.what();
  } catch (const std::bad_alloc&) {
    return "bad_alloc";
  } catch (const coir::cancelled&) {
    return "cancelled";
  }
}

}  // namespace

TEST_CASE("process_pool: calls functions and lambdas in other processes") {
  with_children([] {
    process_pool pool(2);
    CHECK(pool.size() == 2);
    CHECK(pool.submit(twice, 21).get() == 42);
    CHECK(pool.submit(&twice, 4).get() == 8);
    CHECK(pool.submit([](int a, int b) { return a + b; }, 1, 2).get() == 3);
    CHECK(pool.submit(std::plus<int>(), 3, 4).get() == 7);
    CHECK(pool.submit(process).get() != ::getpid());
    pool.submit(nothing).get();
    CHECK(pool.submit([] { return ::getppid(); }).get() != ::getpid());
  });
}

TEST_CASE("process_pool: arguments and results are what cereal serialises") {
  with_children([] {
    process_pool pool(1);
    CHECK(pool.submit(joined, std::vector<std::string>{"a", "b"}, "-").get() == "a-b-");
    const auto counts = pool.submit(
        [](const std::string& text) {
          std::map<char, int> n;
          for (const char c : text) ++n[c];
          return n;
        },
        "hello");
    CHECK((counts.get() == std::map<char, int>{{'h', 1}, {'e', 1}, {'l', 2}, {'o', 1}}));
  });
}

TEST_CASE("process_pool: other fibers run while a call is made") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto result = pool.submit(hold, stage.address(), 5);
    auto opener = coir::spawn([&] {
      while (*stage.get() != 1) this_fiber::yield();
      *stage.get() = 2;
    });
    CHECK(result.get() == 5);
    opener.join();
  });
}

TEST_CASE("process_pool: as many calls as workers are made at once, and no more") {
  with_children([] {
    const shared_value<int> running;
    process_pool pool(3);
    // Each waits until all three are there.
    const auto meet = [](std::uint64_t address) {
      std::atomic<int>& n = shared_int(address);
      ++n;
      while (n % 3 != 0) std::this_thread::yield();
      return ::getpid();
    };
    std::vector<coir::future<int>> all;
    for (int i = 0; i < 3; ++i) all.push_back(pool.submit(meet, running.address()));
    CHECK(all[0].get() != all[1].get());
    CHECK(all[1].get() != all[2].get());
    std::vector<coir::future<int>> more;
    for (int i = 0; i < 30; ++i) more.push_back(pool.submit(process));
    for (const auto& f : more) {
      const int pid = f.get();
      CHECK((pid == all[0].get() || pid == all[1].get() || pid == all[2].get()));
    }
  });
}

TEST_CASE("process_pool: exceptions come back, as themselves where they are the standard's") {
  with_children([] {
    process_pool pool(1);
    CHECK(error_of(pool.submit([] { throw std::invalid_argument("x=1"); })) == "invalid_argument x=1");
    CHECK(error_of(pool.submit([] { throw std::out_of_range("far"); })) == "out_of_range far");
    CHECK(error_of(pool.submit([] { throw std::runtime_error("text"); })) == "runtime_error text");
    CHECK(error_of(pool.submit([] { throw std::bad_alloc(); })) == "bad_alloc");
    CHECK(error_of(pool.submit([] { throw std::system_error(ENOENT, std::system_category(), "open x"); })) ==
          "system_error open x: No such file or directory");
    CHECK(error_of(pool.submit([] { throw std::system_error(std::make_error_code(std::errc::io_error)); })) ==
          "system_error Input/output error");
    CHECK(error_of(pool.submit([] { throw my_error("mine"); })) ==
          "remote_error (anonymous namespace)::my_error|mine");
    CHECK(error_of(pool.submit([] { throw 7; })) == "remote_error int|");
    CHECK(error_of(pool.submit([] { throw coir::cancelled(); })) == "remote_error coir::cancelled|");
    CHECK(pool.submit(twice, 1).get() == 2);
  });
}

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

TEST_CASE("process_pool: large arguments and results, without blocking the thread") {
  with_children([] {
    process_pool pool(2);
    const std::string large(10 << 20, 'x');
    int ticks = 0;
    auto ticker = coir::spawn([&] {
      for (;; ++ticks) this_fiber::sleep_for(1ms);
    });
    const auto turned = [](std::string s) {
      s += "y";
      return s;
    };
    auto a = pool.submit(turned, large), b = pool.submit(turned, large);
    CHECK((a.get() == large + "y"));
    CHECK((b.get() == large + "y"));
    ticker.cancel();
    ticker.join();
    CHECK(ticks > 0);
  });
}

TEST_CASE("process_pool: a result that the worker cannot finish sending is a crash") {
  with_children([] {
    process_pool pool(1);
    // Its own socket, closed under it: the only one it has.
    CHECK(error_of(pool.submit([] {
            each_descriptor([](int fd) { ::syscall(SYS_close, fd); });
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
    CHECK(error_of(pool.submit([] { std::exit(3); })) == "worker_crashed exit 3");
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

TEST_CASE("process_pool: map gives results in order and exceptions at their items") {
  with_children([] {
    process_pool pool(3);
    std::vector<int> numbers(100);
    std::iota(numbers.begin(), numbers.end(), 0);
    for (const int chunk : {1, 7, 1000}) {
      auto results = pool.map(
          numbers,
          [](int i) {
            if (i % 10 == 3) throw std::invalid_argument(std::to_string(i));
            return i * i;
          },
          chunk);
      for (const int i : numbers) {
        if (i % 10 == 3)
          CHECK(thrown_text<std::invalid_argument>([&] { results.next(); }) == std::to_string(i));
        else
          CHECK(results.next() == i * i);
      }
      CHECK(results.next() == std::nullopt);
    }
    int sum = 0;
    for (const int r : pool.map(std::vector<int>{1, 2, 3}, twice)) sum += r;
    CHECK(sum == 12);
    int calls = 0;
    for ([[maybe_unused]] auto r : pool.map(std::vector<int>{1, 2}, [](int) {})) ++calls;
    CHECK(calls == 2);
    CHECK(pool.map(std::vector<int>{}, twice).next() == std::nullopt);
    CHECK(contains(thrown_text<std::invalid_argument>([&] { pool.map(numbers, twice, 0); }), "chunk=0"));
  });
}

TEST_CASE("process_pool: an interrupted map loses nothing, an abandoned one is called off") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto blocker = pool.submit(hold, stage.address(), 0);
    {
      auto results = pool.map(std::vector<int>{1, 2}, twice);
      CHECK(!coir::with_timeout(0ms, [&] { return results.next(); }));
      auto abandoned =
          pool.map(std::vector<std::uint64_t>{stage.address()}, [](std::uint64_t a) { shared_int(a) = 7; });
      { const auto gone = std::move(abandoned); }
      while (*stage.get() != 1) this_fiber::yield();
      *stage.get() = 2;
      CHECK(results.next() == 2);
      CHECK(results.next() == 4);
    }
    pool.join();
    CHECK(*stage.get() == 2);
  });
}

TEST_CASE("process_pool: cancel calls off what has not begun, and does not interrupt what has") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto running = pool.submit(hold, stage.address(), 1);
    auto queued = pool.submit([](std::uint64_t a) { shared_int(a) = 7; }, stage.address());
    auto last = pool.submit(twice, 2);
    while (*stage.get() != 1) this_fiber::yield();
    CHECK(queued.cancel());
    CHECK(queued.cancelled());
    CHECK(error_of(queued) == "cancelled");
    CHECK(!running.cancel());
    *stage.get() = 2;
    CHECK(running.get() == 1);
    CHECK(last.get() == 4);
    CHECK(*stage.get() == 2);
  });
}

TEST_CASE("process_pool: the wait for a result is interrupted, the call goes on") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(1);
    auto result = pool.submit(hold, stage.address(), 3);
    auto f = coir::spawn([&] { result.get(); });
    this_fiber::yield();
    f.cancel();
    f.join();
    CHECK(!coir::with_timeout(1ms, [&] { result.wait(); }));
    CHECK(!pool.join_for(1ms));
    while (*stage.get() != 1) this_fiber::yield();
    *stage.get() = 2;
    CHECK(result.get() == 3);
  });
}

TEST_CASE("process_pool: the destructor finishes what was submitted, also in a cancelled fiber") {
  with_children([] {
    std::vector<coir::future<int>> all;
    auto f = coir::spawn([&] {
      process_pool pool(2);
      for (int i = 0; i < 50; ++i) all.push_back(pool.submit(twice, i));
      this_fiber::sleep_for(1h);
    });
    while (all.size() < 50) this_fiber::sleep_for(1ms);
    f.cancel();
    f.join();
    for (int i = 0; i < 50; ++i)
      CHECK((all[static_cast<std::size_t>(i)].ready() && all[static_cast<std::size_t>(i)].get() == 2 * i));
  });
}

TEST_CASE("process_pool: shutdown takes no more, join waits for the rest") {
  with_children([] {
    process_pool pool(1);
    auto f = pool.submit(twice, 1);
    pool.shutdown();
    CHECK(contains(thrown_text<std::logic_error>([&] { pool.submit(twice, 1); }), "shut down"));
    pool.join();
    CHECK(f.ready());
    pool.join();
    CHECK(no_children());
  });
}

TEST_CASE("process_pool: terminate kills") {
  with_children([] {
    const shared_value<int> stage;
    process_pool pool(2);
    auto held = pool.submit(hold, stage.address(), 1);
    auto asleep = pool.submit(sleep_for_ever);
    auto queued = pool.submit(twice, 1);
    while (*stage.get() != 1) this_fiber::yield();
    pool.terminate();
    CHECK(error_of(held) == "worker_crashed killed by SIGKILL");
    const std::string end = error_of(asleep);
    INFO(end);
    CHECK((end == "worker_crashed killed by SIGKILL" || end == "cancelled"));
    CHECK(error_of(queued) == "cancelled");
    pool.join();
    pool.terminate();
    CHECK(throws<std::logic_error>([&] { pool.submit(twice, 1); }));
  });
}

TEST_CASE("process_pool: wrong sizes are refused by name") {
  with_children([] {
    CHECK(contains(thrown_text<std::invalid_argument>([] { process_pool pool(0); }), "workers=0"));
    CHECK(contains(thrown_text<std::invalid_argument>([] { process_pool pool(-3); }), "workers=-3"));
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

TEST_CASE("process_pool: functions may use fibers, deep stacks, and threads of their own") {
  with_children([] {
    process_pool pool(1);
    for (int round = 0; round < 3; ++round)
      CHECK(pool.submit([] {
                  auto a = coir::spawn([] {
                    this_fiber::sleep_for(1ms);
                    return 1;
                  });
                  auto b = coir::spawn([] { return 2; });
                  return a.get() + b.get();
                })
                .get() == 3);
    CHECK(pool.submit([] {
                volatile char deep[4 << 20];
                deep[0] = 1;
                deep[sizeof deep - 1] = 2;
                return deep[0] + deep[sizeof deep - 1];
              })
              .get() == 3);
    CHECK(pool.submit([] {
                int x = 0;
                std::thread([&] { x = 5; }).join();
                return x;
              })
              .get() == 5);
    CHECK(pool.submit([] {
                return coir::subprocess::check_output({"echo", "from a worker"});
              })
              .get() == "from a worker\n");
  });
}

TEST_CASE("process_pool: fibers that a call left behind go on between calls") {
  with_children([] {
    const shared_value<int> steps;
    process_pool pool(1);
    pool.submit(
            [](std::uint64_t address) {
              coir::spawn([address] {
                for (int i = 1; i <= 3; ++i) {
                  this_fiber::sleep_for(1ms);
                  shared_int(address) = i;
                }
              });
            },
            steps.address())
        .get();
    CHECK(comes_true([&] { return *steps.get() == 3; }));
  });
}

TEST_CASE("process_pool: many threads submit") {
  with_children([] {
    process_pool pool(2);
    std::atomic<int> sum{0};
    joined_threads threads;
    for (int t = 0; t < 4; ++t)
      threads.start([&] {
        for (int i = 0; i < 50; ++i) sum += pool.submit(twice, i).get();
      });
    threads.join();
    CHECK(sum == 4 * 49 * 50);
  });
}

TEST_CASE("process_pool: on_done of a result, and futures that outlive the pool") {
  with_children([] {
    coir::event called;
    coir::future<int> kept;
    {
      process_pool pool(1);
      kept = pool.submit(twice, 3);
      kept.on_done([&](const coir::future<int>& f) {
        if (f.get() == 6) called.set();
      });
    }
    CHECK(called.is_set());
    CHECK(kept.get() == 6);
  });
}

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

TEST_CASE("process_pool: code that was loaded later is refused") {
  with_children([] {
    process_pool pool(1);
    void* fresh = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const auto f = reinterpret_cast<int (*)(int)>(fresh);
    CHECK(contains(thrown_text<std::invalid_argument>([&] { pool.submit(f, 1); }),
                   "loaded when the pool was made"));
    ::munmap(fresh, 4096);
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

TEST_CASE("process_pool: many workers cost nothing until they are needed") {
  with_children([] {
    process_pool pool(1'000'000);
    CHECK(pool.size() == 1'000'000);
    CHECK(pool.submit(twice, 1).get() == 2);
  });
}

TEST_CASE("process_pool: map of bools") {
  with_children([] {
    process_pool pool(1);
    auto results = pool.map(
        std::array<bool, 2>{true, false}, [](bool b) { return !b; }, 2);
    CHECK(results.next() == false);
    CHECK(results.next() == true);
  });
}
