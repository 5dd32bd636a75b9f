#include "reactor/manual.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/virtual_time.hpp"
#include "wait/waiter.hpp"

namespace {

using coir::base::never;
using coir::reactor::fd_state;
using coir::reactor::manual;
using coir::reactor::op_kind;
using coir::reactor::operation;

constexpr int some_fd = 100;  // a number only

struct poll_op : operation {
  explicit poll_op(fd_state& s, std::uint32_t wanted = EPOLLIN, int number = some_fd) {
    fd = number;
    events = wanted;
    state = &s;
    complete = [](operation* self) noexcept {
      ++static_cast<poll_op*>(self)->completed;
      return static_cast<poll_op*>(self)->takes;
    };
  }
  int completed = 0;
  bool takes = true;
};

}  // namespace

TEST_CASE("manual reactor: waiting lets time pass, and never goes back") {
  manual io(500);
  CHECK(*io.clock() == 500);
  CHECK_FALSE(io.wait(2000));
  CHECK(io.now() == 2000);
  io.wait(1000);
  io.wait(0);
  CHECK(io.now() == 2000);
  io.wait(never);
  CHECK(io.now() == 2000);
  io.advance(5);
  CHECK(io.now() == 2005);
}

TEST_CASE("manual reactor: an operation completes at the scripted moment") {
  manual io;
  fd_state state;
  poll_op op(state);
  io.make_ready_at(1000, some_fd, EPOLLIN | EPOLLOUT);
  REQUIRE(io.start(op) == 0);
  CHECK(op.started);
  io.wait(999);
  CHECK(op.completed == 0);
  CHECK(io.now() == 999);
  io.wait(5000);
  CHECK(op.completed == 1);
  CHECK(op.done);
  CHECK(op.result == EPOLLIN);
  CHECK(io.now() == 1000);
  CHECK(state.operations.empty());
}

TEST_CASE("manual reactor: nothing completes inside start") {
  manual io;
  fd_state state;
  poll_op op(state);
  io.make_ready_at(0, some_fd, EPOLLIN);
  REQUIRE(io.start(op) == 0);
  CHECK(op.completed == 0);
  io.wait(0);
  CHECK(op.completed == 1);
}

TEST_CASE("manual reactor: readiness without an operation is kept for the next one") {
  manual io;
  fd_state state;
  io.make_ready_at(10, some_fd, EPOLLIN);
  io.wait(20);
  poll_op other(state, EPOLLOUT), op(state);
  REQUIRE(io.start(other) == 0);
  REQUIRE(io.start(op) == 0);
  io.wait(0);
  CHECK(other.completed == 0);
  CHECK(op.completed == 1);
  poll_op next(state);
  REQUIRE(io.start(next) == 0);
  io.wait(30);
  CHECK(next.completed == 0);  // it was taken
  CHECK(io.stop(next));
  CHECK(io.stop(other));
}

TEST_CASE("manual reactor: counts as pending what the script can complete") {
  manual io;
  fd_state state;
  poll_op reader(state), writer(state, EPOLLOUT);
  REQUIRE(io.start(reader) == 0);
  REQUIRE(io.start(writer) == 0);
  CHECK(io.pending() == 0);
  io.make_ready_at(100, some_fd, EPOLLIN);
  CHECK(io.pending() == 1);
  io.make_ready_at(200, some_fd + 1, EPOLLOUT);
  CHECK(io.pending() == 1);
  io.wait(never);
  CHECK(reader.completed == 1);
  CHECK(io.pending() == 0);
  CHECK(io.stop(writer));
  CHECK(io.pending() == 0);
}

TEST_CASE("manual reactor: a hang-up ends waits in both directions") {
  manual io;
  fd_state state;
  poll_op reader(state), writer(state, EPOLLOUT);
  REQUIRE(io.start(reader) == 0);
  REQUIRE(io.start(writer) == 0);
  io.make_ready_at(5, some_fd, EPOLLHUP);
  io.wait(never);
  CHECK(reader.result == EPOLLIN);
  CHECK(writer.result == EPOLLOUT);
}

TEST_CASE(
    "manual reactor: an event wakes one exclusive operation, and another if that one was over already") {
  manual io;
  fd_state state;
  poll_op first(state), second(state), third(state);
  first.takes = false;
  for (poll_op* op : {&first, &second, &third}) {
    op->exclusive = true;
    REQUIRE(io.start(*op) == 0);
  }
  io.make_ready_at(1, some_fd, EPOLLIN);
  io.wait(never);
  CHECK(first.completed == 1);
  CHECK(second.completed == 1);
  CHECK(third.completed == 0);
  CHECK(io.stop(third));
}

TEST_CASE("manual reactor: a stopped operation does not complete") {
  manual io;
  fd_state state;
  poll_op op(state);
  io.make_ready_at(10, some_fd, EPOLLIN);
  REQUIRE(io.start(op) == 0);
  CHECK(io.stop(op));
  CHECK(op.done);
  CHECK(io.pending() == 0);
  io.wait(20);
  CHECK(op.completed == 0);
  CHECK(op.result == -ECANCELED);
}

TEST_CASE("manual reactor: forgetting a descriptor ends its operations and its script") {
  manual io;
  fd_state state, other_state;
  poll_op op(state), other(other_state, EPOLLIN, some_fd + 1);
  io.make_ready_at(10, some_fd, EPOLLIN);
  io.make_ready_at(10, some_fd + 1, EPOLLIN);
  REQUIRE(io.start(op) == 0);
  REQUIRE(io.start(other) == 0);
  io.forget(some_fd, state, state.generation, true);
  CHECK(op.completed == 1);
  CHECK(op.closed);
  CHECK(op.result == -EBADF);
  fd_state next_owner;
  poll_op next(next_owner);
  REQUIRE(io.start(next) == 0);
  io.wait(50);
  CHECK(other.completed == 1);
  CHECK(next.completed == 0);
  CHECK(io.stop(next));
}

TEST_CASE("manual reactor: forgetting one owner of a number leaves the next one's operations") {
  manual io;
  fd_state state;
  poll_op old(state), fresh(state);
  REQUIRE(io.start(old) == 0);
  state.generation = 1;
  REQUIRE(io.start(fresh) == 0);
  io.forget(some_fd, state, 0, false);
  CHECK(old.completed == 1);
  CHECK(fresh.completed == 0);
  CHECK(io.stop(fresh));
}

TEST_CASE("manual reactor: a nudge wakes one more exclusive operation") {
  manual io;
  fd_state state;
  poll_op first(state), second(state), third(state);
  for (poll_op* op : {&first, &second, &third}) {
    op->exclusive = true;
    REQUIRE(io.start(*op) == 0);
  }
  io.make_ready_at(1, some_fd, EPOLLIN);
  io.wait(never);
  io.nudge(state, EPOLLOUT);
  CHECK(second.completed == 0);
  io.nudge(state, EPOLLIN);
  CHECK(second.completed == 1);
  CHECK(third.completed == 0);
  CHECK(io.stop(third));
  io.nudge(state, EPOLLIN);
}

TEST_CASE("manual reactor: has no other kind of operation than poll") {
  manual io;
  fd_state state;
  poll_op op(state);
  op.kind = GENERATE(op_kind::recv, op_kind::recvmsg, op_kind::read, op_kind::write, op_kind::accept,
                     op_kind::connect);
  CHECK(io.start(op) == EOPNOTSUPP);
  CHECK_FALSE(op.started);
  CHECK_FALSE(io.completes_io());
  CHECK(std::string(io.name()) == "manual");
}

TEST_CASE("manual reactor: wake ends a wait before its time") {
  manual io;
  io.wake();
  io.wait(1000);
  CHECK(io.now() == 0);
  io.wait(1000);
  CHECK(io.now() == 1000);
}

TEST_CASE_METHOD(unit::virtual_time, "manual reactor: a scheduler's fiber waits for scripted readiness") {
  struct io_wait : poll_op {
    using poll_op::poll_op;
    coir::wait::waiter* waiter = nullptr;
  };
  fd_state state;
  io_wait op(state);
  coir::wait::waiter w;
  op.waiter = &w;
  op.complete = [](operation* self) noexcept {
    auto* waiter = static_cast<io_wait*>(self)->waiter;
    if (!waiter->claim(coir::wait::outcome::notified)) return false;
    waiter->wake();
    return true;
  };
  REQUIRE(io().start(op) == 0);
  io().make_ready_at(*io().clock() + 7'000, some_fd, EPOLLIN);
  const auto result = coir::wait::park(w, "poll");
  CHECK(result == coir::wait::outcome::notified);
  CHECK(elapsed() == unit::nanoseconds(7'000));
}
