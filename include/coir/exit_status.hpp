#pragma once

#include <string>

namespace coir {

/// How a process ended: by exit, with a code, or killed by a signal.
class exit_status {
 public:
  /// One that nobody knows: somebody else took it (`waitpid(-1)`, or SIGCHLD is ignored).
  exit_status() noexcept = default;
  /// Exited with `code`, 0 to 255.
  static exit_status of_exit(int code) noexcept { return {kind::exited, code, false}; }
  /// Killed by `signal`.
  static exit_status of_signal(int signal, bool dumped_core = false) noexcept {
    return {kind::killed, signal, dumped_core};
  }
  /// As waitpid tells it; `status` is that of a process that ended.
  static exit_status of_wait(int status) noexcept;

  /// Whether it exited with code 0.
  bool success() const noexcept { return kind_ == kind::exited && number_ == 0; }
  /// False if it is not known how the process ended.
  bool known() const noexcept { return kind_ != kind::unknown; }
  /// Whether it exited; `code` says with what.
  bool exited() const noexcept { return kind_ == kind::exited; }
  /// The exit code, 0 to 255; -1 if it did not exit.
  int code() const noexcept { return exited() ? number_ : -1; }
  /// The number of the signal that killed it; 0 if none did.
  int signal() const noexcept { return kind_ == kind::killed ? number_ : 0; }
  /// Whether it left a core dump.
  bool dumped_core() const noexcept { return dumped_core_; }

  friend bool operator==(const exit_status&, const exit_status&) noexcept = default;

 private:
  enum class kind : unsigned char { unknown, exited, killed };
  exit_status(kind k, int number, bool dumped_core) noexcept
      : kind_(k), dumped_core_(dumped_core), number_(number) {}

  kind kind_ = kind::unknown;
  bool dumped_core_ = false;
  int number_ = 0;
};

/// "exit 3", "killed by SIGSEGV", "killed by signal 40", "unknown end".
std::string to_string(const exit_status& s);

}  // namespace coir
