// The command line of coir-run.
#pragma once

#include <optional>
#include <string>

namespace coir::launcher {

enum class action { run, verify, help, version };

struct options {
  action what = action::run;
  bool preload = true;                 // false: --no-preload
  std::optional<std::string> reactor;  // for COIR_REACTOR; empty leaves the environment alone
  std::optional<std::string> patch;    // for COIR_PATCH
  bool always = false;                 // COIR_PATCH_ALWAYS=1
  bool audit = false;                  // COIR_AUDIT=1
  char** program = nullptr;            // the program's own argv, null-terminated; null for help and version
};

// Throws failure (bad_arguments), naming the argument.
options parse_options(char** argv);

extern const char* const usage;

}  // namespace coir::launcher
