// The libc functions behind the patched names, for callers that are not fibers.
//
// Each pointer starts as a raw system call (allocators start up through these names, before any constructor),
// and becomes libc's own function, with its cancellation point, in a constructor of coir-patch. In a fully
// static program it stays as it is. Locks have no such fallback: theirs looks libc's function up at the first
// call. X-macros keep name, type and fallback in one place: sys/real.def.
#pragma once

#include <aio.h>
#include <grp.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <resolv.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

namespace coir::sys {

struct real_functions {
#define COIR_REAL(result, name, parameters, fallback) result(*name) parameters;
#include "sys/real.def"
#undef COIR_REAL
};

extern real_functions real;

// Whether this process has coir-patch, by when its constructors run.
bool patch_present() noexcept;

// Finds the next definition of each name behind the caller's object. Called once, by coir-patch, which passes
// the dlsym that sees what stands behind it.
void resolve_real(void* (*find)(const char* name)) noexcept;

}  // namespace coir::sys
