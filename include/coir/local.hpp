#pragma once

#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace coir {

namespace detail {

// A fiber's object of some local<T>, in the list of all that the fiber has.
struct local_object {
  void (*destroy)(local_object* self) noexcept = nullptr;  // deletes it
  local_object* older = nullptr;
  local_object* newer = nullptr;
  std::uint32_t place = 0;
};

struct key_place;

// Where fibers keep their objects of one local<T>.
class local_key {
 public:
  local_key();
  ~local_key();
  local_key(const local_key&) = delete;
  local_key& operator=(const local_key&) = delete;

  local_object* find() const noexcept;  // the running fiber's, or null
  void check() const;                   // throws std::logic_error where fibers cannot have any
  void put(local_object* fresh) const;  // owns it, unless this throws
  void reset() const noexcept;

 private:
  std::uint64_t id_;  // of no other key, ever
  std::uint32_t place_;
  key_place* own_;
};

}  // namespace detail

/// An object that each fiber has its own of, as `thread_local` gives each thread its own.
///
/// It is made when its fiber first asks for it, and destroyed on the fiber's own stack when that ends: after
/// its function has returned or thrown, before those who join it wake, in the reverse order of making.
/// Destructors may wait, and are not interrupted then. A thread's main fiber has one too, plain threads
/// included; it goes with the thread, as thread_local objects do. The first use in a fiber allocates, later
/// ones cost a few loads, and fibers that use none pay nothing.
///
/// Destroying the `local` destroys the caller's object; those of others are out of reach, and go with their
/// fibers at the latest.
/// Context: fibers of coir, and main fibers; std::logic_error on fibers of Boost.Fiber
/// (boost::fibers::fiber_specific_ptr is theirs). Any thread.
template <class T>
class local {
 public:
  /// The objects are value-initialised.
  local() requires std::is_default_constructible_v<T>
  = default;
  /// They are what `initial()` returns, called in the fiber that asks. It is called by fibers of all threads
  /// that use this.
  explicit local(std::function<T()> initial) : initial_(std::move(initial)) {}

  /// The running fiber's object, made if there is none yet. The reference lives until the fiber ends or calls
  /// `reset`. Suspends only if T's constructor does. Throws what making it throws, std::bad_alloc,
  /// std::logic_error; as coir::spawn when it is the first that the thread wants of coir.
  T& get() {
    if (auto* found = key_.find()) return static_cast<holder*>(found)->value;
    return make();
  }
  /// The same.
  T& operator*() { return get(); }
  /// The same.
  T* operator->() { return &get(); }
  /// The running fiber's object if there is one, or null. Never suspends.
  T* find() noexcept {
    auto* found = key_.find();
    return found == nullptr ? nullptr : &static_cast<holder*>(found)->value;
  }
  /// Destroys the running fiber's object now. Suspends only if T's destructor does.
  void reset() noexcept { key_.reset(); }

 private:
  struct holder : detail::local_object {
    T value;
    holder() : value() {}
    explicit holder(const std::function<T()>& initial) : value(initial()) {}
  };

  [[gnu::noinline]] T& make() {
    key_.check();
    holder* h;
    if constexpr (std::is_default_constructible_v<T>)
      h = initial_ ? new holder(initial_) : new holder;
    else
      h = new holder(initial_);
    h->destroy = [](detail::local_object* self) noexcept { delete static_cast<holder*>(self); };
    try {
      key_.put(h);
    } catch (...) {
      delete h;
      throw;
    }
    return h->value;
  }

  std::function<T()> initial_;
  detail::local_key key_;
};

}  // namespace coir
