#include "reactor/fd_table.hpp"

#include <sys/mman.h>

#include <new>

#include "base/roots.hpp"

namespace coir::reactor {
namespace {

constexpr std::size_t states_room = sizeof(fd_state*) * most_descriptors;

void* reserve(std::size_t bytes) noexcept {
  void* m =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return m == MAP_FAILED ? nullptr : m;
}

}  // namespace

std::atomic<int> descriptors_seen{0};
std::atomic<std::uint32_t> flags_epoch{1};
std::atomic<std::uint32_t> private_epoch{1};

fd_owner* fd_owners() noexcept {
  // Not a function-local static: a fork during its initialisation would lock the child out.
  static std::atomic<fd_owner*> owners{nullptr};
  fd_owner* known = owners.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  // Zero-filled pages are valid fd_owners: both members are zero atomics.
  constexpr std::size_t bytes = sizeof(fd_owner) * most_descriptors;
  auto* fresh = static_cast<fd_owner*>(reserve(bytes));
  if (fresh == nullptr || owners.compare_exchange_strong(known, fresh, std::memory_order_acq_rel))
    return fresh;
  ::munmap(fresh, bytes);
  return known;
}

fd_table::~fd_table() {
  if (states_ == nullptr) return;
  clear();
  base::remove_root(states_, states_room);
  ::munmap(states_, states_room);
}

void fd_table::clear() noexcept {
  for (int fd = 0; fd < size_; ++fd) {
    delete states_[fd];
    states_[fd] = nullptr;
  }
  size_ = 0;
  first_suspect_[0] = first_suspect_[1] = 1;
}

fd_state* fd_table::make(int fd) noexcept {
  if (fd < 0 || fd >= most_descriptors) return nullptr;
  if (states_ == nullptr) {
    owners_ = fd_owners();
    states_ = static_cast<fd_state**>(reserve(states_room));
    if (owners_ == nullptr || states_ == nullptr) return nullptr;
    base::add_root(states_, states_room);
  }
  if (fd >= size_) size_ = fd + 1;
  int seen = descriptors_seen.load(std::memory_order_relaxed);
  while (seen <= fd && !descriptors_seen.compare_exchange_weak(seen, fd + 1, std::memory_order_relaxed)) {
  }
  fd_state* s = states_[fd];
  if (s == nullptr) {
    s = states_[fd] = new (std::nothrow) fd_state;
    if (s == nullptr) return nullptr;
  }
  s->generation = owners_[fd].generation.load(std::memory_order_acquire);  // pairs with the bump in close
  s->begin_anew();
  owners_[fd].users.fetch_or(user_bit_, std::memory_order_acq_rel);
  return s;
}

}  // namespace coir::reactor
