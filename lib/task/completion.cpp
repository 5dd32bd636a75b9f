#include <atomic>
#include <limits>

#include "coir/gather.hpp"
#include "coir/queue.hpp"

namespace coir::detail {

// Shared by the completion and the callbacks of the fibers it watches; a callback may run on another thread
// after the completion is gone.
struct completion::state {
  std::atomic<std::size_t> refs{1};
  fifo_store<std::size_t> store;
  queue_core ended{store, &move, std::numeric_limits<std::size_t>::max()};

  static void move(void* from, void* to) {
    static_cast<std::optional<std::size_t>*>(to)->emplace(*static_cast<std::size_t*>(from));
  }

  void release() noexcept {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
};

namespace {

template <class State>
struct watcher {
  State* state;
  std::size_t index;

  static void run(void* context, fiber_base*) {
    auto* w = static_cast<watcher*>(context);
    w->state->ended.push(&w->index, at_once_ns);
  }
  static void drop(void* context) noexcept {
    auto* w = static_cast<watcher*>(context);
    w->state->release();
    delete w;
  }
};

}  // namespace

completion::completion() : state_(new state) {}
completion::~completion() {
  state_->release();
}

void completion::add(fiber_base* f, std::size_t index) {
  using node = watcher<state>;
  auto w = std::make_unique<node>(node{state_, index});
  state_->refs.fetch_add(1, std::memory_order_relaxed);
  try {
    add_callback(f, &node::run, &node::drop, w.get());
  } catch (...) {
    state_->release();
    throw;
  }
  (void)w.release();
}

std::optional<std::size_t> completion::next(std::int64_t deadline_ns) {
  std::optional<std::size_t> index;
  state_->ended.pop(&index, deadline_ns);
  return index;
}

}  // namespace coir::detail
