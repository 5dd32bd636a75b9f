// Names of hosts, services, users and groups: libc's own look-ups, on a helper thread.
#include <grp.h>
#include <netdb.h>
#include <pwd.h>

#include "patch/hook.hpp"
#include "posix/elsewhere.hpp"
#include "posix/resolve.hpp"

namespace posix = coir::posix;
using coir::sys::real;

COIR_WRAPPING_HOOK int __wrap_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                                          addrinfo** result) {
  return COIR_COOPERATIVE ? posix::getaddrinfo(node, service, hints, result)
                          : real.getaddrinfo(node, service, hints, result);
}
COIR_WRAPPING_HOOK void __wrap_freeaddrinfo(addrinfo* list) noexcept {
  real.freeaddrinfo(list);
}
COIR_WRAPPING_HOOK int __wrap_getnameinfo(const sockaddr* a, socklen_t size, char* host, socklen_t host_size,
                                          char* service, socklen_t service_size, int flags) {
  return COIR_COOPERATIVE
             ? posix::elsewhere(
                   "getnameinfo",
                   [=] { return real.getnameinfo(a, size, host, host_size, service, service_size, flags); })
             : real.getnameinfo(a, size, host, host_size, service, service_size, flags);
}
COIR_WRAPPING_HOOK hostent* __wrap_gethostbyname(const char* name) {
  return COIR_COOPERATIVE ? posix::elsewhere("gethostbyname", [=] { return real.gethostbyname(name); })
                          : real.gethostbyname(name);
}
COIR_WRAPPING_HOOK hostent* __wrap_gethostbyname2(const char* name, int family) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("gethostbyname2", [=] { return real.gethostbyname2(name, family); })
             : real.gethostbyname2(name, family);
}
COIR_WRAPPING_HOOK hostent* __wrap_gethostbyaddr(const void* a, socklen_t size, int type) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("gethostbyaddr", [=] { return real.gethostbyaddr(a, size, type); })
             : real.gethostbyaddr(a, size, type);
}
COIR_HOOK int gethostbyname_r(const char* name, hostent* into, char* buffer, size_t size, hostent** result,
                              int* error) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("gethostbyname_r",
                                [=] { return real.gethostbyname_r(name, into, buffer, size, result, error); })
             : real.gethostbyname_r(name, into, buffer, size, result, error);
}
COIR_HOOK int gethostbyname2_r(const char* name, int family, hostent* into, char* buffer, size_t size,
                               hostent** result, int* error) {
  return COIR_COOPERATIVE
             ? posix::elsewhere(
                   "gethostbyname2_r",
                   [=] { return real.gethostbyname2_r(name, family, into, buffer, size, result, error); })
             : real.gethostbyname2_r(name, family, into, buffer, size, result, error);
}
COIR_HOOK int gethostbyaddr_r(const void* a, socklen_t asize, int type, hostent* into, char* buffer,
                              size_t size, hostent** result, int* error) {
  return COIR_COOPERATIVE
             ? posix::elsewhere(
                   "gethostbyaddr_r",
                   [=] { return real.gethostbyaddr_r(a, asize, type, into, buffer, size, result, error); })
             : real.gethostbyaddr_r(a, asize, type, into, buffer, size, result, error);
}
COIR_WRAPPING_HOOK servent* __wrap_getservbyname(const char* name, const char* protocol) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getservbyname", [=] { return real.getservbyname(name, protocol); })
             : real.getservbyname(name, protocol);
}
COIR_WRAPPING_HOOK servent* __wrap_getservbyport(int port, const char* protocol) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getservbyport", [=] { return real.getservbyport(port, protocol); })
             : real.getservbyport(port, protocol);
}
COIR_HOOK int getservbyname_r(const char* name, const char* protocol, servent* into, char* buffer,
                              size_t size, servent** result) {
  return COIR_COOPERATIVE
             ? posix::elsewhere(
                   "getservbyname_r",
                   [=] { return real.getservbyname_r(name, protocol, into, buffer, size, result); })
             : real.getservbyname_r(name, protocol, into, buffer, size, result);
}
COIR_HOOK int getservbyport_r(int port, const char* protocol, servent* into, char* buffer, size_t size,
                              servent** result) {
  return COIR_COOPERATIVE
             ? posix::elsewhere(
                   "getservbyport_r",
                   [=] { return real.getservbyport_r(port, protocol, into, buffer, size, result); })
             : real.getservbyport_r(port, protocol, into, buffer, size, result);
}
COIR_WRAPPING_HOOK passwd* __wrap_getpwnam(const char* name) {
  return COIR_COOPERATIVE ? posix::elsewhere("getpwnam", [=] { return real.getpwnam(name); })
                          : real.getpwnam(name);
}
COIR_WRAPPING_HOOK passwd* __wrap_getpwuid(uid_t id) {
  return COIR_COOPERATIVE ? posix::elsewhere("getpwuid", [=] { return real.getpwuid(id); })
                          : real.getpwuid(id);
}
COIR_HOOK int getpwnam_r(const char* name, passwd* into, char* buffer, size_t size, passwd** result) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getpwnam_r",
                                [=] { return real.getpwnam_r(name, into, buffer, size, result); })
             : real.getpwnam_r(name, into, buffer, size, result);
}
COIR_HOOK int getpwuid_r(uid_t id, passwd* into, char* buffer, size_t size, passwd** result) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getpwuid_r", [=] { return real.getpwuid_r(id, into, buffer, size, result); })
             : real.getpwuid_r(id, into, buffer, size, result);
}
COIR_WRAPPING_HOOK group* __wrap_getgrnam(const char* name) {
  return COIR_COOPERATIVE ? posix::elsewhere("getgrnam", [=] { return real.getgrnam(name); })
                          : real.getgrnam(name);
}
COIR_WRAPPING_HOOK group* __wrap_getgrgid(gid_t id) {
  return COIR_COOPERATIVE ? posix::elsewhere("getgrgid", [=] { return real.getgrgid(id); })
                          : real.getgrgid(id);
}
COIR_HOOK int getgrnam_r(const char* name, group* into, char* buffer, size_t size, group** result) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getgrnam_r",
                                [=] { return real.getgrnam_r(name, into, buffer, size, result); })
             : real.getgrnam_r(name, into, buffer, size, result);
}
COIR_HOOK int getgrgid_r(gid_t id, group* into, char* buffer, size_t size, group** result) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getgrgid_r", [=] { return real.getgrgid_r(id, into, buffer, size, result); })
             : real.getgrgid_r(id, into, buffer, size, result);
}
COIR_WRAPPING_HOOK int __wrap_initgroups(const char* user, gid_t id) {
  return COIR_COOPERATIVE ? posix::elsewhere("initgroups", [=] { return real.initgroups(user, id); })
                          : real.initgroups(user, id);
}
COIR_WRAPPING_HOOK int __wrap_getgrouplist(const char* user, gid_t id, gid_t* groups, int* count) {
  return COIR_COOPERATIVE
             ? posix::elsewhere("getgrouplist", [=] { return real.getgrouplist(user, id, groups, count); })
             : real.getgrouplist(user, id, groups, count);
}
