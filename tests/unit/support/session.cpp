// Runs the tests of one program, and checks for leaks: after each test no fiber, descriptor or mapping may be
// left.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <coir/inspect.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

#include "context/stack.hpp"
#include "support/process.hpp"
#include "support/sanitized.hpp"
#include "support/session.hpp"

namespace {

// Malloc grows and keeps: a few mappings are no leak. A slab of stacks is one, and with mprotect guards each
// of its stacks adds two; both are kept for later fibers.
// glibc keeps five thread stacks of two mappings each for later threads.
constexpr std::size_t mappings_allowed = 8 + 10;
// An idle helper of coir's, which ends after some seconds: its stack, its guard, and what malloc keeps for
// it.
constexpr std::size_t mappings_of_helper = 4;

// A sanitizer maps memory of its own for every fiber and thread.
#ifdef UNIT_SANITIZED
constexpr bool mappings_tell = false;
#else
constexpr bool mappings_tell = true;
#endif

struct resources {
  std::size_t fibers = coir::inspect::fiber_count();
  std::size_t descriptors = unit::open_descriptors();
  std::size_t mappings = unit::mappings();
  std::size_t stacks = coir::context::stacks_carved();
  std::size_t threads = unit::threads();
};

int leaks = 0;

class leak_check : public unit::listener_base {
 public:
  using unit::listener_base::listener_base;

  void testCaseStarting(const Catch::TestCaseInfo& test) override {
    test_ = test.name;
    before_ = resources();
  }

  void testCaseEnded(const Catch::TestCaseStats&) override {
    const resources after;
    if (after.fibers != before_.fibers) report("fibers", before_.fibers, after.fibers);
    if (after.descriptors != before_.descriptors)
      report("descriptors", before_.descriptors, after.descriptors);
    if (mappings_tell &&
        after.mappings >
            before_.mappings + mappings_allowed + 2 * (after.stacks - before_.stacks) +
                mappings_of_helper * (std::max(after.threads, before_.threads) - before_.threads))
      report("mappings", before_.mappings, after.mappings);
  }

 private:
  void report(const char* what, std::size_t before, std::size_t after) {
    ++leaks;
    std::cerr << "LEAK: \"" << test_ << "\" began with " << before << " " << what << " and left " << after
              << "\n";
  }

  std::string test_;
  resources before_;
};

}  // namespace

CATCH_REGISTER_LISTENER(leak_check)

int unit::run_session(int argc, char** argv) {
  // A test of closed pipes must see EPIPE.
  std::signal(SIGPIPE, SIG_IGN);
  const int failed = Catch::Session().run(argc, argv);
  return failed != 0 ? failed : leaks;
}
