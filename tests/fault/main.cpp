// Called by Catch2 as a test program, and by itself with --scenario NAME as the process of one scenario.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "reactor/reactor.hpp"
#include "support/child.hpp"
#include "support/session.hpp"

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--scenario") {
    const fault::scenario body = fault::find(argv[2]);
    return body != nullptr ? body() : 97;
  }
  const char* wanted = std::getenv("COIR_REACTOR");
  coir::reactor::fd_table table(0);
  if (wanted != nullptr && std::string(wanted) == "uring" && coir::reactor::make_uring(table) == nullptr) {
    std::puts("skipped: io_uring is missing or forbidden here");
    return 77;
  }
  return unit::run_session(argc, argv);
}
