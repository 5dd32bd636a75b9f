// The end of a child: waiting for it, its status, signals to it, handles that go.
#include <coir/coir.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <functional>

#include "children.hpp"

using namespace unit;
using coir::exit_status;
using coir::redirect;
using coir::subprocess;
namespace this_fiber = coir::this_fiber;

namespace {

// One that runs until its stdin ends.
subprocess idle_child(bool kill = false) {
  return subprocess({"cat"}, {.in = redirect::pipe(), .kill_at_destruction = kill});
}
// One that waits for ever, and has told that it runs.
subprocess deaf_child() {
  subprocess c(subprocess::shell("echo begun; exec sleep 1000"),
               {.out = redirect::pipe(), .kill_at_destruction = true});
  CHECK(c.out().read_line() == "begun");
  return c;
}

bool gone(pid_t pid) {
  return ::kill(pid, 0) == -1 && errno == ESRCH;
}

}  // namespace

TEST_CASE("exit_status: tells code and signal") {
  CHECK(to_string(exit_status::of_exit(3)) == "exit 3");
  CHECK(to_string(exit_status::of_signal(SIGSEGV)) == "killed by SIGSEGV");
  CHECK(to_string(exit_status::of_signal(40)) == "killed by signal 40");
  CHECK(to_string(exit_status()) == "unknown end");
  CHECK(exit_status::of_exit(0).success());
  CHECK(!exit_status().success());
  CHECK(exit_status::of_wait(0x300) == exit_status::of_exit(3));
  CHECK(exit_status::of_wait(0x8b) == exit_status::of_signal(SIGSEGV, true));
  CHECK(exit_status::of_wait(9).code() == -1);
}

TEST_CASE("subprocess: wait tells how the child ended, again and again") {
  with_children([] {
    subprocess c(subprocess::shell("exit 3"));
    CHECK(c.wait() == exit_status::of_exit(3));
    CHECK(c.wait() == exit_status::of_exit(3));
    CHECK(c.poll() == exit_status::of_exit(3));
    CHECK(subprocess::run(subprocess::shell("kill -9 $$")).status == exit_status::of_signal(SIGKILL));
  });
}

TEST_CASE("subprocess: other fibers run while one waits for the end") {
  with_children([] {
    subprocess c = idle_child();
    std::string order;
    auto waiter = coir::spawn([&] {
      c.wait();
      order += "end";
    });
    this_fiber::yield();
    order += "main ";
    c.in().close();
    waiter.get();
    CHECK(order == "main end");
  });
}

TEST_CASE("subprocess: many fibers and threads may wait for one child") {
  with_children([] {
    subprocess c = idle_child();
    std::atomic<int> seen{0};
    joined_threads threads;
    for (int i = 0; i < 3; ++i) threads.start([&] { seen += c.wait().success(); });
    std::vector<coir::fiber<void>> fibers;
    for (int i = 0; i < 5; ++i) fibers.push_back(coir::spawn([&] { seen += c.wait().success(); }));
    this_fiber::yield();
    c.in().close();
    for (auto& f : fibers) f.get();
    threads.join();
    CHECK(seen == 8);
  });
}

TEST_CASE("subprocess: poll and wait_for are empty while it runs") {
  with_children([] {
    subprocess c = idle_child();
    CHECK(!c.poll());
    CHECK(!c.wait_for(0s));
    CHECK(!c.wait_for(2ms));
    CHECK(!c.wait_until(std::chrono::steady_clock::now()));
    CHECK(throws<std::invalid_argument>([&] { c.wait_for(-1s); }));
    c.in().close();
    CHECK(c.wait_for(patience) == exit_status::of_exit(0));
    CHECK(c.poll());
  });
}

TEST_CASE("subprocess: signals reach it, and after its end nobody") {
  with_children([] {
    for (const int n : {SIGTERM, SIGKILL, SIGUSR1}) {
      subprocess c = deaf_child();
      CHECK(c.send_signal(n));
      CHECK(c.wait() == exit_status::of_signal(n));
      CHECK(!c.send_signal(n));
      CHECK(!c.kill());
      CHECK(!c.terminate());
    }
    subprocess c = idle_child(true);
    CHECK(contains(thrown_text<std::invalid_argument>([&] { c.send_signal(1000); }), "number=1000"));
  });
}

TEST_CASE("subprocess: a kill races with the end, and finds the child or nobody") {
  with_children([] {
    for (int i = 0; i < 100; ++i) {
      subprocess c({"true"});
      auto killer = coir::spawn([&] {
        while (c.kill()) this_fiber::yield();
      });
      const exit_status s = c.wait();
      CHECK((s.success() || s.signal() == SIGKILL));
      killer.get();
    }
  });
}

TEST_CASE("subprocess: cancellation and timeouts end the wait and leave the child") {
  with_children([] {
    subprocess c({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe()});
    const std::vector<std::function<void()>> waits = {
        [&] { c.wait(); }, [&] { c.wait_for(1h); }, [&] { c.out().read_all(); }, [&] { c.out().read_line(); },
        [&] {
          char byte;
          c.out().read_some(&byte, 1);
        }};
    for (const auto& wait : waits) {
      auto f = coir::spawn(wait);
      this_fiber::yield();
      f.cancel();
      CHECK(throws<coir::cancelled>([&] { f.get(); }));
      CHECK(!coir::with_timeout(1ms, wait));
      CHECK(!coir::with_timeout(0ms, wait));
      CHECK(!c.poll());
    }
    CHECK(c.communicate("still there").out == "still there");
  });
}

TEST_CASE("subprocess: a status that somebody else took is unknown") {
  with_children([] {
    subprocess c = idle_child();
    auto waiter = coir::spawn([&] { return c.wait(); });
    this_fiber::yield();
    c.in().close();
    int status;
    CHECK(comes_true([&] { return ::waitpid(c.id(), &status, WNOHANG) == c.id() || c.poll(); }));
    CHECK((waiter.get() == exit_status() || waiter.get().success()));
    CHECK(!c.kill());
  });
}

TEST_CASE("subprocess: the end is seen where SIGCHLD is ignored") {
  with_children([] {
    const auto before = ::signal(SIGCHLD, SIG_IGN);
    const auto r = subprocess::run({"echo", "x"}, {.out = redirect::pipe()});
    const bool refused = throws<std::system_error>([] { subprocess c({"/no/such"}); });
    ::signal(SIGCHLD, before);
    CHECK(r.out == "x\n");
    CHECK(!r.status.known());
    CHECK(refused);
  });
}

TEST_CASE("subprocess: a handler of SIGCHLD stays, and sees the children") {
  static std::atomic<int> seen{0};
  with_children([] {
    struct sigaction mine = {}, before, after;
    mine.sa_handler = [](int) { ++seen; };
    mine.sa_flags = SA_RESTART;
    ::sigaction(SIGCHLD, &mine, &before);
    CHECK(subprocess::run({"true"}).status.success());
    CHECK(comes_true([] { return seen == 1; }));
    ::sigaction(SIGCHLD, &before, &after);
    CHECK(after.sa_handler == mine.sa_handler);
  });
}

TEST_CASE("subprocess: a handle that goes leaves the child running, and no zombie") {
  const std::size_t descriptors = open_descriptors();
  on_thread([] {
    pid_t pid;
    int hold[2];
    REQUIRE(::pipe2(hold, O_CLOEXEC) == 0);
    {
      subprocess c({"cat"}, {.in = redirect::descriptor(hold[0])});
      pid = c.id();
    }
    ::close(hold[0]);
    CHECK(::kill(pid, 0) == 0);
    ::close(hold[1]);
    CHECK(comes_true([&] { return gone(pid); }));
    CHECK(comes_true([] { return no_children(); }));
    // One that has ended already.
    pid = subprocess({"true"}).id();
    CHECK(comes_true([&] { return gone(pid); }));
  });
  // The reaper's descriptors go with it, soon after the last child.
  const stopwatch waited;
  while (open_descriptors() != descriptors && waited.elapsed() < patience) std::this_thread::yield();
  while (!no_children() && waited.elapsed() < patience) std::this_thread::yield();
  CHECK(no_children());
}

TEST_CASE("subprocess: kill_at_destruction kills and waits") {
  with_children([] {
    pid_t pid;
    {
      subprocess c = idle_child(true);
      pid = c.id();
    }
    CHECK(gone(pid));
    // Also when the fiber is cancelled meanwhile.
    bool begun = false;
    auto f = coir::spawn([&] {
      subprocess c = deaf_child();
      pid = c.id();
      begun = true;
      c.wait();
    });
    CHECK(comes_true([&] { return begun; }));
    CHECK(!f.join_for(5ms));
    f.cancel();
    f.join();
    CHECK(gone(pid));
  });
}

TEST_CASE("subprocess: run kills the child when its wait is interrupted") {
  with_children([] {
    CHECK(!coir::with_timeout(20ms, [] { return subprocess::run({"sleep", "1000"}); }));
    CHECK(no_children());
  });
}

TEST_CASE("subprocess: moves, and its streams stay where they are") {
  with_children([] {
    subprocess a({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe()});
    coir::pipe_stream& out = a.out();
    subprocess b = std::move(a);
    CHECK(&b.out() == &out);
    subprocess c({"true"});
    c.wait();
    c = std::move(b);
    CHECK(c.communicate("x").out == "x");
  });
}

TEST_CASE("subprocess: in the child of a fork a handle does nothing") {
  with_children([] {
    subprocess c = idle_child(true);
    const pid_t copy = ::fork();
    if (copy == 0) {
      const bool sent = c.kill();
      { const subprocess gone = std::move(c); }
      ::_exit(sent ? 1 : 0);
    }
    int status = -1;
    CHECK(::waitpid(copy, &status, 0) == copy);
    CHECK(status == 0);
    CHECK(!c.poll());
    c.in().close();
    CHECK(c.wait().success());
  });
}

TEST_CASE("subprocess: a child that has ended gets no signal, also before anyone asked for its end") {
  with_children([] {
    subprocess c({"true"});
    siginfo_t info;
    CHECK(::waitid(P_PID, static_cast<id_t>(c.id()), &info, WEXITED | WNOWAIT) == 0);
    CHECK(!c.terminate());
    CHECK(c.wait().success());
  });
}
