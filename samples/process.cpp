// Shows: fork and waitpid: the other fibers go on while one waits for its child, and are not in the child.
// Try:   ./process

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <coir/coir.hpp>
#include <cstdio>
#include <cstdlib>

namespace {

int check(int result, const char* what) {
  if (result >= 0) return result;
  std::perror(what);
  std::exit(1);
}

// What the child does.
[[noreturn]] void hello(int begun) {
  std::puts("Hello from the process");
  std::fflush(stdout);
  ::close(begun);
  ::sleep(1);
  std::_Exit(42);
}

}  // namespace

int main() {
  std::array<int, 2> begun{};
  check(::pipe2(begun.data(), O_CLOEXEC), "process: pipe2");
  coir::spawn([begun] {
    char nothing = 0;
    check(static_cast<int>(::read(begun[0], &nothing, 1)), "process: read");  // the end: the child closes it
    std::puts("Main is doing other things...");
  });

  const pid_t child = check(::fork(), "process: fork");
  if (child == 0) hello(begun[1]);
  ::close(begun[1]);
  int status = 0;
  check(::waitpid(child, &status, 0), "process: waitpid");
  std::printf("Process is all done: %d\n", WEXITSTATUS(status));
}
