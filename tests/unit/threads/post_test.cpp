// Calls sent to another thread's fibers.
#include <coir/coir.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/process.hpp"
#include "support/real_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

// A thread whose main fiber waits until the end of the test.
class host {
 public:
  explicit host(bool in_reactor = false) {
    thread_.start([this, in_reactor] {
      if (in_reactor) open_reactor();
      handle_ = coir::this_thread_handle();
      ready_.set();
      end_.wait();
      while (coir::inspect::fiber_count() != 0) this_fiber::sleep_for(100us);
    });
    ready_.wait();
  }
  ~host() { end(); }
  const coir::thread_handle& handle() const { return handle_; }
  void end() {
    end_.set();
    thread_.join();
  }

 private:
  coir::event ready_, end_;
  coir::thread_handle handle_;
  joined_threads thread_;
};

template <class F>
std::error_code code_of(F&& f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

}  // namespace

TEST_CASE("post: a thread that sleeps makes the call in a fiber of its own, and the result comes back") {
  on_thread([] {
    host h(GENERATE(false, true));
    const auto there = coir::post(h.handle(), [] { return std::this_thread::get_id(); }).get();
    CHECK(there != std::this_thread::get_id());
    const std::string name = coir::post(h.handle(), [] { return std::string(this_fiber::name()); }).get();
    CHECK(name == "fiber");
    CHECK(*coir::post(
               h.handle(), [](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(3))
               .get() == 3);
    const std::string text = thrown_text<std::runtime_error>(
        [&] { coir::post(h.handle(), [] { throw std::runtime_error("there"); }).get(); });
    CHECK(text == "there");
  });
}

TEST_CASE("post: the call may wait, and others run meanwhile") {
  on_thread([] {
    host h;
    coir::event go;
    const auto waits = coir::post(h.handle(), [&] { go.wait(); });
    CHECK(coir::post(h.handle(), [] { return 1; }).get() == 1);
    CHECK_FALSE(waits.ready());
    go.set();
    waits.get();
  });
}

TEST_CASE("post: calls of one thread begin in the order of posting") {
  on_thread([] {
    host h;
    std::vector<int> order;
    std::vector<coir::future<void>> all;
    for (int i = 0; i < 1000; ++i) all.push_back(coir::post(h.handle(), [&, i] { order.push_back(i); }));
    for (auto& f : all) f.get();
    for (int i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("post: a thread that never used coir may post, and wait") {
  on_thread([] {
    host h;
    int got = 0;
    std::thread([&] { got = coir::post(h.handle(), [] { return 4; }).get(); }).join();
    CHECK(got == 4);
  });
}

TEST_CASE("post: to the own thread, also when its main fiber only waits") {
  on_thread([] {
    const auto here = coir::this_thread_handle();
    CHECK(here == coir::this_thread_handle());
    CHECK(coir::post(here, [] { return 5; }).get() == 5);
    auto f = coir::spawn([&] { return coir::post(here, [] { return 6; }).get(); });
    const int got = f.get();
    CHECK(got == 6);
  });
}

TEST_CASE("post: to a thread that has ended says so, also when another has taken its place") {
  coir::thread_handle gone;
  on_thread([&] { gone = coir::this_thread_handle(); });
  CHECK(code_of([&] { coir::post(gone, [] {}).get(); }) == std::errc::no_such_process);
  on_thread([&] {
    CHECK_FALSE(coir::this_thread_handle() == gone);
    CHECK(code_of([&] { coir::post(gone, [] {}).get(); }) == std::errc::no_such_process);
  });
  CHECK(throws<std::invalid_argument>([] { coir::post(coir::thread_handle(), [] {}); }));
}

TEST_CASE("post: what a thread does not come to before its end fails, and is destroyed") {
  counted::instances = 0;
  const captured_stderr fibers_left;
  coir::future<void> late, later;
  on_thread([&] {
    const auto here = coir::this_thread_handle();
    if (GENERATE(false, true)) {
      coir::spawn([&, here] {
        this_fiber::yield();
        later = coir::post(here, [c = counted()] {});
        later.on_done([](const auto& f) { f.exception(); });
      });
      this_fiber::yield();
    }
    late = coir::post(here, [c = counted()] {});
  });
  CHECK(code_of([&] { late.get(); }) == std::errc::no_such_process);
  if (later.valid()) CHECK(code_of([&] { later.get(); }) == std::errc::no_such_process);
  CHECK(counted::instances == 0);
}

TEST_CASE("post: none is lost while threads end") {
  std::atomic<int> called{0}, refused{0};
  constexpr int rounds = 100, each = 40;
  const captured_stderr fibers_left;  // by calls that had a fiber, and did not begin
  for (int i = 0; i < rounds; ++i) {
    coir::thread_handle to;
    coir::event ready, end;
    joined_threads threads;
    threads.start([&] {
      to = coir::this_thread_handle();
      ready.set();
      end.wait();
    });
    threads.start([&] {
      ready.wait();
      std::vector<coir::future<void>> all;
      for (int j = 0; j < each; ++j) {
        if (j == i % each) end.set();
        all.push_back(coir::post(to, [&] { ++called; }));
      }
      for (auto& f : all) refused += code_of([&] { f.get(); }) == std::errc::no_such_process;
    });
    threads.join();
  }
  CHECK(called + refused == rounds * each);
  CHECK(refused > 0);
}

TEST_CASE("post: what has not begun can be cancelled") {
  on_thread([] {
    bool called = false;
    const auto f = coir::post(coir::this_thread_handle(), [&] { called = true; });
    CHECK(f.cancel());
    this_fiber::sleep_for(1ms);
    CHECK_FALSE(called);
    CHECK(coir::inspect::fiber_count() == 0);
  });
}

TEST_CASE("post: calls see the poster's inherited values, not those of whom they interrupt") {
  on_thread([] {
    coir::inherited<std::string> value("none");
    const auto here = coir::this_thread_handle();
    coir::future<std::string> with, without;
    without = coir::post(here, [&] { return *value; });
    auto poster = coir::spawn([&] {
      value.set("poster's");
      with = coir::post(here, [&] { return *value; });
    });
    poster.join();
    const auto scope = value.with("receiver's");
    CHECK(with.get() == "poster's");
    CHECK(without.get() == "none");
  });
}

TEST_CASE("post: what a call throws is reported if its future is gone") {
  std::string text;
  {
    const captured_stderr err;
    host h;
    (void)coir::post(h.handle(), [] { throw std::runtime_error("unseen"); });
    coir::post(h.handle(), [] {}).get();
    h.end();
    text = err.text();
  }
  CHECK(contains(text, "coir: a job ended by std::runtime_error: unseen\n"));
}
