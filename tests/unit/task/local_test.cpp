// Objects of a fiber's own.
#include <coir/coir.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

struct noted {
  std::string* log;
  std::string name;
  ~noted() {
    if (log != nullptr) *log += "~" + name + " ";
  }
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "local: each fiber has its own object") {
  coir::local<int> number;
  *number = 1;
  auto a = coir::spawn([&] {
    const int before = *number;
    *number = 2;
    this_fiber::yield();
    return before * 10 + *number;
  });
  auto b = coir::spawn([&] {
    *number = 3;
    this_fiber::yield();
    return *number;
  });
  const int of_a = a.get(), of_b = b.get();
  CHECK(of_a == 2);
  CHECK(of_b == 3);
  CHECK(*number == 1);
}

TEST_CASE_METHOD(virtual_time, "local: the initial function makes each fiber's, when it asks") {
  int made = 0;
  coir::local<std::string> text([&] { return std::to_string(++made); });
  CHECK(text.find() == nullptr);
  auto f = coir::spawn([&] { return *text + *text; });
  const std::string of_fiber = f.get();
  CHECK(of_fiber == "11");
  CHECK(*text == "2");
  CHECK(text->size() == 1);
  CHECK(text.find() == &*text);
  text.reset();
  CHECK(text.find() == nullptr);
  CHECK(*text == "3");
}

TEST_CASE_METHOD(virtual_time,
                 "local: objects go in reverse order when the fiber ends, before joiners wake") {
  std::string log;
  coir::local<noted> a([&] { return noted{&log, "a"}; });
  coir::local<noted> b([&] { return noted{&log, "b"}; });
  coir::local<noted> c([&] { return noted{&log, "c"}; });
  const bool throws_out = GENERATE(false, true);
  auto f = coir::spawn([&] {
    b.get();
    a.get();
    c.get();
    a.reset();
    a.get();
    log += "end ";
    if (throws_out) throw std::runtime_error("out");
  });
  f.on_done([&](const auto& ended) {
    ended.exception();
    log += "done ";
  });
  f.join();
  log += "joined";
  CHECK(log == "~a end ~a ~c ~b done joined");
}

TEST_CASE_METHOD(virtual_time,
                 "local: a destructor may wait, also in a cancelled fiber, and is not interrupted") {
  static nanoseconds slept;
  struct slow {
    virtual_time* world = nullptr;
    ~slow() {
      if (world == nullptr) return;
      const nanoseconds start = world->elapsed();
      this_fiber::sleep_for(5ms);
      slept = world->elapsed() - start;
    }
  };
  slept = {};
  coir::local<slow> l;
  auto f = coir::spawn([&] {
    l->world = this;
    this_fiber::sleep_for(1h);
  });
  settle();
  f.cancel();
  f.join();
  CHECK(slept == 5ms);
  CHECK(throws<coir::cancelled>([&] { f.get(); }));
}

TEST_CASE_METHOD(virtual_time, "local: a fiber cancelled before it began destroys what its arguments made") {
  counted::instances = 0;
  static coir::local<counted>* made;
  struct makes_one {
    bool armed = false;
    makes_one(bool a) : armed(a) {}
    makes_one(makes_one&& other) noexcept : armed(std::exchange(other.armed, false)) {}
    ~makes_one() {
      if (armed) made->get();
    }
  };
  coir::local<counted> l;
  made = &l;
  auto f = coir::spawn([m = makes_one(true)] {});
  f.cancel();
  f.join();
  CHECK(l.find() == nullptr);
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "local: a destructor may use others, and make them") {
  std::string log;
  coir::local<noted> first([&] { return noted{&log, "first"}; });
  struct user {
    coir::local<noted>* other = nullptr;
    ~user() {
      if (other != nullptr) other->get();
    }
  };
  coir::local<user> last;
  coir::spawn([&] { last->other = &first; }).join();
  CHECK(log == "~first ");
}

TEST_CASE_METHOD(virtual_time, "local: one that cannot be made leaves nothing") {
  coir::local<int> broken([]() -> int { throw std::runtime_error("no"); });
  CHECK(throws<std::runtime_error>([&] { broken.get(); }));
  CHECK(broken.find() == nullptr);
}

TEST_CASE_METHOD(virtual_time,
                 "local: destroyed while fibers live, it takes the caller's object along, no more") {
  std::string log;
  auto gone = std::make_unique<coir::local<noted>>([&] { return noted{&log, "?"}; });
  std::optional<coir::local<noted>> next;
  coir::event replaced, end;
  auto f = coir::spawn([&] {
    (*gone)->name = "fiber's";
    replaced.wait();
    const bool fresh = next->find() == nullptr;
    (*next)->name = "new";  // in the old one's place
    end.wait();
    return fresh;
  });
  auto g = coir::spawn([&] {
    (*gone)->name = "other's";
    end.wait();
  });
  (*gone)->name = "main's";
  settle();
  gone.reset();
  CHECK(log == "~main's ");
  next.emplace([&] { return noted{&log, "?"}; });
  CHECK(next->find() == nullptr);
  replaced.set();
  settle();
  CHECK(log == "~main's ~fiber's ");
  end.set();
  g.join();
  const bool fresh = f.get();
  CHECK(fresh);
  CHECK(log == "~main's ~fiber's ~other's ~new ");
}

TEST_CASE_METHOD(virtual_time, "local: thousands of fibers and several locals leave nothing") {
  counted::instances = 0;
  coir::local<counted> a, b, c;
  std::vector<coir::fiber<void>> fibers;
  for (int i = 0; i < 2000; ++i)
    fibers.push_back(coir::spawn([&, i] {
      if (i % 2 == 0) a.get();
      this_fiber::yield();
      if (i % 3 == 0) b.get();
      if (i % 5 == 0) c.get();
    }));
  coir::wait_all(fibers);
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "local: what callbacks and a result's destructor make ends with their fiber") {
  coir::local<int> number;
  coir::inherited<int> seen(0);
  struct touches {
    coir::local<int>* number;
    explicit touches(coir::local<int>* n) : number(n) {}
    touches(touches&& other) noexcept : number(std::exchange(other.number, nullptr)) {}
    ~touches() {
      if (number != nullptr) **number = 2;
    }
  };
  const auto next_sees = [&] { return coir::spawn([&] { return *number + seen.get(); }).get(); };
  *number = 7;
  {
    auto f = coir::spawn([] {});
    f.on_done([&](const auto&) {
      *number = 1;
      seen.set(10);
    });
    f.join();
  }
  CHECK(next_sees() == 0);
  coir::spawn([&] { return touches(&number); });
  this_fiber::yield();
  this_fiber::yield();
  CHECK(next_sees() == 0);
}

TEST_CASE_METHOD(virtual_time, "local: destructors in a cancelled fiber may wait") {
  struct slow {
    int* ended;
    explicit slow(int* e) : ended(e) {}
    ~slow() {
      this_fiber::sleep_for(1ms);
      ++*ended;
    }
  };
  int ended = 0;
  coir::local<std::shared_ptr<slow>> own;
  coir::inherited<std::shared_ptr<slow>> value;
  auto f = coir::spawn([&] {
    *own = std::make_shared<slow>(&ended);
    value.set(std::make_shared<slow>(&ended));
    try {
      this_fiber::sleep_for(1h);
    } catch (const coir::cancelled&) {
      own.reset();
      value.set(std::make_shared<slow>(&ended));
    }
  });
  this_fiber::yield();
  f.cancel();
  f.join();
  CHECK(ended == 3);
}

namespace {

// Made again by its own destructor's end.
struct phoenix {
  static inline coir::local<phoenix>* all = nullptr;
  static inline int destroyed = 0;
  bool rises = false;
  ~phoenix() {
    if (!rises) return;
    ++destroyed;
    (**all).rises = true;
  }
};

}  // namespace

TEST_CASE_METHOD(virtual_time, "local: objects that make each other again are left behind, and told of") {
  coir::local<phoenix> own;
  phoenix::all = &own;
  std::string said;
  {
    const captured_stderr err;
    auto f = coir::spawn(coir::attributes{.name = "phoenix"}, [&] { own->rises = true; });
    f.join();
    said = err.text();
  }
  CHECK(phoenix::destroyed >= 1000);
  CHECK(phoenix::destroyed <= 1'000'000);
  CHECK(contains(said, "coir::local"));
  CHECK(contains(said, "\"phoenix\""));
}
