// Whose stack an address is in, where that is none of coir's.

#include <pthread.h>
#include <sys/auxv.h>
#include <sys/resource.h>

#include <algorithm>

#include "sched/scheduler.hpp"

namespace coir::sched {

namespace {

struct bounds {
  std::uintptr_t low = 0, high = 0;
  bool contain(std::uintptr_t at) const noexcept { return at >= low && at < high; }
};

// Of the process's first thread: what the kernel told the process at its start lies above the first frame.
bounds first_stack() noexcept {
  const std::uintptr_t high = ::getauxval(AT_RANDOM);
  rlimit limit = {};
  constexpr rlim_t boundless = rlim_t{1} << 30;  // some 1 GiB is free below it, if there is no limit
  if (high == 0 || ::getrlimit(RLIMIT_STACK, &limit) != 0) return {};
  return {high - std::min({limit.rlim_cur, boundless, static_cast<rlim_t>(high)}), high};
}

}  // namespace

bool scheduler::on_thread_stack(std::uintptr_t at) noexcept {
  scheduler* s = existing();
  const bool away = s != nullptr && s->own_current() != &s->main_;
  const void* at_home = away ? s->main_.context : detail::stack_pointer();
  const bounds first = first_stack();
  // Asked for the first thread's, glibc reads a file.
  if (first.contain(reinterpret_cast<std::uintptr_t>(at_home))) return first.contain(at);
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return false;
  void* low = nullptr;
  std::size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &low, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  const auto begin = reinterpret_cast<std::uintptr_t>(low);
  return known && bounds{begin, begin + size}.contain(at);
}

bool scheduler::on_known_stack(std::uintptr_t at) noexcept {
  return context::among_stacks(reinterpret_cast<const void*>(at)) || first_stack().contain(at);
}

}  // namespace coir::sched
