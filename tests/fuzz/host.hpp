// Who runs the flows of a program: threads or fibers.
#pragma once

#include <functional>

namespace fuzz {

// Has `body(i)` called by a flow of its own for each i < n. They are never waited for: some wait for ever.
void start_flows(int n, const std::function<void(int)>& body);

}  // namespace fuzz
