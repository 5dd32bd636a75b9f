// Why coir-run ends without having run the program, and with which exit status.
#pragma once

#include <stdexcept>
#include <string>

namespace coir::launcher {

// The statuses from 125 up mean what they mean for env(1), nohup(1) and timeout(1).
enum class status {
  unpatched = 1,         // --verify: a name is not patched
  bad_arguments = 2,     // of coir-run itself
  internal = 125,        // coir-run is not able to do its work: a file of coir is missing, out of memory
  not_executable = 126,  // the program is there, but cannot be run patched
  not_found = 127,       // there is no such program
};

class failure : public std::runtime_error {
 public:
  failure(status s, const std::string& message) : std::runtime_error(message), status_(s) {}
  status exit_status() const noexcept { return status_; }

 private:
  status status_;
};

}  // namespace coir::launcher
