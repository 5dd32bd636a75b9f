#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <coir/coir.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/throwing_move.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
using coir::after;
using coir::on_done;
using coir::on_pop;
using coir::on_push;
using coir::on_readable;
using coir::on_set;
using coir::on_writable;
using coir::otherwise;
using coir::select;
namespace this_fiber = coir::this_fiber;

namespace {

struct pipe_ends {
  int in = -1, out = -1;
  pipe_ends() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    in = ends[0];
    out = ends[1];
  }
  ~pipe_ends() {
    ::close(in);
    ::close(out);
  }
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "select: makes the case happen that is possible, and runs its handler only") {
  coir::queue<int> a, b;
  b.push(7);
  std::string ran;
  const std::size_t index = select(on_pop(a, [&](std::optional<int>) { ran += 'a'; }),
                                   on_pop(b, [&](std::optional<int> item) { ran += std::to_string(*item); }),
                                   after(1s, [&] { ran += 't'; }));
  CHECK(index == 1);
  CHECK(ran == "7");
  CHECK(b.empty());
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "select: waits for the first of all kinds of things") {
  coir::channel<int> to_pop, to_push;
  coir::queue<int> empty, full(1);
  coir::lifo_queue<int> lifo;
  coir::priority_queue<int> priority;
  coir::event event;
  coir::promise<int> promise;
  coir::event end;
  auto task = coir::spawn([&] { end.wait(); });
  const pipe_ends pipe;
  full.push(0);
  const std::vector<std::function<void()>> happenings = {
      [&] { to_pop.push(1); },
      [&] { to_push.pop(); },
      [&] { empty.push(2); },
      [&] { full.pop(); },
      [&] { lifo.push(3); },
      [&] { priority.push(4); },
      [&] { event.set(); },
      [&] { end.set(); },
      [&] { promise.set_value(5); },
      [&] { io().make_ready_at(0, pipe.in, EPOLLIN); },
      [] {},
  };
  const auto choose = [&] {
    return select(on_pop(to_pop), on_push(to_push, 1), on_pop(empty), on_push(full, 1), on_pop(lifo),
                  on_pop(priority), on_set(event), on_done(task), on_done(promise.get_future()),
                  on_readable(pipe.in), after(1h));
  };
  const std::size_t kind = GENERATE(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  auto other = coir::spawn([&] {
    this_fiber::sleep_for(1ms);
    happenings[kind]();
  });
  const std::size_t index = choose();
  CHECK(index == kind);
  CHECK(elapsed() == (kind == 10 ? nanoseconds(1h) : nanoseconds(1ms)));
  other.join();
  end.set();
  task.join();
  CHECK(empty.empty());
  CHECK(full.size() == 1);
  CHECK_FALSE(to_pop.try_push(1));
}

TEST_CASE_METHOD(virtual_time, "select: handlers get what there is to get") {
  coir::queue<int> q(1);
  coir::channel<int> closed;
  closed.close();
  std::string got;
  select(on_push(q, 4, [&](bool pushed) { got += pushed ? "pushed " : "?"; }));
  select(on_pop(q, [&](std::optional<int> item) { got += std::to_string(*item) + ' '; }));
  select(on_pop(closed, [&](std::optional<int> item) { got += item ? "?" : "empty "; }));
  select(on_push(closed, 4, [&](bool pushed) { got += pushed ? "?" : "refused "; }));
  auto f = coir::spawn([] { return 5; });
  select(on_done(f, [&](const coir::fiber<int>& done) { got += std::to_string(done.get()) + ' '; }));
  select(on_done(f, [&] { got += "done "; }));
  coir::promise<int> p;
  p.set_value(6);
  select(on_done(p.get_future(), [&](const coir::future<int>& done) { got += std::to_string(done.get()); }));
  CHECK(got == "pushed 4 empty refused 5 done 6");
}

TEST_CASE_METHOD(virtual_time, "select: otherwise is what is left when nothing is possible at once") {
  coir::queue<int> q;
  bool nothing = false;
  CHECK(select(on_pop(q), otherwise([&] { nothing = true; })) == 1);
  CHECK(nothing);
  q.push(1);
  for (int i = 0; i < 20; ++i) {
    CHECK(select(otherwise(), on_pop(q)) == 1);
    q.push(1);
  }
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "select: the first deadline counts, and a past one is possible at once") {
  CHECK(select(after(3ms), after(2ms), coir::at(time_source::now() + 5ms)) == 1);
  CHECK(elapsed() == 2ms);
  CHECK(select(after(3ms), coir::at(time_source::now() - 5ms)) == 1);
  CHECK(select(after(0ms), after(1ms)) == 0);
  CHECK(elapsed() == 2ms);
  CHECK(throws<std::invalid_argument>([] { after(-1ms); }));
}

TEST_CASE_METHOD(virtual_time, "select: a case that lost takes neither an item nor a place in a line") {
  coir::queue<int> a, b;
  coir::channel<int> c;
  auto chooser = coir::spawn([&] { return select(on_pop(a), on_pop(b), on_push(c, 1)); });
  settle();
  a.push(1);
  b.push(2);
  const std::optional<int> from_c = c.try_pop();
  const std::size_t index = chooser.get();
  CHECK(index == 0);
  CHECK_FALSE(from_c);
  CHECK(a.empty());
  CHECK(b.size() == 1);
  auto popper = coir::spawn([&] { return c.pop(); });
  settle();
  CHECK(c.try_push(5));
  const std::optional<int> item = popper.get();
  CHECK(item == 5);
}

TEST_CASE_METHOD(virtual_time, "select: an item given by reference stays as it was unless it is pushed") {
  coir::queue<std::unique_ptr<int>> q(1);
  auto item = std::make_unique<int>(1);
  q.push(nullptr);
  CHECK(select(on_push(q, std::ref(item)), after(1ms)) == 1);
  CHECK(item != nullptr);
  q.pop();
  CHECK(select(on_push(q, std::ref(item)), after(1ms)) == 0);
  CHECK(item == nullptr);
}

TEST_CASE_METHOD(virtual_time,
                 "select: that pushes to and pops from one channel does not meet itself, but another") {
  coir::channel<int> c;
  CHECK(select(on_push(c, 1), on_pop(c), after(1ms)) == 2);
  std::optional<int> got[2];
  std::size_t happened[2];
  std::vector<coir::fiber<void>> fibers;
  for (const std::size_t i : {0U, 1U})
    fibers.push_back(coir::spawn([&, i] {
      happened[i] = select(on_push(c, static_cast<int>(i)),
                           on_pop(c, [&, i](std::optional<int> item) { got[i] = item; }));
    }));
  coir::wait_all(fibers);
  CHECK(happened[0] + happened[1] == 1);
  const std::size_t popper = happened[0] == 1 ? 0 : 1;
  CHECK(got[popper] == static_cast<int>(1 - popper));
  CHECK(elapsed() == 1ms);
}

TEST_CASE_METHOD(virtual_time, "select: of several that are possible none is always the first") {
  constexpr int rounds = 4000;
  coir::queue<int> a, b, c, d;
  for (int i = 0; i < rounds; ++i)
    for (auto* q : {&a, &b, &c, &d}) q->push(i);
  int chosen[4] = {};
  for (int i = 0; i < rounds; ++i) ++chosen[select(on_pop(a), on_pop(b), on_pop(c), on_pop(d))];
  for (const int times : chosen) CHECK(times > rounds / 8);
  int pair[2] = {};  // neighbours among eight
  coir::queue<int> none;
  for (int i = 0; i < rounds; ++i) {
    const std::size_t index = select(on_pop(none), on_pop(none), on_push(a, 1), on_push(b, 1), on_pop(none),
                                     on_pop(none), on_pop(none), on_pop(none));
    ++pair[index - 2];
  }
  for (const int times : pair) CHECK(times > rounds / 3);
}

TEST_CASE_METHOD(virtual_time, "select: a cancelled one swallows nothing") {
  coir::channel<int> c;
  coir::queue<int> q, full(1);
  coir::priority_queue<int> p;
  full.push(0);
  std::optional<int> got;
  auto doomed = coir::spawn(
      [&] { select(on_pop(q), on_pop(p), on_pop(c), on_push(full, 9), on_push(c, 9), after(1h)); });
  auto next = coir::spawn([&] { select(on_pop(q, [&](std::optional<int> item) { got = item; })); });
  settle();
  doomed.cancel();
  q.push(1);
  p.push(2);
  CHECK_FALSE(c.try_push(3));
  CHECK_FALSE(c.try_pop());
  next.join();
  doomed.join();
  CHECK_FALSE(doomed.successful());
  CHECK(got == 1);
  CHECK(p.size() == 1);
  const std::optional<int> first = full.pop(), second = full.try_pop();
  CHECK(first == 0);
  CHECK_FALSE(second);
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "select: what happened is not undone by a cancellation that comes later") {
  coir::queue<int> q;
  std::optional<int> got;
  auto f = coir::spawn([&] { select(on_pop(q, [&](std::optional<int> item) { got = item; }), after(1h)); });
  settle();
  q.push(1);
  f.cancel();
  f.join();
  CHECK(got == 1);
}

TEST_CASE_METHOD(virtual_time, "select: a timeout around it ends it") {
  coir::queue<int> q;
  const bool in_time = coir::with_timeout(1ms, [&] { select(on_pop(q), after(2ms)); });
  CHECK_FALSE(in_time);
  q.push(1);
  CHECK(q.try_pop() == 1);
}

TEST_CASE_METHOD(virtual_time, "select: close wakes it, be it to push or to pop") {
  coir::queue<int> empty, full(1);
  full.push(0);
  std::string got;
  auto popper =
      coir::spawn([&] { select(on_pop(empty, [&](auto item) { got += item ? '?' : 'p'; }), after(1h)); });
  auto pusher =
      coir::spawn([&] { select(on_push(full, 1, [&](bool done) { got += done ? '?' : 'q'; }), after(1h)); });
  settle();
  empty.close();
  full.close();
  coir::wait_all(popper, pusher);
  CHECK(got == "pq");
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "select: one thing may stand in several cases") {
  coir::event e;
  coir::queue<int> q;
  auto chooser = coir::spawn([&] { return select(on_set(e), on_pop(q), on_set(e), on_pop(q)); });
  settle();
  q.push(1);
  const std::size_t index = chooser.get();
  CHECK(index == 1);
  e.set();
  CHECK(q.empty());
}

TEST_CASE_METHOD(virtual_time, "select: a handler may wait, select and throw") {
  coir::queue<int> q;
  q.push(1);
  q.push(2);
  int sum = 0;
  select(on_pop(q, [&](std::optional<int> first) {
    this_fiber::sleep_for(1ms);
    select(on_pop(q, [&](std::optional<int> second) { sum = *first + *second; }));
  }));
  CHECK(sum == 3);
  CHECK(throws<std::runtime_error>([] { select(after(1ms, [] { throw std::runtime_error("handler"); })); }));
}

TEST_CASE_METHOD(virtual_time,
                 "select: a move that throws on the way loses neither the item nor the select") {
  coir::channel<throwing_move> c;
  auto chooser = coir::spawn([&] {
    int value = -1;
    select(on_pop(c, [&](auto item) { value = item->value; }), after(1h));
    return value;
  });
  settle();
  throwing_move item(1);
  throwing_move::armed = true;
  CHECK(throws<std::runtime_error>([&] { c.try_push(std::move(item)); }));
  settle();
  CHECK(c.try_push(std::move(item)));
  const int value = chooser.get();
  CHECK(value == 1);
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time,
                 "select: waits in a destructor while the stack unwinds, and is not interrupted") {
  coir::event e;
  bool waited = false;
  struct waits {
    coir::event& e;
    bool& waited;
    ~waits() {
      select(on_set(e));
      waited = true;
    }
  };
  auto f = coir::spawn([&] {
    const waits last{e, waited};
    this_fiber::sleep_for(1h);
  });
  settle();
  f.cancel();
  settle();
  CHECK_FALSE(waited);
  e.set();
  f.join();
  CHECK(waited);
}

TEST_CASE_METHOD(virtual_time, "select: descriptors that are ready are found without waiting") {
  const pipe_ends pipe;
  CHECK(select(on_readable(pipe.in), on_writable(pipe.out)) == 1);
  CHECK(::write(pipe.out, "x", 1) == 1);
  CHECK(select(on_readable(pipe.in), after(1h)) == 0);
  CHECK(elapsed() == 0ms);
}

TEST_CASE_METHOD(virtual_time, "select: a descriptor that lost is no longer watched") {
  const pipe_ends pipe;
  coir::event e;
  auto setter = coir::spawn([&] { e.set(); });
  const std::size_t index = select(on_readable(pipe.in), on_set(e));
  CHECK(index == 1);
  auto* state = scheduler().fds().find(pipe.in);
  REQUIRE(state != nullptr);
  CHECK(state->operations.empty());
  setter.join();
}

TEST_CASE_METHOD(virtual_time, "select: what is no descriptor is refused by number") {
  const std::string negative = thrown_text<std::invalid_argument>([] { on_readable(-3); });
  INFO(negative);
  CHECK(contains(negative, "fd=-3"));
  const int unused = ::dup(2);
  ::close(unused);
  const std::string closed = thrown_text<std::system_error>([&] { select(after(1h), on_writable(unused)); });
  INFO(closed);
  CHECK(contains(closed, "on_writable(fd=" + std::to_string(unused) + ")"));
}

TEST_CASE_METHOD(virtual_time, "select: handles of nothing are refused") {
  CHECK(throws<std::logic_error>([] { on_done(coir::fiber<int>()); }));
  CHECK(throws<std::future_error>([] { on_done(coir::future<int>()); }));
}
