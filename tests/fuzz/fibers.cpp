#include <coir/coir.hpp>

#include "host.hpp"

namespace fuzz {

void start_flows(int n, unsigned, const std::function<void(int)>& body) {
  for (int i = 0; i < n; ++i) coir::spawn(body, i);
}

}  // namespace fuzz
