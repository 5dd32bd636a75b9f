// Who runs the flows of a program: threads or fibers.
#pragma once

#include <functional>

namespace fuzz {

// Has `body(i)` called by a flow of its own for each i < n. They are never waited for: some wait for ever.
// If `slow` is not 0, threads let each other go first, those in whose place it has a 1 all others: who of
// several that are woken at once comes first is chosen so, and not by chance.
void start_flows(int n, unsigned slow, const std::function<void(int)>& body);

}  // namespace fuzz
