// A call made on a helper thread, in the frame of whoever waits for it. Internal: use coir::offload.
#pragma once

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "coir/detail/context.hpp"
#include "coir/detail/thread_job.hpp"
#include "coir/promise.hpp"

namespace coir::detail {

struct offload_job : thread_job {
  void (*call)(offload_job* self) noexcept = nullptr;
  void* who = nullptr;  // the waiter
  context seen = context::of_caller();
  std::exception_ptr error;
};

// Has `job.call` made on a helper, and waits for it: whoever is interrupted meanwhile hears of it afterwards,
// from `throw_if_interrupted`.
void offload(offload_job& job);
void throw_if_interrupted();

template <class R, class Call>
struct offloaded_call : offload_job {
  Call callable;
  std::optional<kept<R>> value;

  explicit offloaded_call(Call&& c) : callable(std::move(c)) { call = &make; }

  static void make(offload_job* base) noexcept {
    auto* self = static_cast<offloaded_call*>(base);
    try {
      const in_context as_here(std::move(self->seen));
      if constexpr (std::is_void_v<R>)
        self->callable();
      else if constexpr (std::is_reference_v<R>)
        self->value.emplace(std::addressof(self->callable()));
      else
        self->value.emplace(self->callable());
    } catch (...) {
      self->error = std::current_exception();
    }
  }
};

}  // namespace coir::detail
