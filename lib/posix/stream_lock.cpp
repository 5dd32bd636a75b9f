#include "posix/stream_lock.hpp"

#include <errno.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "posix/signals.hpp"
#include "sys/real.hpp"
#include "wait/interrupt.hpp"

namespace coir::posix {

namespace {

const bool streams_told_at_fork = ::pthread_atfork(nullptr, nullptr, stream_lock::forget_in_child) == 0;

// How many locks flockfile has made: while there are none funlockfile need not look for one.
std::atomic<unsigned> of_flockfile{0};

// glibc's _IO_lock_t.
struct libc_lock {
  int word;
  int count;
  void* owner;
};

}  // namespace

stream_lock::bucket stream_lock::table[512];

stream_lock* stream_lock::bucket::find(const FILE* f) const noexcept {
  stream_lock* l = first;
  while (l != nullptr && l->file_ != f) l = l->next_;
  return l;
}

void stream_lock::bucket::add(stream_lock* l) noexcept {
  l->next_ = first;
  first = l;
}

void stream_lock::bucket::remove(const stream_lock* l) noexcept {
  stream_lock** at = &first;
  while (*at != l) at = &(*at)->next_;
  *at = l->next_;
}

stream_lock::bucket& stream_lock::bucket_of(const FILE* f) noexcept {
  // Fibonacci hashing (Knuth, vol. 3, 6.4); streams lie at multiples of 16.
  return table[(reinterpret_cast<std::uintptr_t>(f) >> 4) * 0x9e3779b97f4a7c15 >> 55];
}

stream_lock* stream_lock::mine(const FILE* f, bool& of_another) noexcept {
  sched::scheduler* s = sched::scheduler::existing();
  if (s == nullptr) return nullptr;
  const sched::fiber* self = s->current();
  bucket& b = bucket_of(f);
  b.lock.lock();
  stream_lock* l = b.find(f);
  of_another = l != nullptr && l->who_ != self;
  b.lock.unlock();
  return of_another ? nullptr : l;
}

stream_lock::stream_lock(FILE* f, wait::mode m) noexcept
    : file_(f->_lock != nullptr ? f : nullptr), who_(sched::scheduler::existing()->current()), mode_(m) {
  if (file_ == nullptr) return;
  bucket& b = bucket_of(f);
  b.lock.lock();
  stream_lock* before = b.find(f);
  if (__builtin_expect(before == nullptr || before->who_ == who_, 1)) {
    b.add(this);
    b.lock.unlock();
  } else if (!wait_for_turn(b, *before)) {
    return;
  }
  listed_ = true;
  keep_threads_out();
}

stream_lock::stream_lock(FILE* f, std::try_to_lock_t) noexcept
    : file_(f), who_(sched::scheduler::existing()->current()), mode_(wait::mode::uninterruptible) {
  bucket& b = bucket_of(f);
  b.lock.lock();
  const stream_lock* before = b.find(f);
  listed_ = before == nullptr || before->who_ == who_;
  if (listed_) b.add(this);
  b.lock.unlock();
  held_ = listed_ && sys::real.ftrylockfile(f) == 0;
}

stream_lock::~stream_lock() {
  let_threads_in();
  if (listed_) leave();
}

// With the bucket locked; unlocks it.
bool stream_lock::wait_for_turn(bucket& b, stream_lock& before) noexcept {
  wait::waiter w;
  parked_ = &w;
  const bool waits = !interrupted();
  if (waits) before.waiting_.push_back(this);
  b.lock.unlock();
  if (waits && wait::park(w, "stdio", mode_) == wait::outcome::notified) return true;
  b.lock.lock();
  if (linked()) unlink();
  b.lock.unlock();
  interrupted();
  return false;
}

// Sets errno if so.
bool stream_lock::interrupted() noexcept {
  const int error = mode_ == wait::mode::interruptible ? wait::interrupt_errno(*who_) : 0;
  if (error != 0) errno = error;
  return error != 0;
}

void stream_lock::leave() noexcept {
  bucket& b = bucket_of(file_);
  b.lock.lock();
  b.remove(this);
  stream_lock* outer = b.find(file_);
  stream_lock* heir = outer == nullptr ? waiting_.pop_front() : nullptr;
  while (heir != nullptr && !heir->parked_->claim(wait::outcome::notified))
    heir = waiting_.pop_front();  // I3
  if (heir != nullptr) b.add(heir);
  if (stream_lock* now = outer != nullptr ? outer : heir; now != nullptr) now->waiting_.append(waiting_);
  b.lock.unlock();
  if (heir != nullptr) heir->parked_->wake();
}

void stream_lock::let_threads_in() noexcept {
  if (held_) sys::real.funlockfile(file_);
  held_ = false;
}

// A plain thread gives the stream up unheard.
bool stream_lock::keep_threads_out() noexcept {
  if (file_ == nullptr) return true;
  while (__builtin_expect(sys::real.ftrylockfile(file_) != 0, 0)) {
    if (interrupted()) return false;
    wait::waiter w;
    wait::park_until(w, "stdio", who_->home->now() + 1'000'000, mode_);
  }
  return held_ = true;
}

void stream_lock::end(stream_lock* l) noexcept {
  of_flockfile.fetch_sub(1, std::memory_order_relaxed);
  delete l;
}

void stream_lock::end_mine(FILE* f) noexcept {
  if (of_flockfile.load(std::memory_order_relaxed) == 0) return;
  bool of_another = false;
  for (stream_lock* l; (l = mine(f, of_another)) != nullptr && l->depth_ != 0; end(l))
    for (; l->depth_ > 1; --l->depth_) sys::real.funlockfile(f);
}

// libc has freed the locks of other threads, but not this thread's.
void stream_lock::forget_in_child() noexcept {
  sched::scheduler* s = sched::scheduler::existing();
  const sched::fiber* self = s != nullptr ? s->current() : nullptr;
  for (bucket& b : table) {
    b.lock.unlock();  // another thread may have held it
    for (stream_lock* l = b.first; l != nullptr; l = l->next_) {
      while (l->waiting_.pop_front() != nullptr) {
      }
      if (l->who_ == self) continue;
      b.remove(l);
      if (l->depth_ != 0) of_flockfile.fetch_sub(1, std::memory_order_relaxed);
      const auto* held = static_cast<const libc_lock*>(l->file_->_lock);
      for (unsigned n = l->held_ ? std::max(l->depth_, 1U) : 0;
           n != 0 && reinterpret_cast<pthread_t>(held->owner) == ::pthread_self(); --n)
        sys::real.funlockfile(l->file_);
    }
  }
}

void flockfile(FILE* f) noexcept {
  bool of_another = false;
  stream_lock* l = stream_lock::mine(f, of_another);
  if (l != nullptr && l->depth_ != 0) {
    ++l->depth_;
    return sys::real.flockfile(f);
  }
  l = new (std::nothrow) stream_lock(f, wait::mode::uninterruptible);
  if (l == nullptr) return sys::real.flockfile(f);
  l->depth_ = 1;
  of_flockfile.fetch_add(1, std::memory_order_relaxed);
}

int ftrylockfile(FILE* f) noexcept {
  bool of_another = false;
  stream_lock* l = stream_lock::mine(f, of_another);
  if (of_another) return EBUSY;
  if (f->_lock == nullptr || (l != nullptr && l->depth_ != 0)) {
    const int r = sys::real.ftrylockfile(f);
    if (r == 0 && l != nullptr && l->depth_ != 0) ++l->depth_;
    return r;
  }
  l = new (std::nothrow) stream_lock(f, std::try_to_lock);
  if (l == nullptr) return sys::real.ftrylockfile(f);
  if (!l->held_) {
    delete l;
    return EBUSY;
  }
  l->depth_ = 1;
  of_flockfile.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

void funlockfile(FILE* f) noexcept {
  if (of_flockfile.load(std::memory_order_relaxed) == 0 || in_handler()) return sys::real.funlockfile(f);
  bool of_another = false;
  stream_lock* l = stream_lock::mine(f, of_another);
  if (l == nullptr || l->depth_ == 0 || --l->depth_ != 0)
    sys::real.funlockfile(f);
  else
    stream_lock::end(l);
}

}  // namespace coir::posix
