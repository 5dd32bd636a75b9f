#include "context/stack.hpp"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/raw_lock.hpp"
#include "coir/attributes.hpp"
#include "context/annotate.hpp"
#include "sys/kernel.hpp"
#include "sys/raw.hpp"

namespace coir::context {
namespace {

std::atomic<std::size_t> carved{0};

// Stacks of ended threads and the uncarved rest of slabs, for any thread. One depot per stack size.
struct depot {
  std::vector<char*> free;
  char* fresh = nullptr;  // uncarved part of the newest slab
  char* fresh_end = nullptr;
  std::size_t reserved = 0;  // stacks in all slabs of this size
};

// The memory of stacks, never given back, for `among_stacks`: the newest first. Added under depots_lock.
struct slab {
  const char* begin;
  const char* end;
  slab* older;
};
std::atomic<slab*> slabs{nullptr};

// Nobody's, below the lowest stack of a slab: what steps over that one's guard, by up to a thread's usual
// 8 MiB, harms nobody and is among stacks, too.
constexpr std::size_t apron_size = std::size_t{8} << 20;

std::atomic<bool> default_size_said{false};

base::raw_lock depots_lock;  // in a patched program a std::mutex would suspend who waits for it

// Under depots_lock. Never destroyed: threads may end after static destructors have run.
std::map<std::size_t, depot>& depots() {
  static std::map<std::size_t, depot>* all = nullptr;
  if (all == nullptr) all = new std::map<std::size_t, depot>;
  return *all;
}

std::size_t stride_of(std::size_t size) noexcept {
  return size + guard_size(size);
}

[[noreturn]] void fail(int error, std::size_t size) {
  throw std::system_error(error, std::system_category(),
                          "coir::spawn: no room for a stack of " + std::to_string(size) + " bytes (" +
                              std::to_string(stacks_carved()) +
                              " stacks exist; the limits are memory, ulimit -v, sysctl vm.overcommit_memory "
                              "and, on kernels without "
                              "MADV_GUARD_INSTALL, sysctl vm.max_map_count)");
}

// Maps room for more stacks; slabs grow with their number so that a million stacks need few mappings.
void map_slab(depot& d, std::size_t size) {
  const std::size_t stride = stride_of(size);
  std::size_t count = std::clamp<std::size_t>(d.reserved / 4, 16, 4096);
  std::size_t apron = apron_size;
  auto known = std::make_unique<slab>();
  void* memory = MAP_FAILED;
  for (;;) {
    memory = ::mmap(nullptr, apron + count * stride, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory != MAP_FAILED || (count <= 1 && apron == 0)) break;
    if (count > 1)
      count /= 2;
    else
      apron = 0;
  }
  if (memory == MAP_FAILED) fail(errno, size);
  // A huge page under a stack's top would commit 2 MiB for one frame. EINVAL: a kernel without them.
  sys::raw(SYS_madvise, sys::word(memory), static_cast<long>(apron + count * stride), MADV_NOHUGEPAGE);
  d.fresh = static_cast<char*>(memory) + apron;
  d.fresh_end = d.fresh + count * stride;
  d.reserved += count;
  *known = {static_cast<char*>(memory), d.fresh_end, slabs.load(std::memory_order_relaxed)};
  slabs.store(known.release(), std::memory_order_release);  // pairs with among_stacks
}

// One more stack of a slab: installs its guard. Null with errno's value in `error` if that fails.
char* carve(depot& d, std::size_t size, int& error) {
  if (d.fresh == d.fresh_end) map_slab(d, size);
  error = sys::install_guard(d.fresh, guard_size(size));
  if (error != 0) return nullptr;
  char* low = d.fresh + guard_size(size);
  d.fresh += stride_of(size);
  carved.fetch_add(1, std::memory_order_relaxed);
  annotate_stack(low, low + size);
  return low;
}

}  // namespace

std::size_t stacks_carved() noexcept {
  return carved.load(std::memory_order_relaxed);
}

std::atomic<std::size_t> default_size{usual_stack_size};

void obey_environment(std::size_t bytes) noexcept {
  if (bytes == 0 || default_size_said.load(std::memory_order_acquire)) return;
  const std::size_t page = sys::page_size();
  default_size.store((bytes + page - 1) / page * page, std::memory_order_relaxed);
}

bool among_stacks(const void* address) noexcept {
  const char* at = static_cast<const char*>(address);
  // pairs with map_slab
  for (const slab* s = slabs.load(std::memory_order_acquire); s != nullptr; s = s->older)
    if (at >= s->begin && at < s->end) return true;
  return false;
}

std::size_t checked_stack_size(std::size_t bytes, const char* asked_by) {
  if (bytes < smallest_stack_size || bytes > largest_stack_size)
    throw std::invalid_argument(std::string(asked_by) + "=" + std::to_string(bytes) + ": expected " +
                                std::to_string(smallest_stack_size) + " to " +
                                std::to_string(largest_stack_size) + " bytes");
  const std::size_t page = sys::page_size();
  return (bytes + page - 1) / page * page;
}

std::size_t guard_size(std::size_t size) noexcept {
  const std::size_t page = sys::page_size();
  const std::size_t pages = std::max<std::size_t>(128 * 1024 / page, 1);
  return (size / page + pages) % 2 == 1 ? pages * page : (pages + 1) * page;
}

void lock_for_fork() noexcept {
  depots_lock.lock();
}
void unlock_after_fork() noexcept {
  depots_lock.unlock();
}

void stack_class::refill() {
  const std::scoped_lock guard(depots_lock);
  depot& d = depots()[size_];
  constexpr std::size_t batch = 16;
  free_.reserve(std::max(free_.capacity(), free_.size() + batch));
  while (free_.size() < batch && !d.free.empty()) {
    free_.push_back(d.free.back());
    d.free.pop_back();
  }
  int error = 0;
  try {
    while (free_.size() < batch) {
      char* low = carve(d, size_, error);
      if (low == nullptr) break;
      free_.push_back(low + fresh_mark);
    }
  } catch (const std::system_error&) {
    if (free_.empty()) throw;  // the last ones are used up first
  }
  if (free_.empty()) fail(error, size_);
  least_free_ = 0;
  trimmed_ = 0;
}

bool stack_class::grow() noexcept {
  try {
    free_.reserve(std::max<std::size_t>(64, free_.capacity() * 2));
    return true;
  } catch (const std::bad_alloc&) {
    return false;  // the stack stays mapped and unused; losing it is better than failing a fiber's end
  }
}

bool stack_class::trim(std::size_t watermark, std::size_t most) noexcept {
  trimmed_ = std::min(trimmed_, least_free_);
  const std::size_t idle = least_free_ > watermark ? least_free_ - watermark : 0;
  const std::size_t end = std::min(idle, trimmed_ + most);
  for (; trimmed_ < end; ++trimmed_) {
    char*& low = free_[trimmed_];
    if ((reinterpret_cast<std::uintptr_t>(low) & fresh_mark) != 0) continue;
    if (sys::raw(SYS_madvise, sys::word(low), static_cast<long>(size_), MADV_DONTNEED) == 0)
      low += fresh_mark;
  }
  if (trimmed_ < idle) return true;
  least_free_ = free_.size();
  return false;
}

void stack_class::give_back() noexcept {
  const std::scoped_lock guard(depots_lock);
  depot& d = depots()[size_];
  try {
    d.free.insert(d.free.end(), free_.begin(), free_.end());
  } catch (const std::bad_alloc&) {
    // as in grow()
  }
  free_.clear();
}

stack_pool::stack_pool() noexcept : usual_(usual_stack_size) {}

stack_pool::~stack_pool() {
  usual_.give_back();
  for (stack_class& c : others_) c.give_back();
}

stack_class& stack_pool::class_of(std::size_t size) {
  for (stack_class& c : others_)
    if (c.size() == size) return c;
  return others_.emplace_back(size);
}

void stack_pool::release_other(stack s) noexcept {
  try {
    class_of(s.size).release(s.low);
  } catch (const std::bad_alloc&) {
    // as in stack_class::grow()
  }
}

bool stack_pool::wants_tick() const noexcept {
  if (usual_.has_surplus(watermark)) return true;
  return std::any_of(others_.begin(), others_.end(),
                     [](const stack_class& c) { return c.has_surplus(watermark); });
}

void stack_pool::tick(base::nanoseconds now) noexcept {
  if (now < next_trim_) return;
  constexpr std::size_t most = 512;
  bool more = usual_.trim(watermark, most);
  for (stack_class& c : others_) more |= c.trim(watermark, most);
  next_trim_ = now + (more ? period / 100 : period);
}

}  // namespace coir::context

namespace coir {

void set_default_stack_size(std::size_t bytes) {
  const std::size_t size = context::checked_stack_size(bytes, "coir::set_default_stack_size: bytes");
  context::default_size_said.store(true, std::memory_order_release);
  context::default_size.store(size, std::memory_order_relaxed);
}

std::size_t default_stack_size() {
  context::obey_environment(sys::read_settings().stack_size);
  return context::default_size.load(std::memory_order_relaxed);
}

}  // namespace coir
