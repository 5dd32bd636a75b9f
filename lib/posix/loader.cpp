#include "posix/loader.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>

#include <cstring>

#include "posix/locks.hpp"
#include "wait/landing.hpp"

namespace coir::posix {
namespace {

pthread_mutex_t loading = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

// Another fiber that held it stayed with the parent.
const bool told_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
                            scheduler* s = scheduler::existing();
                            const int self = s != nullptr ? static_cast<int>(owner_tag(*s)) : 0;
                            if (loading.__data.__lock != 0 && loading.__data.__owner != self)
                              loading = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
                          }) == 0;

bool has_path(const link_map& object) noexcept {
  for (const ElfW(Dyn)* d = object.l_ld; d != nullptr && d->d_tag != DT_NULL; ++d)
    if (d->d_tag == DT_RUNPATH || d->d_tag == DT_RPATH) return true;
  return false;
}

}  // namespace

loader_lock::loader_lock() noexcept {
  // Left by a jump out of a handler: the caller would load without the lock before it returned.
  if (mutex_lock(&loading, {}) == EINTR) wait::refuse_jump(*scheduler::existing()->current());
}
loader_lock::~loader_lock() {
  mutex_unlock(&loading);
}

bool holds_loader(scheduler& s) noexcept {
  return __builtin_expect(loading.__data.__lock != 0, 0) &&
         loading.__data.__owner == static_cast<int>(owner_tag(s));
}

bool depends_on_caller(const char* file, const void* caller) noexcept {
  if (std::strchr(file, '$') != nullptr) return true;  // $ORIGIN
  if (std::strchr(file, '/') != nullptr) return false;
  Dl_info where;
  link_map* object = nullptr;
  if (::dladdr1(caller, &where, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP) == 0 || object == nullptr)
    return false;
  if (has_path(*object)) return true;
  while (object->l_prev != nullptr) object = object->l_prev;
  return has_path(*object);  // the program's own DT_RPATH is for all
}

}  // namespace coir::posix
