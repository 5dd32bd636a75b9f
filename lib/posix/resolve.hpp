// Name resolution; see elsewhere.hpp.
#pragma once

#include <netdb.h>
#include <resolv.h>

#include "posix/elsewhere.hpp"

namespace coir::posix {

// On a helper thread, with the program's own resolver and NSS. Interrupted: EAI_SYSTEM with errno ECANCELED
// or ETIMEDOUT.
int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) noexcept;

// A state of the resolver with the settings of the calling thread's `_res`. That one itself cannot be used:
// several fibers of the thread may be asking at once.
class resolver_twin {
 public:
  resolver_twin() noexcept;
  ~resolver_twin();
  resolver_twin(const resolver_twin&) = delete;
  resolver_twin& operator=(const resolver_twin&) = delete;

  // The result of `ask(state)`, on a helper thread.
  template <class Ask>
  int operator()(const char* name, Ask ask) noexcept {
    if (!usable_) return -1;
    return elsewhere(name, [&] { return ask(&state_); });
  }

 private:
  struct __res_state& original_;
  struct __res_state state_ = {};
  bool usable_;
};

}  // namespace coir::posix
