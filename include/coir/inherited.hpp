#pragma once

#include <memory>
#include <utility>

#include "coir/detail/context.hpp"

namespace coir {

/// A value that belongs to what is being done rather than to a place in the code: a request's number, a
/// deadline, who asks (Python's contextvars).
///
/// Each fiber sees the value that it set last, or else the one that its maker saw when it spawned it. So do
/// functions given to `offload`, `post`, `on_signal` and a `thread_pool`. What a fiber sets later is seen
/// neither by its maker nor by the fibers it made before. Spawning copies one pointer, and nothing where no
/// value is set; setting copies a pointer for each variable that is set. `T` is copied or moved by the thread
/// that sets it, and destroyed by whoever sees it last. Context: any fiber and any plain thread (its main
/// fiber). Fibers of Boost.Fiber have values of their own, and inherit none.
template <class T>
class inherited {
 public:
  /// `initial`: what is seen where nothing was set.
  explicit inherited(T initial = T()) : initial_(std::move(initial)) {}

  /// The value that the running fiber sees. The reference lives until this fiber sets another or leaves the
  /// scope that set it. Never suspends.
  const T& get() const noexcept {
    const void* found = key_.find();
    return found == nullptr ? initial_ : *static_cast<const T*>(found);
  }
  /// The same.
  const T& operator*() const noexcept { return get(); }
  /// The same.
  const T* operator->() const noexcept { return &get(); }

  /// Sets it for the running fiber, and for those it spawns from now on. Never suspends. Throws
  /// std::bad_alloc, what making the value throws, and as coir::spawn when it is the first that the thread
  /// wants of coir.
  void set(T value) { key_.set(std::make_shared<T>(std::move(value))); }

  /// While it lives, its fiber sees another value. Left by the fiber that made it, in reverse order of
  /// making.
  class [[nodiscard]] scope {
   public:
    /// Sets `value` for the running fiber until the scope is left. Throws as set.
    scope(inherited& variable, T value) : scope_(variable.key_, std::make_shared<T>(std::move(value))) {}

   private:
    detail::context_scope scope_;
  };
  /// `const auto scope = user.with("anne");` Throws as set.
  scope with(T value) { return scope(*this, std::move(value)); }

 private:
  T initial_;
  detail::context_key key_;
};

}  // namespace coir
