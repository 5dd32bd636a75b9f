// Name resolution; see elsewhere.hpp.
#pragma once

#include <netdb.h>
#include <resolv.h>

namespace coir::posix {

// Directly where nobody is asked; else on a helper thread, with the program's own resolver and NSS.
// Interrupted: EAI_SYSTEM with errno ECANCELED or ETIMEDOUT.
int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) noexcept;

// Whether a call of getnameinfo only writes numbers, or a path, and asks nobody.
bool writes_numbers(const sockaddr* a, socklen_t size, bool host, bool service, int flags) noexcept;
// Whether `name` is an address, and a look-up of it in `family` asks nobody.
bool is_address(const char* name, int family) noexcept;

// What res_query, res_search, res_querydomain and res_send are given; what a call does not have stays empty.
struct question {
  const char* name = nullptr;
  const char* domain = nullptr;
  int domain_class = 0, type = 0;
  const unsigned char* text = nullptr;
  int text_size = 0;
};

// `ask` is called on a helper thread, with a state of the resolver that has the settings of the calling
// thread's `_res`. That one itself cannot be used: several fibers of the thread may be asking at once.
// Interrupted: -1 with errno ECANCELED or ETIMEDOUT, and NETDB_INTERNAL.
int ask_resolver(const char* call_name,
                 int (*ask)(res_state, const question&, unsigned char* answer, int size), const question& q,
                 unsigned char* answer, int size) noexcept;

}  // namespace coir::posix
