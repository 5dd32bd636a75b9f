// The names of the hooks that are called __wrap_NAME, for all programs but fully static ones: those have
// libc's own functions under these names, and are linked with --wrap. A library of its own,
// libcoir-patch-names.a.
#include "patch/hook.hpp"

#if defined(__x86_64__)
#define COIR_JUMP "jmp"
#else
#define COIR_JUMP "b"
#endif

// For sys/real.cpp.
extern "C" __attribute__((visibility("default"))) const char coir_patch_own_names;
const char coir_patch_own_names = 1;

#define COIR_OWN_NAME(name)                                                 \
  __asm__(                                                                  \
      ".pushsection coir_hooks,\"ax\",@progbits\n"                          \
      ".p2align 4\n"                                                        \
      ".globl " #name                                                       \
      "\n"                                                                  \
      ".type " #name ", @function\n" #name ":\n" COIR_JUMP " __wrap_" #name \
      "\n"                                                                  \
      ".hidden __wrap_" #name                                               \
      "\n"                                                                  \
      ".size " #name ", . - " #name                                         \
      "\n"                                                                  \
      ".popsection\n");

COIR_OWN_NAME(getaddrinfo)
COIR_OWN_NAME(freeaddrinfo)
COIR_OWN_NAME(getnameinfo)
COIR_OWN_NAME(gethostbyname)
COIR_OWN_NAME(gethostbyname2)
COIR_OWN_NAME(gethostbyaddr)
COIR_OWN_NAME(getservbyname)
COIR_OWN_NAME(getservbyport)
COIR_OWN_NAME(getpwnam)
COIR_OWN_NAME(getpwuid)
COIR_OWN_NAME(getgrnam)
COIR_OWN_NAME(getgrgid)
COIR_OWN_NAME(initgroups)
COIR_OWN_NAME(getgrouplist)
COIR_OWN_NAME(__getdelim)
COIR_OWN_NAME(__uflow)
COIR_OWN_NAME(freopen)
COIR_OWN_NAME(getpwent)
COIR_OWN_NAME(getgrent)
COIR_OWN_NAME(getpass)
COIR_OWN_NAME(dlopen)
COIR_OWN_NAME(dlclose)
COIR_OWN_NAME(__overflow)
COIR_OWN_NAME(_IO_putc)
COIR_OWN_NAME(vfprintf)
COIR_OWN_NAME(__vfprintf_chk)
COIR_OWN_NAME(__vdprintf_chk)
COIR_OWN_NAME(__isoc99_vfscanf)
