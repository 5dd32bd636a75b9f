// usage: fuzz_threads [--list] < PROGRAMS
//
// Runs programs, each in a process of its own, and tells what their calls returned. A program is, in lines:
//   program FLOWS CALM_US SLOW
//   FLOW CALL ARGUMENT...          one for each call
//   end
// --list tells the calls there are.
#include <iostream>
#include <sstream>
#include <string>

#include "interpreter.hpp"
#include "ops.hpp"

namespace {

void list() {
  for (std::size_t i = 0; i < fuzz::operation_count; ++i)
    std::cout << fuzz::operations[i].name << "\t" << fuzz::operations[i].arguments << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--list") {
    list();
    return 0;
  }
  fuzz::program p;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.rfind("program ", 0) == 0) {
      p = {};
      std::istringstream(line.substr(8)) >> p.flows >> p.calm_us >> p.slow;
    } else if (line == "end") {
      std::cout << fuzz::run_in_child(p) << "end" << std::endl;
    } else {
      p.text += line + "\n";
    }
  }
  return 0;
}
