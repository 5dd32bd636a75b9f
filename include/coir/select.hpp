#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "coir/channel.hpp"
#include "coir/detail/select_core.hpp"
#include "coir/event.hpp"
#include "coir/fiber.hpp"
#include "coir/promise.hpp"
#include "coir/queue.hpp"

namespace coir {

namespace detail {

struct no_handler {
  template <class... Args>
  void operator()(Args&&...) const noexcept {}
};

template <class T>
struct pop_case : case_base {
  static constexpr bool happens_once = false;
  std::optional<T> slot;
  void arm() noexcept {
    slot.reset();
    item = &slot;
  }
  template <class F>
  void finish(F& f) {
    f(std::move(slot));
  }
};

// `Item` is T, or T& for one that stays where it is unless it is pushed.
template <class Item>
struct push_case : case_base {
  static constexpr bool happens_once = true;  // the item is spent then
  Item pushed;
  void arm() noexcept { item = std::addressof(pushed); }
  template <class F>
  void finish(F& f) {
    f(!closed);
  }
};

// `Handle` is kept alive, and given to the handler if that takes it.
template <class Handle>
struct handle_case : case_base {
  static constexpr bool happens_once = false;
  Handle handle;
  void arm() noexcept {}
  template <class F>
  void finish(F& f) {
    if constexpr (std::is_invocable_v<F&, const Handle&>)
      f(handle);
    else
      f();
  }
};

struct plain_case : case_base {
  static constexpr bool happens_once = false;
  void arm() noexcept {}
  template <class F>
  void finish(F& f) {
    f();
  }
};

inline int checked_fd(const char* where, int fd) {
  if (fd < 0) bad_descriptor(where, fd);
  return fd;
}

}  // namespace detail

/// One thing that a select may wait for, and what is then to be done: made by on_pop and the like, given to
/// select or selector.
template <class Kind, class Handler>
class select_case {
 public:
  /// Internal.
  select_case(Kind kind, Handler handler) : kind_(std::move(kind)), handler_(std::move(handler)) {}
  /// Internal.
  detail::case_base& arm() noexcept {
    kind_.arm();
    return kind_;
  }
  /// Internal.
  void finish() { kind_.finish(handler_); }

 private:
  Kind kind_;
  [[no_unique_address]] Handler handler_;
};

/// An item is taken from `c`: `f(std::optional<T>)`, empty if it is closed.
template <class T, class F = detail::no_handler>
auto on_pop(channel<T>& c, F f = {}) {
  return select_case(detail::pop_case<T>{{detail::case_kind::channel_pop, &c.core()}, {}}, std::move(f));
}
/// The same with any kind of queue.
template <class T, class Store, class F = detail::no_handler>
auto on_pop(basic_queue<T, Store>& q, F f = {}) {
  return select_case(detail::pop_case<T>{{detail::case_kind::queue_pop, &q.core()}, {}}, std::move(f));
}

/// `item` is handed to a pop of `c`: `f(bool)`, false if it is closed. The case keeps the item until then,
/// and destroys it if it was not wanted; std::ref(item) leaves it where it is, unmoved unless it is pushed.
template <class T, class F = detail::no_handler>
auto on_push(channel<T>& c, std::type_identity_t<T> item, F f = {}) {
  return select_case(detail::push_case<T>{{detail::case_kind::channel_push, &c.core()}, std::move(item)},
                     std::move(f));
}
/// The same with an item that stays where it is, unmoved unless it is pushed.
template <class T, class F = detail::no_handler>
auto on_push(channel<T>& c, std::reference_wrapper<T> item, F f = {}) {
  return select_case(detail::push_case<T&>{{detail::case_kind::channel_push, &c.core()}, item.get()},
                     std::move(f));
}
/// `item` is put into a queue of any kind: as with a channel.
template <class T, class Store, class F = detail::no_handler>
auto on_push(basic_queue<T, Store>& q, std::type_identity_t<T> item, F f = {}) {
  return select_case(detail::push_case<T>{{detail::case_kind::queue_push, &q.core()}, std::move(item)},
                     std::move(f));
}
/// The same with an item that stays where it is, unmoved unless it is pushed.
template <class T, class Store, class F = detail::no_handler>
auto on_push(basic_queue<T, Store>& q, std::reference_wrapper<T> item, F f = {}) {
  return select_case(detail::push_case<T&>{{detail::case_kind::queue_push, &q.core()}, item.get()},
                     std::move(f));
}

/// `e` is set: `f()`.
template <class F = detail::no_handler>
auto on_set(event& e, F f = {}) {
  return select_case(detail::plain_case{{detail::case_kind::event_set, &e}}, std::move(f));
}

/// A fiber has ended: `f(handle)` or `f()`. Throws std::logic_error if the handle belongs to none.
template <class T, class F = detail::no_handler>
auto on_done(fiber<T> ended, F f = {}) {
  ended.ready();  // throws
  detail::fiber_base* base = ended.base();
  return select_case(detail::handle_case<fiber<T>>{{detail::case_kind::fiber_done, base}, std::move(ended)},
                     std::move(f));
}
/// A future has its value or exception: `f(future)` or `f()`. Throws std::future_error if it has no promise.
template <class T, class F = detail::no_handler>
auto on_done(future<T> done, F f = {}) {
  event* ready = &done.checked().ready;
  return select_case(detail::handle_case<future<T>>{{detail::case_kind::event_set, ready}, std::move(done)},
                     std::move(f));
}

/// A read of the descriptor would not wait, be it for data, the end, or an error: `f()`. Throws
/// std::invalid_argument if `fd` is negative.
template <class F = detail::no_handler>
auto on_readable(int fd, F f = {}) {
  detail::plain_case c{{detail::case_kind::readable}};
  c.fd = detail::checked_fd("coir::on_readable", fd);
  return select_case(c, std::move(f));
}
/// A write to the descriptor would not wait: `f()`. Throws as on_readable.
template <class F = detail::no_handler>
auto on_writable(int fd, F f = {}) {
  detail::plain_case c{{detail::case_kind::writable}};
  c.fd = detail::checked_fd("coir::on_writable", fd);
  return select_case(c, std::move(f));
}

/// `d` has passed since the select began: `f()`. Throws std::invalid_argument if `d` is negative.
template <class Rep, class Period, class F = detail::no_handler>
auto after(std::chrono::duration<Rep, Period> d, F f = {}) {
  detail::plain_case c{{detail::case_kind::after}};
  c.time_ns = detail::checked_duration("coir::after", d);
  return select_case(c, std::move(f));
}
/// The point `t` of any clock has come: `f()`.
template <class Clock, class Duration, class F = detail::no_handler>
auto at(std::chrono::time_point<Clock, Duration> t, F f = {}) {
  detail::plain_case c{{detail::case_kind::at}};
  c.time_ns = detail::deadline_at(t);
  return select_case(c, std::move(f));
}
/// Nothing else is possible at once: `f()`. With this case a select never suspends.
template <class F = detail::no_handler>
auto otherwise(F f = {}) {
  return select_case(detail::plain_case{{detail::case_kind::otherwise}}, std::move(f));
}

/// Waits until one of the cases is possible, makes it happen, and only that one, runs its handler, and
/// returns its index in the order of the arguments. Of several that are possible a random one is taken.
///
/// When the handler runs, nothing of the others is left behind: they took no item, no wake-up and no place in
/// a line. Suspends. Throws cancelled, timed_out or what was raised, and none has happened then; what a
/// handler or moving an item throws; std::system_error if a descriptor is not open, is closed meanwhile, or
/// cannot be waited for. Context: fibers of any thread and plain threads.
template <class... Kinds, class... Handlers>
std::size_t select(select_case<Kinds, Handlers>&&... cases) {
  static_assert(sizeof...(cases) != 0, "coir::select: expected at least one case");
  detail::case_base* const all[] = {&cases.arm()...};
  detail::select_place places[sizeof...(cases)];
  detail::spin_lock* locks[sizeof...(cases)];
  const std::size_t chosen = detail::choose({all, places, locks, sizeof...(cases)});
  std::size_t i = 0;
  static_cast<void>(((i++ == chosen && (cases.finish(), true)) || ...));
  return chosen;
}

/// A select over any number of cases, to be waited for again and again. Context: one fiber at a time.
class selector {
 public:
  selector() = default;
  selector(const selector&) = delete;
  selector& operator=(const selector&) = delete;

  /// Adds a case and returns its index. Channels, queues and events must live until it is removed. A handler
  /// may add and remove cases. Throws std::bad_alloc.
  template <class Kind, class Handler>
  std::size_t add(select_case<Kind, Handler> c) {
    cases_.push_back(std::make_shared<holder<Kind, Handler>>(std::move(c)));
    ++size_;
    return cases_.size() - 1;
  }
  /// Takes a case out; the others keep their indices. Throws std::out_of_range if there is none of that
  /// index.
  void remove(std::size_t index) {
    if (index >= cases_.size() || cases_[index] == nullptr)
      throw std::out_of_range("coir::selector::remove: index=" + std::to_string(index) +
                              ": expected that of a case");
    cases_[index] = nullptr;
    --size_;
  }
  /// How many cases there are.
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// As select over the cases there are; on_push is removed once it has happened. Throws also
  /// std::logic_error if there are none.
  std::size_t wait() {
    if (empty()) throw std::logic_error("coir::selector::wait: there are no cases: it would wait for ever");
    armed_.clear();
    indices_.clear();
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (cases_[i] == nullptr) continue;
      armed_.push_back(&cases_[i]->arm());
      indices_.push_back(i);
    }
    places_.resize(armed_.size());
    locks_.resize(armed_.size());
    const std::size_t chosen =
        indices_[detail::choose({armed_.data(), places_.data(), locks_.data(), armed_.size()})];
    const std::shared_ptr<holder_base> winner = cases_[chosen];  // it may remove itself
    if (winner->happens_once) remove(chosen);
    winner->finish();
    return chosen;
  }

 private:
  struct holder_base {
    const bool happens_once;
    explicit holder_base(bool once) noexcept : happens_once(once) {}
    virtual ~holder_base() = default;
    virtual detail::case_base& arm() noexcept = 0;
    virtual void finish() = 0;
  };
  template <class Kind, class Handler>
  struct holder final : holder_base {
    select_case<Kind, Handler> inner;
    explicit holder(select_case<Kind, Handler>&& c) : holder_base(Kind::happens_once), inner(std::move(c)) {}
    detail::case_base& arm() noexcept override { return inner.arm(); }
    void finish() override { inner.finish(); }
  };

  std::vector<std::shared_ptr<holder_base>> cases_;
  std::size_t size_ = 0;
  std::vector<detail::case_base*> armed_;
  std::vector<std::size_t> indices_;
  std::vector<detail::select_place> places_;
  std::vector<detail::spin_lock*> locks_;
};

}  // namespace coir
