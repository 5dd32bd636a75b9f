// Names of hosts, services, users and groups, and questions to the resolver: libc's own look-ups, on a helper
// thread.
#include <grp.h>
#include <netdb.h>
#include <pwd.h>

#include "patch/hook.hpp"
#include "posix/elsewhere.hpp"
#include "posix/resolve.hpp"

namespace posix = coir::posix;
using coir::sys::real;
COIR_HOOKS_OF(names)

COIR_WRAPPING_HOOK int __wrap_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                                          addrinfo** result) {
  return COIR_COOPERATIVE ? posix::getaddrinfo(node, service, hints, result)
                          : real.getaddrinfo(node, service, hints, result);
}
COIR_WRAPPING_HOOK void __wrap_freeaddrinfo(addrinfo* list) noexcept {
  real.freeaddrinfo(list);
}
// A look-up that is made as it is: `symbol` is the hook, `name` libc's function.
#define COIR_LOOK_UP(hook, result, symbol, name, parameters, arguments)                    \
  hook result symbol parameters {                                                          \
    return COIR_COOPERATIVE ? posix::elsewhere(#name, [=] { return real.name arguments; }) \
                            : real.name arguments;                                         \
  }
#define COIR_WRAPPING_LOOK_UP(result, name, parameters, arguments) \
  COIR_LOOK_UP(COIR_WRAPPING_HOOK, result, __wrap_##name, name, parameters, arguments)
#define COIR_PLAIN_LOOK_UP(result, name, parameters, arguments) \
  COIR_LOOK_UP(COIR_HOOK, result, name, name, parameters, arguments)

COIR_WRAPPING_HOOK int __wrap_getnameinfo(const sockaddr* a, socklen_t size, char* host, socklen_t host_size,
                                          char* service, socklen_t service_size, int flags) {
  const auto plain = [=] { return real.getnameinfo(a, size, host, host_size, service, service_size, flags); };
  const bool wants_host = host != nullptr && host_size != 0;
  const bool wants_service = service != nullptr && service_size != 0;
  return COIR_COOPERATIVE ? posix::unless(posix::writes_numbers(a, size, wants_host, wants_service, flags),
                                          "getnameinfo", plain)
                          : plain();
}
COIR_WRAPPING_LOOK_UP(hostent*, gethostbyname, (const char* name), (name))
COIR_WRAPPING_LOOK_UP(hostent*, gethostbyname2, (const char* name, int family), (name, family))
COIR_WRAPPING_LOOK_UP(hostent*, gethostbyaddr, (const void* a, socklen_t size, int type), (a, size, type))
// (Those without _r hold a lock while they ask: what need not ask might wait for who does.)
COIR_HOOK int gethostbyname2_r(const char* name, int family, hostent* into, char* buffer, size_t size,
                               hostent** result, int* error) {
  const auto plain = [=] { return real.gethostbyname2_r(name, family, into, buffer, size, result, error); };
  return COIR_COOPERATIVE ? posix::unless(posix::is_address(name, family), "gethostbyname2_r", plain)
                          : plain();
}
COIR_HOOK int gethostbyname_r(const char* name, hostent* into, char* buffer, size_t size, hostent** result,
                              int* error) {
  const auto plain = [=] { return real.gethostbyname_r(name, into, buffer, size, result, error); };
  return COIR_COOPERATIVE ? posix::unless(posix::is_address(name, AF_INET), "gethostbyname_r", plain)
                          : plain();
}
COIR_PLAIN_LOOK_UP(int, gethostbyaddr_r,
                   (const void* a, socklen_t asize, int type, hostent* into, char* buffer, size_t size,
                    hostent** result, int* error),
                   (a, asize, type, into, buffer, size, result, error))
COIR_WRAPPING_LOOK_UP(servent*, getservbyname, (const char* name, const char* protocol), (name, protocol))
COIR_WRAPPING_LOOK_UP(servent*, getservbyport, (int port, const char* protocol), (port, protocol))
COIR_PLAIN_LOOK_UP(int, getservbyname_r,
                   (const char* name, const char* protocol, servent* into, char* buffer, size_t size,
                    servent** result),
                   (name, protocol, into, buffer, size, result))
COIR_PLAIN_LOOK_UP(int, getservbyport_r,
                   (int port, const char* protocol, servent* into, char* buffer, size_t size,
                    servent** result),
                   (port, protocol, into, buffer, size, result))
COIR_WRAPPING_LOOK_UP(passwd*, getpwnam, (const char* name), (name))
COIR_WRAPPING_LOOK_UP(passwd*, getpwuid, (uid_t id), (id))
COIR_PLAIN_LOOK_UP(int, getpwnam_r,
                   (const char* name, passwd* into, char* buffer, size_t size, passwd** result),
                   (name, into, buffer, size, result))
COIR_PLAIN_LOOK_UP(int, getpwuid_r, (uid_t id, passwd* into, char* buffer, size_t size, passwd** result),
                   (id, into, buffer, size, result))
COIR_WRAPPING_LOOK_UP(group*, getgrnam, (const char* name), (name))
COIR_WRAPPING_LOOK_UP(group*, getgrgid, (gid_t id), (id))
COIR_PLAIN_LOOK_UP(int, getgrnam_r,
                   (const char* name, group* into, char* buffer, size_t size, group** result),
                   (name, into, buffer, size, result))
COIR_PLAIN_LOOK_UP(int, getgrgid_r, (gid_t id, group* into, char* buffer, size_t size, group** result),
                   (id, into, buffer, size, result))
COIR_WRAPPING_LOOK_UP(passwd*, getpwent, (), ())
COIR_WRAPPING_LOOK_UP(group*, getgrent, (), ())
COIR_PLAIN_LOOK_UP(int, getpwent_r, (passwd * into, char* buffer, size_t size, passwd** result),
                   (into, buffer, size, result))
COIR_PLAIN_LOOK_UP(int, getgrent_r, (group * into, char* buffer, size_t size, group** result),
                   (into, buffer, size, result))
COIR_WRAPPING_LOOK_UP(int, initgroups, (const char* user, gid_t id), (user, id))
COIR_WRAPPING_LOOK_UP(int, getgrouplist, (const char* user, gid_t id, gid_t* groups, int* count),
                      (user, id, groups, count))

// The resolver: each call by two names; the second is known to programs built with an older libc.
#define COIR_RESOLVER(name, parameters, arguments)     \
  COIR_PLAIN_LOOK_UP(int, name, parameters, arguments) \
  COIR_HOOK int __##name parameters {                  \
    return name arguments;                             \
  }
// A call that asks with the thread's own state: as `twin`, which is given one, with what `fields` and
// `members` of a question say.
#define COIR_OWN_RESOLVER(name, twin, parameters, arguments, fields, members)                   \
  COIR_HOOK int name parameters {                                                               \
    if (!COIR_COOPERATIVE) return real.name arguments;                                          \
    const auto ask = [](res_state s, const posix::question& q, unsigned char* into, int room) { \
      return real.twin members;                                                                 \
    };                                                                                          \
    return posix::ask_resolver(#name, ask, posix::question fields, answer, size);               \
  }                                                                                             \
  COIR_HOOK int __##name parameters {                                                           \
    return name arguments;                                                                      \
  }

COIR_RESOLVER(res_nquery, (res_state s, const char* name, int c, int type, unsigned char* answer, int size),
              (s, name, c, type, answer, size))
COIR_RESOLVER(res_nsearch, (res_state s, const char* name, int c, int type, unsigned char* answer, int size),
              (s, name, c, type, answer, size))
COIR_RESOLVER(res_nquerydomain,
              (res_state s, const char* name, const char* domain, int c, int type, unsigned char* answer,
               int size),
              (s, name, domain, c, type, answer, size))
COIR_RESOLVER(res_nsend,
              (res_state s, const unsigned char* query, int query_size, unsigned char* answer, int size),
              (s, query, query_size, answer, size))
COIR_OWN_RESOLVER(res_query, res_nquery, (const char* name, int c, int type, unsigned char* answer, int size),
                  (name, c, type, answer, size), ({.name = name, .domain_class = c, .type = type}),
                  (s, q.name, q.domain_class, q.type, into, room))
COIR_OWN_RESOLVER(res_search, res_nsearch,
                  (const char* name, int c, int type, unsigned char* answer, int size),
                  (name, c, type, answer, size), ({.name = name, .domain_class = c, .type = type}),
                  (s, q.name, q.domain_class, q.type, into, room))
COIR_OWN_RESOLVER(res_querydomain, res_nquerydomain,
                  (const char* name, const char* domain, int c, int type, unsigned char* answer, int size),
                  (name, domain, c, type, answer, size),
                  ({.name = name, .domain = domain, .domain_class = c, .type = type}),
                  (s, q.name, q.domain, q.domain_class, q.type, into, room))
COIR_OWN_RESOLVER(res_send, res_nsend,
                  (const unsigned char* query, int query_size, unsigned char* answer, int size),
                  (query, query_size, answer, size), ({.text = query, .text_size = query_size}),
                  (s, q.text, q.text_size, into, room))
