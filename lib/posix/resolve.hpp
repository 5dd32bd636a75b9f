// Name resolution; see elsewhere.hpp.
#pragma once

#include <netdb.h>

namespace coir::posix {

// On a helper thread, with the program's own resolver and NSS. Interrupted: EAI_SYSTEM with errno ECANCELED
// or ETIMEDOUT.
int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) noexcept;

}  // namespace coir::posix
