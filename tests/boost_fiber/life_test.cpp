// How use_coir begins and ends.
#include <coir/coir.hpp>

#include <signal.h>
#include <sys/wait.h>

#include <stdexcept>
#include <string>

#include "support.hpp"

namespace {

template <class F>
std::string logic_error_of(F f) {
  try {
    f();
  } catch (const std::logic_error& e) {
    return e.what();
  }
  return "nothing";
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// The wait status of a child process that runs `f`.
template <class F>
int status_of_child(F f) {
  const pid_t child = ::fork();
  if (child == 0) {
    f();
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("use_coir: a second call on a thread throws") {
  with_coir(
      [] { CHECK(contains(logic_error_of(coir::boost_fiber::use_coir), "called again on this thread")); });
}

TEST_CASE("use_coir: throws on a thread with living coir fibers, and works once they have ended") {
  on_thread([] {
    auto f = coir::spawn([] { coir::this_fiber::sleep_for(1ms); });
    CHECK(contains(logic_error_of(coir::boost_fiber::use_coir), "1 living coir fibers"));
    f.join();
    coir::boost_fiber::use_coir();
    int done = 0;
    run_fibers(10, [&](int) {
      ::usleep(1'000);
      ++done;
    });
    CHECK(done == 10);
  });
}

TEST_CASE("use_coir: coir::spawn throws on such a thread") {
  with_coir([] { CHECK(contains(logic_error_of([] { coir::spawn([] {}); }), "boost::fibers::fiber")); });
}

TEST_CASE("use_coir: what coir cannot give Boost fibers is refused there") {
  with_coir([] {
    coir::local<int> own;
    *own = 1;  // the thread's main fiber has one
    std::string locals;
    boost::fibers::fiber([&] { locals = logic_error_of([&] { own.get(); }); }).join();
    CHECK(contains(locals, "fiber_specific_ptr"));
    CHECK(*own == 1);
    CHECK(contains(logic_error_of([] { (void)coir::on_signal(SIGUSR1, [](int) {}); }), "Boost.Fiber"));
    const auto posted = coir::post(coir::this_thread_handle(), [] {});
    CHECK(contains(logic_error_of([&] { posted.get(); }), "boost::fibers::fiber"));
  });
}

TEST_CASE("use_coir: Boost fibers wait for pools, offload, and have inherited values of their own") {
  with_coir([] {
    coir::inherited<int> value(0);
    coir::thread_pool pool(2);
    int sum = 0, seen = 0;
    run_fibers(10, [&](int i) {
      seen += *value;
      value.set(i);
      sum += pool.submit([&] { return *value; }).get();
      sum += coir::offload([&] { return *value; });
      seen += *value - i;
    });
    CHECK(sum == 90);
    CHECK(seen == 0);
  });
}

TEST_CASE("use_coir: fibers made before, and a call on one of them, are served") {
  on_thread([] {
    int done = 0;
    const auto took = time_of([&] {
      std::vector<bf::fiber> early;
      bf::fiber first([&] {
        coir::boost_fiber::use_coir();
        ::usleep(20'000);
        ++done;
      });
      for (int i = 0; i < 10; ++i)
        early.emplace_back([&] {
          boost::this_fiber::sleep_for(5ms);
          ::usleep(20'000);
          ++done;
        });
      first.join();
      for (bf::fiber& each : early) each.join();
    });
    CHECK(done == 11);
    CHECK(took < 20s);
  });
}

TEST_CASE("thread end: detached fibers are run to their ends, whoever's scheduler is the elder") {
  for (const bool boost_first : {false, true}) {
    int done = 0;
    on_thread([&] {
      if (boost_first) boost::this_fiber::yield();  // makes Boost's scheduler, which is then the last to go
      coir::boost_fiber::use_coir();
      for (int i = 0; i < 10; ++i)
        bf::fiber([&, i] {
          socket_pair pair;
          bf::fiber([&] {
            ::usleep(static_cast<useconds_t>(2'000 * i));
            ::send(pair[1], "x", 1, 0);
          }).detach();
          char byte;
          if (::recv(pair[0], &byte, 1, 0) == 1) ++done;
        }).detach();
    });
    CHECK(done == 10);
  }
}

TEST_CASE("thread end: it sleeps, and does not spin, while detached fibers still wait") {
  timespec cpu = {};
  on_thread([&] {
    coir::boost_fiber::use_coir();
    bf::fiber([&] {
      ::usleep(200'000);
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    }).detach();
  });
  CHECK(cpu.tv_sec == 0);
  CHECK(cpu.tv_nsec < 100'000'000);
}

TEST_CASE("thread end: hundreds of threads come and go") {
  for (int i = 0; i < 200; ++i)
    with_coir([i] {
      run_fibers(3, [i](int j) {
        if ((i + j) % 2 == 0) ::usleep(100);
      });
    });
}

TEST_CASE("fiber end: data of the fiber may wait in coir while it is cleaned up") {
  with_coir([] {
    struct waits_at_end {
      int* ended;
      ~waits_at_end() {
        ::usleep(1'000);
        ++*ended;
      }
    };
    static bf::fiber_specific_ptr<waits_at_end> before, after;
    int ended = 0;
    {
      std::vector<bf::fiber> fibers;
      for (int i = 0; i < 10; ++i)
        fibers.emplace_back([&] {
          before.reset(new waits_at_end{&ended});
          ::usleep(100);
          after.reset(new waits_at_end{&ended});
        });
      // Not by join: Boost holds the fiber's spinlock while it cleans up.
      for (int i = 0; ended < 20 && i < 20'000; ++i) ::usleep(1'000);
      for (bf::fiber& each : fibers) each.join();
    }
    CHECK(ended == 20);
  });
}

TEST_CASE("fork: in the child the forking fiber goes on") {
  with_coir([] {
    coir::event never;
    bf::fiber waiting([&] { never.wait(); });
    int status = -1;
    bf::fiber forking([&] {
      ::usleep(1'000);
      status = status_of_child([] {
        const auto took = time_of([] { ::usleep(10'000); });
        socket_pair pair;
        char byte;
        const bool right =
            took >= 10ms && ::send(pair[1], "x", 1, 0) == 1 && ::recv(pair[0], &byte, 1, 0) == 1;
        ::_exit(right ? 7 : 8);
      });
    });
    forking.join();
    never.set();
    waiting.join();
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
  });
}

TEST_CASE("misuse: another algorithm in place of coir's, while fibers wait in coir, aborts with the reason") {
  unit::captured_stderr err;
  const int status = status_of_child([] {
    coir::boost_fiber::use_coir();
    bf::fiber sleeper([] { ::usleep(1'000'000); });
    boost::this_fiber::yield();
    bf::use_scheduling_algorithm<bf::algo::round_robin>();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(contains(err.text(), "another Boost.Fiber algorithm was installed"));
}

TEST_CASE("misuse: another algorithm while none waits gives the thread back") {
  on_thread([] {
    coir::boost_fiber::use_coir();
    run_fibers(3, [](int) { ::usleep(1'000); });
    bf::use_scheduling_algorithm<bf::algo::round_robin>();
    run_fibers(3, [](int) { ::usleep(1'000); });
    coir::spawn([] { coir::this_fiber::sleep_for(1ms); }).join();
    coir::boost_fiber::use_coir();
    run_fibers(3, [](int) { ::usleep(1'000); });
  });
}
