#include "context/stack.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "sys/kernel.hpp"

namespace {

using namespace coir::context;

constexpr std::size_t small = 32 * 1024;

// Whether the kernel may read the byte at `address`: write(2) says EFAULT instead of raising a signal.
bool readable(const char* address) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const ssize_t n = ::write(ends[1], address, 1);
  const int error = errno;
  ::close(ends[0]);
  ::close(ends[1]);
  REQUIRE((n == 1 || error == EFAULT));
  return n == 1;
}

bool committed(const char* page) {
  unsigned char resident = 0;
  REQUIRE(::mincore(const_cast<char*>(page), coir::sys::page_size(), &resident) == 0);
  return (resident & 1) != 0;
}

std::string rejection(std::size_t size) {
  try {
    checked_stack_size(size, "attributes.stack_size");
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "accepted";
}

// The rest of the test runs as on a kernel without MADV_GUARD_INSTALL.
struct old_kernel {
  old_kernel() { coir::sys::forbid_light_guards(true); }
  ~old_kernel() { coir::sys::forbid_light_guards(false); }
};

void check_guard(const stack& s) {
  const std::size_t guard = guard_size(s.size);
  CHECK(guard >= 128 * 1024);
  CHECK(readable(s.low));
  CHECK(readable(s.top() - 1));
  CHECK_FALSE(readable(s.low - 1));
  CHECK_FALSE(readable(s.low - guard / 2));
  CHECK_FALSE(readable(s.low - guard));
}

}  // namespace

TEST_CASE("stack sizes: whole pages are kept, others rounded up") {
  const std::size_t page = coir::sys::page_size();
  CHECK(checked_stack_size(smallest_stack_size, "x") == smallest_stack_size);
  CHECK(checked_stack_size(smallest_stack_size + 1, "x") == smallest_stack_size + page);
  CHECK(checked_stack_size(usual_stack_size, "x") == usual_stack_size);
  CHECK(checked_stack_size(largest_stack_size, "x") == largest_stack_size);
}

TEST_CASE("stack sizes: zero, tiny and absurd ones are rejected by name and value") {
  const std::size_t size = GENERATE(std::size_t{0}, std::size_t{1}, smallest_stack_size - 1,
                                    largest_stack_size + 1, ~std::size_t{0});
  const std::string text = rejection(size);
  INFO(text);
  CHECK(unit::contains(text, "attributes.stack_size=" + std::to_string(size)));
  CHECK(unit::contains(text, std::to_string(smallest_stack_size)));
  CHECK(unit::contains(text, std::to_string(largest_stack_size)));
}

TEST_CASE("stack pool: each stack has its size, is aligned, and is guarded below") {
  const std::size_t size = GENERATE(as<std::size_t>(), usual_stack_size, small, smallest_stack_size, 1 << 20);
  stack_pool pool;
  std::vector<stack> stacks;
  for (int i = 0; i < 20; ++i) stacks.push_back(pool.allocate(size));
  for (const stack& s : stacks) {
    CHECK(s.size == size);
    CHECK(reinterpret_cast<std::uintptr_t>(s.low) % coir::sys::page_size() == 0);
    check_guard(s);
  }
  for (const stack& s : stacks) pool.release(s);
}

TEST_CASE("stack pool: guards by mprotect where the kernel has no light ones") {
  const old_kernel mode;
  CHECK_FALSE(coir::sys::has_light_guards());
  const std::size_t size = 48 * 1024;  // of no other test, so that these are carved here
  stack_pool pool;
  std::vector<stack> stacks;
  for (int i = 0; i < 20; ++i) stacks.push_back(pool.allocate(size));
  for (const stack& s : stacks) check_guard(s);
  for (const stack& s : stacks) pool.release(s);
}

#ifndef UNIT_SANITIZED  // whose own mappings grow with the stacks

TEST_CASE("stack pool: light guards add no mappings") {
  if (!coir::sys::has_light_guards()) return;  // a kernel before 6.13: the test above is all there is
  const std::size_t size = 56 * 1024;
  stack_pool pool;
  std::vector<stack> stacks;
  stacks.reserve(2000);
  const std::size_t before = unit::mappings();
  for (int i = 0; i < 2000; ++i) stacks.push_back(pool.allocate(size));
  CHECK(unit::mappings() - before < 40);
  for (const stack& s : stacks) pool.release(s);
}

#endif

TEST_CASE("stack pool: hands out the stack released last") {
  stack_pool pool;
  const stack a = pool.allocate(small), b = pool.allocate(small), c = pool.allocate(small);
  pool.release(a);
  pool.release(c);
  pool.release(b);
  CHECK(pool.allocate(small).low == b.low);
  CHECK(pool.allocate(small).low == c.low);
  CHECK(pool.allocate(small).low == a.low);
  for (const stack& s : {a, b, c}) pool.release(s);
}

TEST_CASE("stack pool: never hands out a stack twice") {
  stack_pool pool;
  std::set<char*> seen;
  std::vector<stack> stacks;
  for (int i = 0; i < 1000; ++i) {
    stacks.push_back(pool.allocate(small));
    CHECK(seen.insert(stacks.back().low).second);
  }
  for (const stack& s : stacks) pool.release(s);
}

TEST_CASE("stack pool: sizes do not mix") {
  stack_pool pool;
  const stack a = pool.allocate(small), b = pool.allocate(2 * small);
  pool.release(a);
  pool.release(b);
  const stack again = pool.allocate(2 * small);
  CHECK(again.low == b.low);
  CHECK(again.size == 2 * small);
  pool.release(again);
}

TEST_CASE("stack pool: what one pool leaves behind the next one uses") {
  const std::size_t size = 72 * 1024;
  std::set<char*> first;
  {
    stack_pool pool;
    std::vector<stack> stacks;
    for (int i = 0; i < 64; ++i) stacks.push_back(pool.allocate(size));
    for (const stack& s : stacks) first.insert(s.low), pool.release(s);
  }
  const std::size_t carved = stacks_carved();
  stack_pool pool;
  std::vector<stack> stacks;
  for (int i = 0; i < 64; ++i) stacks.push_back(pool.allocate(size));
  CHECK(std::all_of(stacks.begin(), stacks.end(), [&](const stack& s) { return first.count(s.low) == 1; }));
  CHECK(stacks_carved() == carved);
  for (const stack& s : stacks) pool.release(s);
}

TEST_CASE("stack pool: returns the memory of stacks long unused, above the watermark only") {
  constexpr std::size_t count = stack_pool::watermark + 100;
  constexpr coir::base::nanoseconds period = stack_pool::period;
  stack_pool pool;
  std::vector<stack> stacks;
  for (std::size_t i = 0; i < count; ++i) {
    stacks.push_back(pool.allocate(usual_stack_size));
    stacks.back().top()[-1] = 'x';
  }
  const auto touched = [&] {
    return std::count_if(stacks.begin(), stacks.end(),
                         [](const stack& s) { return committed(s.top() - coir::sys::page_size()); });
  };
  CHECK_FALSE(pool.wants_tick());
  for (const stack& s : stacks) pool.release(s);
  CHECK(pool.wants_tick());

  pool.tick(10 * period);
  CHECK(touched() ==
        static_cast<std::ptrdiff_t>(count));  // they were in use during the period that ends here
  pool.tick(10 * period + period / 2);
  CHECK(touched() == static_cast<std::ptrdiff_t>(count));  // not yet
  for (int i = 0; i < 4; ++i) pool.tick((11 + i) * period);
  CHECK(touched() <= static_cast<std::ptrdiff_t>(stack_pool::watermark + 16));
  CHECK(touched() >= static_cast<std::ptrdiff_t>(stack_pool::watermark - 16));

  // They are still good, guards included.
  std::vector<stack> again;
  for (std::size_t i = 0; i < count; ++i) again.push_back(pool.allocate(usual_stack_size));
  for (const stack& s : again) {
    s.top()[-1] = 'y';
    REQUIRE_FALSE(readable(s.low - 1));
  }
  for (const stack& s : again) pool.release(s);
}

TEST_CASE("stack pool: has nothing to return once all above the watermark is returned") {
  stack_pool pool;
  std::vector<stack> stacks;
  for (std::size_t i = 0; i < stack_pool::watermark + 100; ++i)
    stacks.push_back(pool.allocate(usual_stack_size));
  for (const stack& s : stacks) pool.release(s);
  for (int i = 1; i < 10; ++i) pool.tick(i * stack_pool::period);
  CHECK_FALSE(pool.wants_tick());  // or an idle thread would wake up every second for ever
}

TEST_CASE("stack pool: neighbouring stacks start on different cache sets") {
  stack_pool pool;
  std::set<std::size_t> colours;
  std::vector<stack> stacks;
  for (int i = 0; i < 256; ++i) {
    stacks.push_back(pool.allocate(usual_stack_size));
    const std::size_t c = colour(stacks.back().low);
    REQUIRE(c % 64 == 0);
    REQUIRE(c < 2048);
    colours.insert(c);
  }
  CHECK(colours.size() == 32);
  for (const stack& s : stacks) pool.release(s);
}
