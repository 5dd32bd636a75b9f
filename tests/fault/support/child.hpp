// Scenarios that must run in a process of their own: they end it, change its limits, or fork it.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace fault {

struct ended {
  int status = 0;  // as of waitpid; -1: killed after the time limit
  std::string out;
  std::string err;

  bool exited(int code) const;
  bool killed_by(int signal) const;
  std::string text() const;  // all of it, for INFO
};

// Runs the scenario `name` in a new process of this program, with `environment` on top of the present one (an
// empty value takes the variable away). After `limit` it is killed.
ended run(const std::string& name, const std::vector<std::pair<std::string, std::string>>& environment = {},
          std::chrono::seconds limit = std::chrono::seconds(60));

using scenario = int (*)();
struct registration {
  registration(const char* name, scenario body);
};
// The body of a scenario, or null.
scenario find(const std::string& name);

// For scenarios: writes to stdout and forgets nothing if the process dies.
void say(const std::string& text);

}  // namespace fault

// COIR_SCENARIO(name) { …; return exit_status; }
#define COIR_SCENARIO(name)                                                   \
  static int scenario_##name();                                               \
  static const fault::registration registered_##name(#name, scenario_##name); \
  static int scenario_##name()
