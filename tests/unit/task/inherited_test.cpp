// Values that fibers see because their makers did.
#include <coir/coir.hpp>

#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

TEST_CASE_METHOD(virtual_time, "inherited: a fiber sees what its maker saw when it was spawned") {
  coir::inherited<std::string> user("nobody");
  CHECK(*user == "nobody");
  const auto scope = user.with("anne");
  auto early = coir::spawn([&] {
    this_fiber::yield();
    return *user;
  });
  const auto inner = user.with("bert");
  auto late = coir::spawn([&] { return coir::spawn([&] { return *user; }).get(); });
  const std::string of_early = early.get(), of_late = late.get();
  CHECK(of_early == "anne");
  CHECK(of_late == "bert");
  CHECK(*user == "bert");
}

TEST_CASE_METHOD(virtual_time, "inherited: what a fiber sets is its own and its later children's") {
  coir::inherited<int> value(1);
  const auto scope = value.with(2);
  int child = 0;
  auto f = coir::spawn([&] {
    value.set(3);
    child = coir::spawn([&] { return *value; }).get();
    value.set(4);
    return *value;
  });
  const int own = f.get();
  CHECK(own == 4);
  CHECK(child == 3);
  CHECK(*value == 2);
}

TEST_CASE_METHOD(virtual_time,
                 "inherited: a scope gives back what was there, and keeps what else was set in it") {
  coir::inherited<int> a(0), b(0);
  {
    const auto outer = a.with(1);
    {
      const auto inner = a.with(2);
      for (int i = 1; i <= 7; ++i) b.set(i);
      CHECK(*a == 2);
    }
    CHECK(*a == 1);
    CHECK(*b == 7);
  }
  CHECK(*a == 0);
  CHECK(*b == 7);
  for (int sets = 1; sets < 10; ++sets) {  // of which one may find the memory that was the scope's
    {
      const auto scope = a.with(1);
      for (int i = 1; i <= sets; ++i) b.set(i);
    }
    CHECK(*b == sets);
  }
}

TEST_CASE_METHOD(virtual_time, "inherited: a value lives as long as any fiber sees it") {
  counted::instances = 0;
  {
    coir::inherited<std::shared_ptr<counted>> value;
    coir::event end;
    std::vector<coir::fiber<bool>> fibers;
    {
      const auto scope = value.with(std::make_shared<counted>());
      for (int i = 0; i < 3; ++i)
        fibers.push_back(coir::spawn([&] {
          end.wait();
          return *value != nullptr;
        }));
      auto never = coir::spawn([] {});
      never.cancel();
      never.join();
    }
    CHECK(*value == nullptr);
    CHECK(counted::instances == 1);
    end.set();
    for (auto& f : fibers) {
      const bool seen = f.get();
      CHECK(seen);
    }
    CHECK(counted::instances == 0);
    value.set(std::make_shared<counted>());
  }
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "inherited: a spawn that fails keeps nothing of it") {
  struct throws_when_copied {
    throws_when_copied() = default;
    throws_when_copied(const throws_when_copied&) { throw std::runtime_error("copy"); }
    void operator()() const {}
  };
  coir::inherited<std::shared_ptr<int>> value;
  auto held = std::make_shared<int>(1);
  {
    const auto scope = value.with(held);
    const throws_when_copied f;
    CHECK(throws<std::runtime_error>([&] { coir::spawn(f); }));
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE_METHOD(virtual_time, "inherited: destructors of locals still see the values") {
  coir::inherited<int> value(0);
  static int seen;
  struct looks {
    coir::inherited<int>* at = nullptr;
    ~looks() {
      if (at != nullptr) seen = at->get();
    }
  };
  coir::local<looks> l;
  const auto scope = value.with(5);
  coir::spawn([&] { l->at = &value; }).join();
  CHECK(seen == 5);
}
