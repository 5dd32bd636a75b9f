// What spawn takes, and what a handle gives back.
#include <coir/coir.hpp>

#include <array>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/counted.hpp"
#include "support/process.hpp"
#include "support/virtual_time.hpp"

using namespace unit;
namespace this_fiber = coir::this_fiber;

namespace {

int global = 5;

struct adder {
  int base;
  int plus(int n) const { return base + n; }
};

int twice(int n) {
  return 2 * n;
}

}  // namespace

TEST_CASE_METHOD(virtual_time, "spawn: takes whatever std::invoke takes") {
  auto from_function = coir::spawn(twice, 21);
  auto from_pointer = coir::spawn(&twice, 4);
  auto from_member = coir::spawn(&adder::plus, adder{40}, 2);
  auto from_std_function = coir::spawn(std::function<int()>([] { return 8; }));
  auto from_bind = coir::spawn(std::bind(twice, 3));
  const int a = from_function.get(), b = from_pointer.get(), c = from_member.get(),
            d = from_std_function.get(), e = from_bind.get();
  CHECK(a == 42);
  CHECK(b == 8);
  CHECK(c == 42);
  CHECK(d == 8);
  CHECK(e == 6);
}

TEST_CASE_METHOD(virtual_time, "spawn: the fiber has its own copies of the arguments") {
  std::string text = "before";
  auto f = coir::spawn([](std::string s) { return s; }, text);
  text = "after";
  const std::string seen = f.get();
  CHECK(seen == "before");
}

TEST_CASE_METHOD(virtual_time, "spawn: std::ref passes a reference") {
  std::string text = "a";
  coir::spawn([](std::string& s) { s += "b"; }, std::ref(text)).join();
  CHECK(text == "ab");
}

TEST_CASE_METHOD(virtual_time, "spawn: moves what can only be moved, in and out") {
  auto f = coir::spawn([](std::unique_ptr<int> p) { return std::make_unique<int>(*p + 1); },
                       std::make_unique<int>(1));
  const std::unique_ptr<int> result = std::move(f).get();
  REQUIRE(result != nullptr);
  CHECK(*result == 2);
  auto g = coir::spawn([p = std::make_unique<int>(3)]() mutable { return std::move(p); });
  const std::unique_ptr<int>& kept = g.get();
  CHECK(*kept == 3);
  CHECK(g.get().get() == kept.get());
}

TEST_CASE_METHOD(virtual_time, "spawn: a reference stays the same object") {
  auto f = coir::spawn([]() -> int& { return global; });
  int& seen = f.get();
  CHECK(&seen == &global);
  const auto g = coir::spawn([]() -> const int& { return global; });
  const int& again = g.get();
  CHECK(&again == &global);
}

TEST_CASE_METHOD(virtual_time, "spawn: void functions give nothing but their end") {
  auto f = coir::spawn([] {});
  static_assert(std::is_void_v<decltype(f.get())>);
  f.get();
  CHECK(f.successful());
}

TEST_CASE_METHOD(virtual_time, "spawn: a callable larger than a stack's top is kept elsewhere") {
  std::array<char, 100'000> large;
  large.fill('x');
  auto f = coir::spawn([large] { return std::string(large.begin(), large.end()); });
  const std::string text = f.get();
  CHECK(text == std::string(100'000, 'x'));
  auto g = coir::spawn([](const std::array<char, 100'000>& a) { return a[99'999]; }, large);
  const char last = g.get();
  CHECK(last == 'x');
}

TEST_CASE_METHOD(virtual_time, "spawn: results up to half the limit live on the stack") {
  using big = std::array<std::uint64_t, 250>;
  auto f = coir::spawn([] {
    big b;
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = i;
    return b;
  });
  const big& result = f.get();
  bool right = true;
  for (std::size_t i = 0; i < result.size(); ++i) right &= result[i] == i;
  CHECK(right);
}

TEST_CASE_METHOD(virtual_time, "spawn: aligned results and callables are aligned") {
  struct alignas(64) aligned {
    int value;
  };
  auto f = coir::spawn(
      [a = aligned{7}] { return aligned{reinterpret_cast<std::uintptr_t>(&a) % 64 == 0 ? a.value : -1}; });
  const aligned& result = f.get();
  CHECK(result.value == 7);
  CHECK(reinterpret_cast<std::uintptr_t>(&result) % 64 == 0);
}

TEST_CASE_METHOD(virtual_time, "spawn: fibers of very different payloads use the same stacks in turn") {
  for (int round = 0; round < 3; ++round) {
    coir::spawn([] {}).join();
    coir::spawn([a = std::array<char, 3000>{}] { return a[7]; }).join();
    coir::spawn([a = std::array<char, 500>{}] { return a; }).join();
  }
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time,
                 "spawn: the callable is destroyed when it has run, the result with the last handle") {
  counted::instances = 0;
  {
    auto f = coir::spawn([c = counted()] { return counted(); });
    CHECK(counted::instances == 1);
    f.join();
    CHECK(counted::instances == 1);  // the result
    auto copy = f;
    f = {};
    CHECK(counted::instances == 1);
  }
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "spawn: the result of a detached fiber is destroyed when it ends") {
  counted::instances = 0;
  coir::spawn([] { return counted(); });
  settle();
  CHECK(counted::instances == 0);
}

TEST_CASE_METHOD(virtual_time, "spawn: a callable whose copy throws leaves no fiber") {
  struct throws_on_copy {
    throws_on_copy() = default;
    throws_on_copy(const throws_on_copy&) { throw std::runtime_error("no copy"); }
    void operator()() const {}
  };
  const throws_on_copy callable;
  CHECK(throws<std::runtime_error>([&] { coir::spawn(callable); }));
  CHECK(coir::inspect::fiber_count() == 0);
  settle();
}

TEST_CASE_METHOD(virtual_time, "attributes: a fiber is named after them, and told so") {
  std::string name = "fetch";
  auto f =
      coir::spawn(coir::attributes{.name = name.c_str()}, [] { return std::string(this_fiber::name()); });
  name = "changed";
  CHECK(f.name() == "fetch");
  const std::string inside = f.get();
  CHECK(inside == "fetch");
  auto nameless = coir::spawn([] { return std::string(this_fiber::name()); });
  CHECK(nameless.name() == "fiber");
  const std::string default_name = nameless.get();
  CHECK(default_name == "fiber");
  CHECK(this_fiber::name() == "main");
}

TEST_CASE_METHOD(virtual_time, "attributes: the stack has the size asked for") {
  const std::size_t size = GENERATE(as<std::size_t>(), 16 * 1024, 64 * 1024, 1024 * 1024, 64 * 1024 * 1024);
  auto f = coir::spawn(coir::attributes{.stack_size = size}, [size] {
    // Uses all but 14 KiB (record, payload, colour, frames).
    volatile char* room = static_cast<volatile char*>(__builtin_alloca(size - 14 * 1024));
    for (std::size_t i = 0; i < size - 14 * 1024; i += 1024) room[i] = 1;
    this_fiber::yield();
    return room[0] == 1;
  });
  const bool used = f.get();
  CHECK(used);
}

TEST_CASE_METHOD(virtual_time,
                 "set_default_stack_size: counts for fibers that ask for no size, from then on") {
  const std::size_t before = coir::default_stack_size();
  const auto uses = [](std::size_t bytes) {
    return [bytes] {
      volatile char* room = static_cast<volatile char*>(__builtin_alloca(bytes));
      for (std::size_t i = 0; i < bytes; i += 1024) room[i] = 1;
      this_fiber::sleep_for(1ms);
      return room[0] == 1;
    };
  };
  coir::set_default_stack_size(1024 * 1024 + 1);
  CHECK(coir::default_stack_size() == 1024 * 1024 + 4096);
  auto large = coir::spawn(uses(1000 * 1024));
  auto named = coir::spawn(coir::attributes{.name = "large"}, uses(1000 * 1024));
  auto own = coir::spawn(coir::attributes{.stack_size = 64 * 1024}, uses(48 * 1024));
  coir::set_default_stack_size(64 * 1024);
  auto small = coir::spawn(uses(48 * 1024));
  coir::gather(large, named, own, small);
  CHECK(large.successful());
  CHECK(small.successful());
  coir::set_default_stack_size(before);
}

TEST_CASE("set_default_stack_size: impossible ones are invalid arguments that name the value") {
  const std::size_t size = GENERATE(as<std::size_t>(), 0, 16 * 1024 - 1, (std::size_t{64} << 30) + 1);
  const std::size_t before = coir::default_stack_size();
  const std::string text = thrown_text<std::invalid_argument>([&] { coir::set_default_stack_size(size); });
  INFO(text);
  CHECK(contains(text, "coir::set_default_stack_size: bytes=" + std::to_string(size)));
  CHECK(coir::default_stack_size() == before);
}

TEST_CASE_METHOD(virtual_time,
                 "attributes: impossible stack sizes are invalid arguments that name the value") {
  const std::size_t size =
      GENERATE(as<std::size_t>(), 1, 16 * 1024 - 1, (std::size_t{64} << 30) + 1, ~std::size_t{0});
  const std::string text = thrown_text<std::invalid_argument>(
      [&] { coir::spawn(coir::attributes{.name = "x", .stack_size = size}, [] {}); });
  INFO(text);
  CHECK(contains(text, "stack_size=" + std::to_string(size)));
  CHECK(coir::inspect::fiber_count() == 0);
}

TEST_CASE_METHOD(virtual_time, "spawn: fibers spawn fibers") {
  const auto tree = [](int depth, const auto& self) -> int {
    if (depth == 0) return 1;
    auto left = coir::spawn([&] { return self(depth - 1, self); });
    auto right = coir::spawn([&] { return self(depth - 1, self); });
    return left.get() + right.get();
  };
  const int leaves = tree(8, tree);
  CHECK(leaves == 256);
}

TEST_CASE_METHOD(virtual_time, "spawn: a result of any size comes back") {
  using large = std::array<int, 5000>;
  auto f = coir::spawn([] {
    auto a = std::make_unique<large>();
    a->fill(7);
    return *a;
  });
  f.join();
  CHECK(f.get()[4999] == 7);
  const auto moved = std::make_unique<large>(std::move(f).get());
  CHECK((*moved)[0] == 7);

  struct counted_block : counted {
    std::array<char, 3000> bytes{};
  };
  const int before = counted::instances;
  auto g = coir::spawn([] { return counted_block(); });
  g.join();
  CHECK(counted::instances == before + 1);
  g = {};
  CHECK(counted::instances == before);
  coir::spawn([] { return counted_block(); }).cancel();  // has no result
  settle();
  CHECK(counted::instances == before);
  struct alignas(128) aligned {
    int value = 3;
  };
  auto h = coir::spawn([] { return aligned(); });
  h.join();
  CHECK(reinterpret_cast<std::uintptr_t>(&h.get()) % 128 == 0);
  auto thrown = coir::spawn([]() -> large { throw 1; });
  CHECK(throws<int>([&] { thrown.get(); }));
}
