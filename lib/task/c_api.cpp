#include <errno.h>

#include <chrono>
#include <new>
#include <system_error>

#include "coir/coir.h"
#include "coir/fiber.hpp"
#include "coir/this_fiber.hpp"
#include "coir/timeout.hpp"
#include "wait/interrupt.hpp"

// A coir_fiber is the record of a coir::fiber<void*>, with one reference. No exception may leave these
// functions.

namespace {

using handle = coir::fiber<void*>;

coir::detail::fiber_base* base(coir_fiber* f) noexcept {
  return reinterpret_cast<coir::detail::fiber_base*>(f);
}

template <class F>
int as_errno(F&& f) noexcept {
  try {
    f();
    return 0;
  } catch (const coir::cancelled&) {
    return ECANCELED;
  } catch (const coir::timed_out& e) {
    coir::wait::told_by_error(e.scope());
    return ETIMEDOUT;
  } catch (const std::system_error& e) {
    return e.code().value();
  } catch (const coir::deadlock&) {
    return EDEADLK;
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  } catch (const std::invalid_argument&) {
    return EINVAL;
  } catch (...) {
    return ECANCELED;  // an exception that C++ code raised in this fiber
  }
}

}  // namespace

extern "C" {

coir_fiber* coir_spawn(void* (*function)(void*), void* argument) {
  if (function == nullptr) {
    errno = EINVAL;
    return nullptr;
  }
  coir::detail::fiber_base* made = nullptr;
  const int error = as_errno([&] {
    handle h = coir::spawn([function, argument] { return function(argument); });
    made = h.base();
    coir::detail::retain(made);
  });
  if (error != 0) errno = error;
  return reinterpret_cast<coir_fiber*>(made);
}

int coir_join(coir_fiber* fiber, void** result) {
  const int error = as_errno([&] { coir::detail::join_fiber(base(fiber)); });
  if (error != 0) return error;
  const coir::this_fiber::shield during;  // an interrupt after the wait comes too late, and must not get out
  const handle ended(base(fiber));        // adopts the reference
  if (result != nullptr) *result = ended.successful() ? ended.get() : nullptr;
  return 0;
}

void coir_detach(coir_fiber* fiber) {
  coir::detail::release(base(fiber));
}

void coir_cancel(coir_fiber* fiber) {
  coir::detail::cancel_fiber(base(fiber));
}

int coir_yield(void) {
  return as_errno([] { coir::this_fiber::yield(); });
}

int coir_sleep(int64_t nanoseconds) {
  return as_errno([&] { coir::this_fiber::sleep_for(std::chrono::nanoseconds(nanoseconds)); });
}

}  // extern "C"
