#include "wait/forget.hpp"

#include <memory>
#include <new>

#include "base/raw.hpp"
#include "sched/scheduler.hpp"

namespace coir::wait {
namespace {

using sched::scheduler;

// "The owner `generation` of `fd` is gone" for another thread's scheduler.
struct closed_message : base::inbox_node {
  int fd;
  std::uint32_t generation;
};

// On the thread, between two of its fibers; or at the end of its scheduler, when nobody waits any more.
void deliver_closed(base::inbox_node* node) noexcept {
  const std::unique_ptr<closed_message> m(static_cast<closed_message*>(node));
  scheduler* s = scheduler::existing();
  if (s == nullptr) return;
  reactor::fd_state* state = s->fds().find(m->fd);
  if (state != nullptr && s->opened_io() != nullptr)
    s->opened_io()->forget(m->fd, *state, m->generation, false);
}

void tell_others(int fd, std::uint32_t generation, std::uint64_t users) noexcept {
  const scheduler* here = scheduler::existing();
  sched::mailbox::for_each([&](sched::mailbox& m) {
    if (m.owner() == here || (users >> (m.slot() % 64) & 1) == 0) return;
    m.forget_elsewhere(fd);
    auto* message = new (std::nothrow) closed_message;
    if (message == nullptr) return;  // its waiters wait on; nothing else is wrong
    message->deliver = deliver_closed;
    message->fd = fd;
    message->generation = generation;
    if (!m.post(message)) delete message;
  });
}

}  // namespace

void forget(int fd, reactor::fd_owner& owner) noexcept {
  const std::uint64_t users = owner.users.exchange(0, std::memory_order_acq_rel);
  const std::uint32_t old =
      owner.generation.fetch_add(1, std::memory_order_acq_rel);  // pairs with fd_table::get
  std::uint64_t mine = 0;
  if (scheduler* s = scheduler::existing()) {
    // Beyond so many threads others share the bit.
    mine = sched::mailbox::slots() > 64 ? 0 : std::uint64_t{1} << (s->mail().slot() % 64);
    reactor::fd_state* state = s->fds().find(fd);
    if (state != nullptr && s->opened_io() != nullptr) s->opened_io()->forget(fd, *state, old, true);
  }
  if (!detail::single_threaded() && users != 0 && (users & ~mine) != 0) tell_others(fd, old, users);
}

void close(int fd) noexcept {
  base::raw(SYS_close, fresh(fd));
}

}  // namespace coir::wait
