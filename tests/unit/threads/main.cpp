// Registered once per reactor: exit status 77 (skipped) where io_uring was asked for and may not be had.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "reactor/reactor.hpp"
#include "support/session.hpp"

int main(int argc, char** argv) {
  const char* wanted = std::getenv("COIR_REACTOR");
  coir::reactor::fd_table table(0);
  if (wanted != nullptr && std::string(wanted) == "uring" && coir::reactor::make_uring(table) == nullptr) {
    std::puts("skipped: io_uring is missing or forbidden here");
    return 77;
  }
  return unit::run_session(argc, argv);
}
