// The contract of reactor.hpp, on the kernel's reactors.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/raw.hpp"
#include "catch.hpp"
#include "reactor/reactor.hpp"
#include "support/real_time.hpp"

using namespace unit;
using coir::base::monotonic_now;
using coir::base::never;
using coir::reactor::fd_state;
using coir::reactor::operation;

namespace {

struct poll_op : operation {
  poll_op(int number, fd_state& s, std::uint32_t wanted) {
    fd = number;
    events = wanted;
    state = &s;
    complete = [](operation* self) noexcept {
      ++static_cast<poll_op*>(self)->completed;
      return true;
    };
  }
  int completed = 0;
};

struct reactor_test {
  reactor_test() {
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    state = table.get(ends[0]);
    REQUIRE(state != nullptr);
  }
  ~reactor_test() {
    for (const int fd : ends)
      if (fd >= 0) ::close(fd);
  }
  void send_byte() { REQUIRE(::write(ends[1], "x", 1) == 1); }
  // Until `op` has completed, or 20 s.
  void wait_for(const poll_op& op) {
    const stopwatch time;
    while (op.completed == 0 && time.elapsed() < patience) io->wait(monotonic_now() + 50'000'000);
  }

  coir::reactor::fd_table table{0};
  std::unique_ptr<coir::reactor::reactor> io = coir::reactor::make_reactor(table);
  int ends[2] = {-1, -1};
  fd_state* state;
};

}  // namespace

TEST_CASE_METHOD(reactor_test, "reactor: COIR_REACTOR chooses it") {
  const char* wanted = std::getenv("COIR_REACTOR");
  if (wanted != nullptr) CHECK(io->name() == std::string(wanted));
  on_thread([&] {
    CHECK(coir::inspect::reactor_name() == std::string("none"));
    open_reactor();
    CHECK(coir::inspect::reactor_name() == std::string(io->name()));
  });
}

TEST_CASE_METHOD(reactor_test,
                 "reactor: an operation completes when its descriptor becomes ready, not before") {
  poll_op op(ends[0], *state, EPOLLIN);
  REQUIRE(io->start(op) == 0);
  CHECK(io->pending() == 1);
  CHECK(io->busy());
  io->wait(0);
  CHECK(op.completed == 0);
  send_byte();
  wait_for(op);
  CHECK(op.completed == 1);
  CHECK(op.done);
  CHECK((op.result & EPOLLIN) != 0);
  CHECK(io->pending() == 0);
}

TEST_CASE_METHOD(reactor_test, "reactor: what is ready already completes as well") {
  send_byte();
  poll_op reader(ends[0], *state, EPOLLIN), writer(ends[0], *state, EPOLLOUT);
  REQUIRE(io->start(reader) == 0);
  REQUIRE(io->start(writer) == 0);
  wait_for(reader);
  wait_for(writer);
  CHECK(reader.completed == 1);
  CHECK(writer.completed == 1);
}

TEST_CASE_METHOD(reactor_test, "reactor: a hang-up completes a read") {
  poll_op op(ends[0], *state, EPOLLIN);
  REQUIRE(io->start(op) == 0);
  io->wait(0);
  ::close(ends[1]);
  ends[1] = -1;
  wait_for(op);
  CHECK(op.completed == 1);
}

TEST_CASE_METHOD(reactor_test, "reactor: a stopped operation is over, at once or soon") {
  poll_op op(ends[0], *state, EPOLLIN);
  REQUIRE(io->start(op) == 0);
  io->wait(0);
  if (!io->stop(op)) {
    wait_for(op);
    CHECK(op.completed == 1);
    CHECK(op.result == -ECANCELED);
  } else {
    CHECK(op.completed == 0);
  }
  CHECK(op.done);
  CHECK(io->pending() == 0);
  send_byte();
  io->wait(0);
  CHECK(op.completed <= 1);
}

TEST_CASE_METHOD(reactor_test, "reactor: an operation stopped before it was submitted is over too") {
  poll_op op(ends[0], *state, EPOLLIN);
  REQUIRE(io->start(op) == 0);
  if (!io->stop(op)) wait_for(op);
  CHECK(op.done);
  CHECK(io->pending() == 0);
}

TEST_CASE_METHOD(reactor_test, "reactor: forgetting a descriptor ends its waits with EBADF") {
  poll_op reader(ends[0], *state, EPOLLIN), again(ends[0], *state, EPOLLIN);
  REQUIRE(io->start(reader) == 0);
  REQUIRE(io->start(again) == 0);
  io->wait(0);
  io->forget(ends[0], *state, state->generation, true);
  wait_for(reader);
  wait_for(again);
  CHECK(reader.completed == 1);
  CHECK(again.completed == 1);
  CHECK(reader.result == -EBADF);
  CHECK(again.result == -EBADF);
  CHECK(io->pending() == 0);
}

TEST_CASE_METHOD(reactor_test, "reactor: a wait ends at its time, and not before") {
  for (const auto d : {nanoseconds(0), nanoseconds(100us), nanoseconds(3ms), nanoseconds(20ms)}) {
    const auto until = monotonic_now() + d.count();
    // Early returns are allowed; they are told apart by the clock.
    const stopwatch time;
    while (monotonic_now() < until && time.elapsed() < patience) io->wait(until);
    CHECK(monotonic_now() >= until);
    CHECK(time.elapsed() < d + patience);
  }
  const stopwatch time;
  io->wait(monotonic_now() - 1'000'000);
  io->wait(0);
  CHECK(time.elapsed() < patience);
}

TEST_CASE_METHOD(reactor_test, "reactor: wake ends the present or next wait, from any thread") {
  io->wake();
  io->wait(never);
  for (int i = 0; i < 50; ++i) {
    joined_threads other;
    other.start([&] {
      if (i % 2 == 0) std::this_thread::sleep_for(1ms);
      io->wake();
    });
    io->wait(never);
  }
  CHECK(io->pending() == 0);
}

TEST_CASE_METHOD(reactor_test, "reactor: many operations at once all complete") {
  constexpr int count = 2000;
  std::vector<std::unique_ptr<poll_op>> ops;
  for (int i = 0; i < count; ++i) {
    ops.push_back(std::make_unique<poll_op>(ends[0], *state, EPOLLIN));
    REQUIRE(io->start(*ops.back()) == 0);
  }
  CHECK(io->pending() == count);
  send_byte();
  for (const auto& op : ops) {
    wait_for(*op);
    REQUIRE(op->completed == 1);
  }
}

TEST_CASE_METHOD(reactor_test, "reactor: regular files are refused or complete at once") {
  char name[] = "/tmp/coir-reactor-XXXXXX";
  const int file = ::mkstemp(name);
  REQUIRE(file >= 0);
  ::unlink(name);
  poll_op op(file, *table.get(file), EPOLLIN);
  const int error = io->start(op);
  if (error == 0) {
    wait_for(op);
    CHECK(op.completed == 1);
  } else {
    CHECK(error == EPERM);
  }
  ::close(file);
}

TEST_CASE_METHOD(reactor_test, "reactor: a closed descriptor is an error, not an endless wait") {
  const int gone = ::dup(ends[0]);
  REQUIRE(gone >= 0);
  ::close(gone);
  poll_op op(gone, *table.get(gone), EPOLLIN);
  const int error = io->start(op);
  if (error == 0) {
    wait_for(op);
    CHECK(op.completed == 1);
    CHECK(op.result == -EBADF);
  } else {
    CHECK(error == EBADF);
  }
}

TEST_CASE_METHOD(reactor_test, "reactor: a wait for a number that was closed unheard is for its next owner") {
  poll_op first(ends[0], *state, EPOLLIN);
  REQUIRE(io->start(first) == 0);
  send_byte();
  wait_for(first);
  const int number = ends[0];
  coir::base::raw(SYS_close, ends[0]);
  ::close(ends[1]);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  if (ends[0] != number) std::swap(ends[0], ends[1]);
  REQUIRE(ends[0] == number);
  poll_op second(number, *state, EPOLLIN);
  REQUIRE(io->start(second) == 0);
  const stopwatch time;
  send_byte();
  wait_for(second);
  CHECK(second.completed == 1);
  CHECK((second.result & EPOLLIN) != 0);
  CHECK(time.elapsed() < 500ms);
}

TEST_CASE_METHOD(reactor_test, "reactor: what a wait holds is asked once, and ends it if it is wrong") {
  static int asked;
  static bool holds;
  asked = 0;
  const auto wait_on_memory = [&](poll_op& op) {
    op.suspect = true;
    op.holds = [](const operation&) noexcept {
      ++asked;
      return holds;
    };
    REQUIRE(io->start(op) == 0);
  };
  const auto wait_until_asked = [&](const poll_op& op, int times, nanoseconds limit) {
    const stopwatch time;
    while (asked < times && op.completed == 0 && time.elapsed() < limit)
      io->wait(monotonic_now() + 10'000'000);
    return time.elapsed();
  };
  holds = true;
  poll_op first(ends[0], *state, EPOLLIN);
  wait_on_memory(first);
  wait_until_asked(first, 2, 100ms);
  CHECK(asked == 1);
  CHECK(first.completed == 0);
  send_byte();
  wait_for(first);
  char byte;
  REQUIRE(::read(ends[0], &byte, 1) == 1);

  // Of a number that has held it is asked later.
  holds = false;
  poll_op second(ends[0], *state, EPOLLIN);
  wait_on_memory(second);
  CHECK(wait_until_asked(second, 2, patience) >= 400ms);
  wait_for(second);
  CHECK(asked == 2);
  CHECK(second.completed == 1);
  CHECK(second.result == -ESTALE);
}
