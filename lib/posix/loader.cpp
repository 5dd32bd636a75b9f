#include "posix/loader.hpp"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

#include "posix/locks.hpp"
#include "wait/landing.hpp"

namespace coir::posix {
namespace {

pthread_mutex_t loading = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

// Another fiber that held it stayed with the parent.
const bool openers_told_at_fork = ::pthread_atfork(nullptr, nullptr, [] {
                                    scheduler* s = scheduler::existing();
                                    const int self = s != nullptr ? static_cast<int>(owner_tag(*s)) : 0;
                                    if (loading.__data.__lock != 0 && loading.__data.__owner != self)
                                      loading = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
                                  }) == 0;

link_map* object_of(const void* code) noexcept {
  Dl_info where;
  link_map* object = nullptr;
  if (::dladdr1(code, &where, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP) == 0) return nullptr;
  return object;
}

bool exists(const char* folder, const char* name, char (&path)[PATH_MAX]) noexcept {
  const int size = std::snprintf(path, sizeof path, "%s/%s", folder, name);
  return size > 0 && static_cast<std::size_t>(size) < sizeof path && ::access(path, F_OK) == 0;
}

// Where what an object asks for is looked for; nothing if that is not known.
class search_path {
 public:
  explicit search_path(link_map* object) noexcept {
    Dl_serinfo size;
    if (object == nullptr || ::dlinfo(object, RTLD_DI_SERINFOSIZE, &size) != 0) return;
    room_.reset(new (std::nothrow) char[size.dls_size]);
    if (room_ == nullptr) return;
    std::memcpy(room_.get(), &size, offsetof(Dl_serinfo, dls_serpath));
    if (::dlinfo(object, RTLD_DI_SERINFO, room_.get()) != 0) room_.reset();
  }
  explicit operator bool() const noexcept { return room_ != nullptr; }
  const Dl_serpath* begin() const noexcept { return info().dls_serpath; }
  const Dl_serpath* end() const noexcept { return begin() + info().dls_cnt; }

 private:
  const Dl_serinfo& info() const noexcept { return *reinterpret_cast<const Dl_serinfo*>(room_.get()); }
  std::unique_ptr<char[]> room_;
};

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
  link_map* object = object_of(caller);
  if (object == nullptr) return false;
  if (has_path(*object)) return true;
  while (object->l_prev != nullptr) object = object->l_prev;
  return has_path(*object);  // the program's own DT_RPATH is for all
}

bool find_for_caller(const char* file, const void* caller, char (&path)[PATH_MAX]) noexcept {
  if (std::strchr(file, '$') != nullptr) return false;
  const search_path own(object_of(caller)), common(object_of(reinterpret_cast<const void*>(&::getppid)));
  if (!own || !common) return false;
  for (const Dl_serpath& folder : own) {
    // Variants for kinds of processors are for libc to choose from.
    if (exists(folder.dls_name, "glibc-hwcaps", path)) return false;
    if (!exists(folder.dls_name, file, path)) continue;
    // What every object finds there may be found by ldconfig's cache before.
    return std::none_of(common.begin(), common.end(), [&](const Dl_serpath& each) {
      return std::strcmp(each.dls_name, folder.dls_name) == 0;
    });
  }
  return false;
}

}  // namespace coir::posix
