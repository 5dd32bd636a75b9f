#include <thread>

#include "host.hpp"

namespace fuzz {

void start_flows(int n, const std::function<void(int)>& body) {
  for (int i = 0; i < n; ++i) std::thread(body, i).detach();
}

}  // namespace fuzz
