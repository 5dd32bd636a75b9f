// Commands by Boost.Process, with pipes to and from each.
#include <boost/process.hpp>
#include <coir/coir.hpp>
#include <string>

#include "crowd.hpp"

namespace process = boost::process;
using clients::expect;

int main() {
  return clients::session([] {
    // A fork takes as long as the machine is busy.
    const clients::crowd c = {
        .name = "Boost.Process, sleep and answer", .most_ms = 4000, .apart_ms = 5, .most_pause_ms = 100};
    clients::run(c, [](int i) {
      const std::string number = std::to_string(i);
      process::opstream input;
      process::ipstream output;
      process::child child("/bin/sh", "-c", "read line; sleep 0.5; echo $line again; exit " + number,
                           process::std_in<input, process::std_out> output);
      input << "line " << number << std::endl;
      std::string line;
      expect(static_cast<bool>(std::getline(output, line)) && line == "line " + number + " again",
             "the line");
      expect(!std::getline(output, line) && output.eof(), "the end");
      child.wait();
      expect(child.exit_code() == i, "the status");
    });
  });
}
