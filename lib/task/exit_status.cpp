#include "coir/exit_status.hpp"

#include <string.h>
#include <sys/wait.h>

namespace coir {

exit_status exit_status::of_wait(int status) noexcept {
  return WIFSIGNALED(status) ? of_signal(WTERMSIG(status), WCOREDUMP(status)) : of_exit(WEXITSTATUS(status));
}

std::string to_string(const exit_status& s) {
  if (!s.known()) return "unknown end";
  if (s.exited()) return "exit " + std::to_string(s.code());
  const char* name = ::sigabbrev_np(s.signal());
  return name != nullptr ? std::string("killed by SIG") + name
                         : "killed by signal " + std::to_string(s.signal());
}

}  // namespace coir
