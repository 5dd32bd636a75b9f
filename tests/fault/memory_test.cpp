// No room for another stack: an error that names the limits, and a process that goes on.
#include <coir/coir.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <coir/coir.hpp>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "catch.hpp"
#include "support/child.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "sys/kernel.hpp"

using unit::contains;

namespace {

// Parks fibers until no more can be had; says how it ended, frees them all, and spawns once more.
int spawn_until_it_fails(const coir::attributes& how, std::size_t most) {
  coir::event go;
  std::vector<coir::fiber<void>> fibers;
  fibers.reserve(most);
  std::string text;
  bool no_memory = false;
  try {
    while (fibers.size() < most) {
      fibers.push_back(coir::spawn(how, [&] { go.wait(); }));
      if (fibers.size() % 1000 == 0) coir::this_fiber::yield();
    }
  } catch (const std::system_error& e) {
    text = e.what();
    no_memory = e.code() == std::errc::not_enough_memory;
  }
  fault::say("error: " + text);
  fault::say(no_memory ? "ENOMEM" : "another code");
  // The error was true: no stack is left.
  std::size_t more = 0;
  try {
    for (; more < 1000; ++more) fibers.push_back(coir::spawn(how, [&] { go.wait(); }));
  } catch (const std::system_error&) {
  }
  fault::say(more == 0 ? "no stack was left" : std::to_string(more) + " stacks were left");
  coir::this_fiber::yield();
  go.set();
  coir::wait_all(fibers);
  fibers.clear();
  coir::spawn(how, [] { fault::say("goes on"); }).join();
  return 0;
}

}  // namespace

COIR_SCENARIO(address_space_limit) {
  const rlimit limit = {1 << 30, 1 << 30};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) return 77;
  return spawn_until_it_fails({}, 100'000);
}
COIR_SCENARIO(address_space_limit_large_stacks) {
  const rlimit limit = {1 << 30, 1 << 30};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) return 77;
  return spawn_until_it_fails({.stack_size = 300 << 20}, 100);
}
COIR_SCENARIO(address_space_limit_in_c) {
  const rlimit limit = {1 << 30, 1 << 30};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) return 77;
  static coir::event go;
  std::vector<coir_fiber*> fibers;
  fibers.reserve(100'000);
  coir_fiber* f = nullptr;
  do {
    errno = 0;
    f = coir_spawn(
        [](void*) -> void* {
          go.wait();
          return nullptr;
        },
        nullptr);
    if (f != nullptr) fibers.push_back(f);
  } while (f != nullptr && fibers.size() < 100'000);
  fault::say(errno == ENOMEM ? "ENOMEM" : "errno " + std::to_string(errno));
  go.set();
  for (coir_fiber* each : fibers) coir_join(each, nullptr);
  return 0;
}
COIR_SCENARIO(mappings_limit) {
  coir::sys::forbid_light_guards(true);
  return spawn_until_it_fails({}, 100'000);
}

#ifndef UNIT_SANITIZED  // they need terabytes of addresses and mappings of their own

TEST_CASE("memory: no address space for a stack is an error that names size and limits") {
  const auto r = fault::run("address_space_limit");
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(contains(r.out, "262144 bytes"));
  CHECK(contains(r.out, "ulimit -v"));
  CHECK(contains(r.out, "stacks exist"));
  CHECK(contains(r.out, "\nENOMEM\n"));
  CHECK(contains(r.out, "goes on\n"));
}

TEST_CASE("memory: the error comes only when no stack is left") {
  const auto r = fault::run("address_space_limit");
  INFO(r.text());
  CHECK(contains(r.out, "no stack was left\n"));
}

TEST_CASE("memory: large stacks that do not fit are the same error") {
  const auto r = fault::run("address_space_limit_large_stacks");
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(contains(r.out, "314572800 bytes"));
  CHECK(contains(r.out, "goes on\n"));
}

TEST_CASE("memory: C sees ENOMEM") {
  const auto r = fault::run("address_space_limit_in_c");
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(r.out == "ENOMEM\n");
}

TEST_CASE("memory: no mappings left for mprotect guards is an error that names the sysctl") {
  const auto r = fault::run("mappings_limit");
  INFO(r.text());
  CHECK(r.exited(0));
  CHECK(contains(r.out, "vm.max_map_count"));
  CHECK(contains(r.out, "\nENOMEM\n"));
  CHECK(contains(r.out, "goes on\n"));
}

#endif
