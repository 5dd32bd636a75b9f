// Names of hosts, services, users and groups: libc's own look-ups, on a helper thread.
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

COIR_WRAPPING_LOOK_UP(int, getnameinfo,
                      (const sockaddr* a, socklen_t size, char* host, socklen_t host_size, char* service,
                       socklen_t service_size, int flags),
                      (a, size, host, host_size, service, service_size, flags))
COIR_WRAPPING_LOOK_UP(hostent*, gethostbyname, (const char* name), (name))
COIR_WRAPPING_LOOK_UP(hostent*, gethostbyname2, (const char* name, int family), (name, family))
COIR_WRAPPING_LOOK_UP(hostent*, gethostbyaddr, (const void* a, socklen_t size, int type), (a, size, type))
COIR_PLAIN_LOOK_UP(int, gethostbyname_r,
                   (const char* name, hostent* into, char* buffer, size_t size, hostent** result, int* error),
                   (name, into, buffer, size, result, error))
COIR_PLAIN_LOOK_UP(int, gethostbyname2_r,
                   (const char* name, int family, hostent* into, char* buffer, size_t size, hostent** result,
                    int* error),
                   (name, family, into, buffer, size, result, error))
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
COIR_WRAPPING_LOOK_UP(int, initgroups, (const char* user, gid_t id), (user, id))
COIR_WRAPPING_LOOK_UP(int, getgrouplist, (const char* user, gid_t id, gid_t* groups, int* count),
                      (user, id, groups, count))
