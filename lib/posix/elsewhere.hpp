// Calls that are made on a helper thread as they are, with what libc leaves in thread-local places brought
// back.
#pragma once

#include <errno.h>
#include <netdb.h>

#include "posix/offload.hpp"

namespace coir::posix {

// The result of `f()`, made on a helper; errno and h_errno as it left them there.
template <class F>
auto elsewhere(const char* name, F f, bool endless = false) noexcept {
  int error = errno, host_error = h_errno;
  decltype(f()) result{};
  offload_call(
      *scheduler::existing(), name,
      [&]() -> long {
        errno = error;
        h_errno = host_error;
        result = f();
        error = errno;
        host_error = h_errno;
        return 0;
      },
      endless);
  errno = error;
  h_errno = host_error;
  return result;
}

// The same, but made at once where it `need_not_wait`.
template <class F>
auto unless(bool need_not_wait, const char* name, F f, bool endless = false) noexcept {
  if (!need_not_wait) return elsewhere(name, f, endless);
  scheduler& s = *scheduler::existing();
  decltype(f()) result{};
  right_here(s, [&] { result = f(); });
  s.charge();
  return result;
}

// The result of `f()`, for which a helper waits if `at_once()` fails with `would_wait`.
template <class Now, class F>
auto asked_first(const char* name, int would_wait, Now at_once, F f) noexcept {
  scheduler& s = *scheduler::existing();
  const int before = errno;
  decltype(at_once()) r{};
  right_here(s, [&] { r = at_once(); });
  if (r != -1 || errno != would_wait) {
    s.charge();
    return r;
  }
  errno = before;
  return elsewhere(name, f, true);
}

// A call that may be given up: it goes on at the helper without whom it was for. Made with `new`; deletes
// itself.
struct abandonable : offloaded {
  virtual ~abandonable() = default;
  // On the helper.
  virtual void work() noexcept = 0;
  // On the helper, if it was given up meanwhile: undoes what `work` has done.
  virtual void undo() noexcept {}
};

// 0 when `job` is done: the caller takes its results and deletes it. Else the errno of the interruption, and
// the job is nobody's any more.
int attend(const char* name, abandonable* job, bool endless,
           wait::ending_handlers handlers = wait::ending_handlers::none) noexcept;

}  // namespace coir::posix
