// Commands by popen, their output by fgets.
#include <coir/coir.hpp>
#include <cstdio>
#include <string>

#include "crowd.hpp"

using clients::expect;

int main() {
  return clients::session([] {
    // libc's popen keeps the thread until the child has begun its program, which takes as long as the machine
    // is busy.
    const clients::crowd c = {
        .name = "popen, sleep and print", .most_ms = 4000, .apart_ms = 5, .most_pause_ms = 100};
    clients::run(c, [](int i) {
      const std::string number = std::to_string(i);
      FILE* f = ::popen(("sleep 0.5; echo line " + number + "; exit " + number).c_str(), "re");
      expect(f != nullptr, "popen");
      char line[32] = {};
      expect(std::fgets(line, sizeof line, f) != nullptr && line == "line " + number + "\n", "the line");
      expect(std::fgets(line, sizeof line, f) == nullptr && std::feof(f) != 0, "the end");
      expect(::pclose(f) == i << 8, "the status");
    });
  });
}
