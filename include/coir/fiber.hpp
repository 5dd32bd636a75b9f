#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "coir/attributes.hpp"
#include "coir/detail/fiber_base.hpp"
#include "coir/detail/switch.hpp"
#include "coir/detail/time.hpp"

namespace coir {

template <class T>
class fiber;

namespace detail {

// Whether a result lies at the top of the fiber's stack.
template <class T>
inline constexpr bool is_small = sizeof(T) <= largest_payload / 2 && alignof(T) <= 64;
template <>
inline constexpr bool is_small<void> = true;

// The result's place, right below the record; T may be void.
template <class T, bool Small = is_small<T>>
struct result_slot {
  static constexpr bool is_trivial = std::is_trivially_destructible_v<T>;
  bool has_value = false;
  alignas(T) unsigned char bytes[sizeof(T)];

  T& value() noexcept { return *std::launder(reinterpret_cast<T*>(bytes)); }
  template <class F>
  void make(F&& f) {
    ::new (static_cast<void*>(bytes)) T(f());
    has_value = true;
  }
  void destroy() noexcept {
    if (has_value) value().~T();
  }
};
template <class T>
struct result_slot<T, false> {
  static constexpr bool is_trivial = false;
  T* boxed = nullptr;

  T& value() noexcept { return *boxed; }
  template <class F>
  void make(F&& f) {
    boxed = new T(f());
  }
  void destroy() noexcept { delete boxed; }
};
template <>
struct result_slot<void> {
  static constexpr bool is_trivial = true;
};

// A result that is a reference is kept as a pointer.
template <class T>
using stored = std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>;

// Bytes from the record (aligned to 64) down to the start of a T that ends at most `above` bytes below it.
template <class T>
constexpr std::size_t offset_below(std::size_t above) {
  constexpr std::size_t alignment = alignof(T) > 16 ? alignof(T) : 16;
  return (above + sizeof(T) + alignment - 1) / alignment * alignment;
}

template <class R>
inline constexpr std::size_t result_offset = offset_below<result_slot<stored<R>>>(0);

template <class R>
result_slot<stored<R>>& result_of_fiber(fiber_base* f) noexcept {
  return *below<result_slot<stored<R>>>(f, result_offset<R>);
}

// The result, and below it the callable.
template <class R, class Call>
struct payload {
  static constexpr std::size_t offset = offset_below<Call>(result_offset<R>);

  static Call& callable(fiber_base* f) noexcept { return *std::launder(below<Call>(f, offset)); }

  static void run(fiber_base* f, payload_step step) {
    if constexpr (!std::is_void_v<R>) {
      if (step == payload_step::dispose) {
        result_of_fiber<R>(f).destroy();
        return;
      }
    }
    struct destroyer {
      Call& c;
      ~destroyer() { c.~Call(); }
    } destroy{callable(f)};
    if (step == payload_step::discard) return;
    if constexpr (std::is_void_v<R>) {
      destroy.c();
    } else {
      result_of_fiber<R>(f).make([&]() -> stored<R> {
        if constexpr (std::is_reference_v<R>)
          return std::addressof(destroy.c());
        else
          return destroy.c();
      });
    }
  }

  // Puts the callable in its place, and makes the result's.
  template <class C>
  static void construct(fiber_base* f, C&& call) {
    if constexpr (!std::is_void_v<R>) {
      ::new (static_cast<void*>(&result_of_fiber<R>(f))) result_slot<stored<R>>;
      if constexpr (!result_slot<stored<R>>::is_trivial) f->flags |= has_result;
    }
    ::new (static_cast<void*>(below<Call>(f, offset))) Call(std::forward<C>(call));
  }
};

// f(args...) with its own copies of both; what std::thread does.
template <class F, class... Args>
struct bound_call {
  F f;
  std::tuple<Args...> args;

  decltype(auto) operator()() {
    return std::apply(
        [this](Args&... a) -> decltype(auto) { return std::invoke(std::move(f), std::move(a)...); }, args);
  }
};

template <class F>
struct bound_call<F> {
  F f;
  decltype(auto) operator()() { return std::invoke(std::move(f)); }
};

// A callable too big for the top of a stack.
template <class Call>
struct boxed_call {
  std::unique_ptr<Call> inner;
  decltype(auto) operator()() { return (*inner)(); }
};

template <class R, class Call>
[[gnu::always_inline]] inline fiber_base* launch(const attributes* how, Call&& call) {
  using callable = std::remove_cvref_t<Call>;
  using body = payload<R, callable>;
  if constexpr (std::is_trivially_copyable_v<callable>) {
    fiber_base* f = create_started_fiber(how, body::offset, &body::run);
    body::construct(f, std::forward<Call>(call));
    return f;
  } else {
    fiber_base* f = create_fiber(how, body::offset, &body::run);
    try {
      body::construct(f, std::forward<Call>(call));
    } catch (...) {
      abandon_fiber(f);
      throw;
    }
    start_fiber(f);
    return f;
  }
}

// Calls `run(context)` when `f` has ended and then `drop(context)`; both at once, and null is returned, if it
// has ended already. What `run` throws is reported. If this throws (std::bad_alloc), neither was called.
// `id`: where the link's number goes, 0 if null is returned.
void* add_link(fiber_base* f, void (*run)(void* context), void (*drop)(void* context) noexcept, void* context,
               std::uint64_t* id = nullptr);
// Takes a link of `f` out that add_link returned and that was not taken out before. True: neither its `run`
// nor its `drop` was or will be called. False: `run` was or is being called, on the fiber's thread. Any
// thread.
bool remove_link(fiber_base* f, void* link) noexcept;
// The same by number, and drops its context.
bool drop_link(fiber_base* f, std::uint64_t id) noexcept;

}  // namespace detail

/// A shared handle to a fiber, and to the `T` its function returns.
///
/// Copying a handle is cheap; dropping the last one detaches the fiber, which runs on. A handle keeps the
/// fiber's stack until it is dropped, so keep results, not handles, of very many ended fibers. Usable from
/// every thread.
template <class T>
class fiber {
 public:
  using result_type = T;

  /// A handle to no fiber; every other member but assignment, valid and destruction needs one.
  fiber() noexcept = default;
  fiber(const fiber& other) noexcept : base_(other.base_) {
    if (base_ != nullptr) detail::retain(base_);
  }
  fiber(fiber&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}
  fiber& operator=(fiber other) noexcept {
    std::swap(base_, other.base_);
    return *this;
  }
  ~fiber() {
    if (base_ != nullptr) detail::release(base_);
  }

  /// Whether this handle belongs to a fiber.
  bool valid() const noexcept { return base_ != nullptr; }

  /// Waits until the fiber has ended, and returns what its function returned: a reference that lives as long
  /// as a handle does (nothing for void). Called on a temporary handle, it returns the value itself.
  ///
  /// Suspends. Throws what left the fiber's function (coir::cancelled if that was its end); coir::cancelled,
  /// timed_out or what was raised if the caller's own wait is interrupted; std::system_error
  /// (resource_deadlock_would_occur) if a fiber waits for itself; std::logic_error if not valid().
  decltype(auto) get() const& {
    wait_for_end("get");
    if constexpr (std::is_reference_v<T>)
      return static_cast<T>(*slot().value());
    else if constexpr (!std::is_void_v<T>)
      return static_cast<T&>(slot().value());
  }
  /// The same, and the value is moved out if no other handle is left.
  T get() && {
    wait_for_end("get");
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*slot().value());
    } else if constexpr (!std::is_void_v<T>) {
      if constexpr (std::is_copy_constructible_v<T>)
        if (!base_->only_reference()) return slot().value();  // others may still ask
      return std::move(slot().value());
    }
  }

  /// Waits until the fiber has ended, in whatever way. Suspends. Throws as get, but not what left the
  /// function.
  void join() const { detail::join_fiber(checked("join")); }
  /// The same for at most `d`; false if that passed first. std::invalid_argument if `d` is negative.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> d) const {
    detail::fiber_base* f = checked("join_for");
    return detail::join_fiber_until(
        f, detail::deadline_after(detail::checked_duration("coir::fiber::join_for", d)));
  }
  /// The same until the point `t` of any clock.
  template <class Clock, class Duration>
  bool join_until(std::chrono::time_point<Clock, Duration> t) const {
    return detail::join_fiber_until(checked("join_until"), detail::deadline_at(t));
  }

  /// Whether the fiber has ended. Never suspends.
  bool ready() const { return checked("ready")->done(); }
  /// Whether it has ended without an exception. Never suspends.
  bool successful() const { return ready() && base_->error == nullptr; }
  /// The exception that left its function, or null; asking counts as having seen it. Never suspends.
  std::exception_ptr exception() const {
    if (!ready()) return nullptr;
    detail::mark_observed(base_);
    return base_->error;
  }

  /// Asks the fiber to end: its present or next coir call throws coir::cancelled, and each one after that,
  /// until it ends; patched libc calls return -1 with ECANCELED. A fiber that has not begun never will. No
  /// effect on one that has ended. Never suspends; any thread.
  void cancel() const { detail::cancel_fiber(checked("cancel")); }
  /// Makes the fiber's present or next coir call throw `error`, once; those raised before it come first.
  /// std::invalid_argument if `error` is null; std::bad_alloc, and nothing is raised then. Never suspends;
  /// any thread.
  void raise(std::exception_ptr error) const { detail::raise_in_fiber(checked("raise"), std::move(error)); }
  /// The same with an exception object.
  template <class E>
  requires(!std::is_same_v<std::remove_cvref_t<E>, std::exception_ptr>) void raise(E&& error) const {
    raise(std::make_exception_ptr(std::forward<E>(error)));
  }

  /// Calls `f(handle)` when the fiber has ended, at once if it has and no other is being called. Callbacks
  /// run in the order of adding, on the fiber's thread; one that throws is reported on stderr and does not
  /// stop the others. They should not wait. Returns a number for remove_on_done. Never suspends; any thread.
  /// Throws std::bad_alloc and what copying `f` throws.
  template <class F>
  std::uint64_t on_done(F&& f) const {
    struct call {
      std::remove_cvref_t<F> f;
      detail::fiber_base* ended;
    };
    detail::fiber_base* base = checked("on_done");
    auto box = std::make_unique<call>(call{std::forward<F>(f), base});
    std::uint64_t id;
    detail::add_link(
        base,
        [](void* context) {
          auto* c = static_cast<call*>(context);
          detail::retain(c->ended);
          fiber ended(c->ended);
          if constexpr (std::is_invocable_v<std::remove_cvref_t<F>&, fiber>)
            c->f(std::move(ended));
          else
            c->f(ended);
        },
        [](void* context) noexcept { delete static_cast<call*>(context); }, box.get(), &id);
    (void)box.release();
    return id;
  }
  /// Takes back the callback that on_done of this fiber gave the number `id`. True: it will not be called.
  /// False: it was called, is being called, or was taken back before. Never suspends; any thread.
  bool remove_on_done(std::uint64_t id) const { return detail::drop_link(checked("remove_on_done"), id); }

  /// A number no other fiber of the process has had.
  std::uint64_t id() const { return detail::fiber_id(checked("id")); }
  /// The name given at spawn, or "fiber". Lives as long as the handle.
  std::string_view name() const { return detail::fiber_name(checked("name")); }

  friend bool operator==(const fiber& a, const fiber& b) noexcept { return a.base_ == b.base_; }

  /// Internal: adopts one reference.
  explicit fiber(detail::fiber_base* base) noexcept : base_(base) {}
  /// Internal.
  detail::fiber_base* base() const noexcept { return base_; }

 private:
  detail::fiber_base* checked(const char* what) const {
    if (base_ == nullptr)
      throw std::logic_error(std::string("coir::fiber::") + what + ": the handle belongs to no fiber");
    return base_;
  }
  void wait_for_end(const char* what) const {
    detail::fiber_base* f = checked(what);
    detail::join_fiber(f);
    if (__builtin_expect(f->error != nullptr, 0)) detail::rethrow_error(f);
  }
  detail::result_slot<detail::stored<T>>& slot() const noexcept { return detail::result_of_fiber<T>(base_); }

  detail::fiber_base* base_ = nullptr;
};

namespace detail {

// The same for functions over many handles: `future` has these too.
template <class T>
void* add_link(const fiber<T>& f, void (*run)(void* context), void (*drop)(void* context) noexcept,
               void* context) {
  return add_link(f.base(), run, drop, context);
}
template <class T>
bool remove_link(const fiber<T>& f, void* link) noexcept {
  return remove_link(f.base(), link);
}

template <class F, class... Args>
using call_of = bound_call<std::decay_t<F>, std::decay_t<Args>...>;
template <class F, class... Args>
using result_of = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;

template <class F, class... Args>
[[gnu::always_inline]] inline auto spawn_with(const attributes* how, F&& f, Args&&... args) {
  using result = result_of<F, Args...>;
  using call = call_of<F, Args...>;
  static_assert(std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>,
                "coir::spawn: f(args...) must be a valid call");
  if constexpr (payload<result, call>::offset <= largest_payload && alignof(call) <= 64) {
    if constexpr (sizeof...(Args) == 0)
      return fiber<result>(launch<result>(how, call{std::forward<F>(f)}));
    else
      return fiber<result>(launch<result>(how, call{std::forward<F>(f), {std::forward<Args>(args)...}}));
  } else {
    std::unique_ptr<call> box;
    if constexpr (sizeof...(Args) == 0)
      box.reset(new call{std::forward<F>(f)});
    else
      box.reset(new call{std::forward<F>(f), {std::forward<Args>(args)...}});
    return fiber<result>(launch<result>(how, boxed_call<call>{std::move(box)}));
  }
}

}  // namespace detail

/// Makes a fiber that will run `f(args...)` on this thread, with its own copies of both, and returns its
/// handle.
///
/// The fiber is queued, and runs when this one next waits or yields. Never suspends.
/// Throws std::system_error naming the limit when there is no room for a stack; std::bad_alloc;
/// std::invalid_argument for a wrong COIR_* variable (first use on a thread); what copying `f` and `args`
/// throws. Context: any thread, not in a signal handler.
template <class F, class... Args>
requires(!std::is_same_v<std::remove_cvref_t<F>, attributes>)
    [[gnu::always_inline]] inline auto spawn(F&& f, Args&&... args) {
  return detail::spawn_with(nullptr, std::forward<F>(f), std::forward<Args>(args)...);
}

/// The same with a name or a stack size of its own; also std::invalid_argument if `how.stack_size` is out of
/// range.
template <class F, class... Args>
[[gnu::always_inline]] inline auto spawn(const attributes& how, F&& f, Args&&... args) {
  return detail::spawn_with(&how, std::forward<F>(f), std::forward<Args>(args)...);
}

}  // namespace coir
