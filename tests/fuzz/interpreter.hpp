// Runs programs of libc calls, by whichever flows the host makes.
//
// A call is begun when the one before it has returned, or when all threads of the process sleep: then it
// waits, and the calls that come may end its wait. So what happens is mostly the same from run to run,
// whoever runs the flows, and however busy the machine is.
#pragma once

#include <string>

namespace fuzz {

struct program {
  int flows = 1;
  long calm_us = 200;  // how long a call that has not returned is given before it is asked whether it waits
  unsigned slow = 0;   // the flows that threads let wait for the others, a bit for each: see host.hpp
  std::string text;    // a line for each call, in the order in which they are begun: FLOW CALL ARGUMENT...
};

// Runs it in a process of its own, and tells what the calls returned and what is left in the descriptors, or
// how the process ended without; "late" if the machine was too slow for the limits of calls. Throws
// std::invalid_argument if there is no such call or flow.
std::string run_in_child(const program& p);

}  // namespace fuzz
