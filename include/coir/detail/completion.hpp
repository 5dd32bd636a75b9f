// The order in which a set of handles ends. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "coir/fiber.hpp"
#include "coir/promise.hpp"

namespace coir::detail {

// Handles of any kind that has add_link and remove_link. Used by one thread; they may end on others.
class completion {
 public:
  // `count`: how many will be added at most.
  explicit completion(std::size_t count);
  // Takes back the links of those that have not ended.
  ~completion();
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  // `handle` stays where it is until this is destroyed. Its index is the number of those added before.
  template <class Handle>
  void add(const Handle& handle) {
    place* p = reserve(
        &handle, [](const void* h, void* link) { return remove_link(*static_cast<const Handle*>(h), link); },
        [](const void* h) {
          if constexpr (requires { help(*static_cast<const Handle*>(h)); })
            help(*static_cast<const Handle*>(h));
        });
    try {
      set_link(p, add_link(handle, &completion::ended, &completion::drop, p));
    } catch (...) {
      give_up(p);
      throw;
    }
  }

  // The index of the next one that has ended; empty at the deadline, and for ever once all were named.
  // Suspends.
  std::optional<std::size_t> next(std::int64_t deadline_ns);

 private:
  struct place;
  struct state;

  place* reserve(const void* handle, bool (*remove)(const void* handle, void* link),
                 void (*help)(const void* handle));
  void help_until_one_ended();
  static void set_link(place* p, void* link) noexcept;
  void give_up(place* p) noexcept;
  static void ended(void* context);
  static void drop(void* context) noexcept;

  state* state_;
  std::size_t added_ = 0;
  std::size_t named_ = 0;
  std::size_t helped_ = 0;
};

// The address of what a handle belongs to. Throws if it belongs to nothing.
template <class T>
const void* identity(const fiber<T>& f) {
  f.ready();
  return f.base();
}
template <class T>
const void* identity(const future<T>& f) {
  return &f.checked();
}

// Waits until the handle's fiber or promise has ended; as join.
template <class Handle>
void wait_for_end(const Handle& handle) {
  if constexpr (requires { handle.join(); })
    handle.join();
  else
    handle.wait();
}
template <class T>
bool wait_for_end(const fiber<T>& f, std::int64_t deadline_ns) {
  return join_fiber_until(f.base(), deadline_ns);
}
// Of any handle else there is no wait to a deadline of the scheduler's clock but this.
template <class Handle>
bool wait_for_end(const Handle& handle, std::int64_t deadline_ns) {
  completion order(1);
  order.add(handle);
  return order.next(deadline_ns).has_value();
}

}  // namespace coir::detail
