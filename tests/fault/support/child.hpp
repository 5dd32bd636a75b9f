// Scenarios that must run in a process of their own: they end it, change its limits, or fork it.
#pragma once

#include <chrono>
#include <functional>
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

// For scenarios: forks; the child does `work` and ends with its result, or 50 to 52 for what is thrown, or by
// SIGALRM. The parent, a fiber, waits without blocking its thread. Returns the exit status, or 100 and the
// signal.
int fork_to(const std::function<int()>& work);

}  // namespace fault

// COIR_SCENARIO(name) { …; return exit_status; }
#define COIR_SCENARIO(name)                                                   \
  static int scenario_##name();                                               \
  static const fault::registration registered_##name(#name, scenario_##name); \
  static int scenario_##name()

#define EXPECT(condition) \
  if (!(condition)) return fault::say("failed: " #condition), 1
