#include "posix/stream_lock.hpp"

#include <errno.h>
#include <pthread.h>

#include <new>

#include "sys/real.hpp"

namespace coir::posix {

namespace {
const bool told_at_fork = ::pthread_atfork(nullptr, nullptr, stream_lock::forget_in_child) == 0;
}

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

stream_lock::stream_lock(FILE* f) noexcept
    : file_(f->_lock != nullptr ? f : nullptr), who_(sched::scheduler::existing()->current()) {
  if (file_ == nullptr) return;
  bucket& b = bucket_of(f);
  b.lock.lock();
  stream_lock* before = b.find(f);
  if (__builtin_expect(before == nullptr || before->who_ == who_, 1)) {
    b.add(this);
    b.lock.unlock();
  } else {
    wait::waiter w;
    parked_ = &w;
    before->waiting_.push_back(this);
    b.lock.unlock();
    wait::park(w, "stdio", wait::mode::uninterruptible);
  }
  keep_threads_out();
}

stream_lock::~stream_lock() {
  if (file_ == nullptr) return;
  let_threads_in();
  leave();
}

void stream_lock::leave() noexcept {
  bucket& b = bucket_of(file_);
  b.lock.lock();
  b.remove(this);
  stream_lock* outer = b.find(file_);
  stream_lock* heir = outer == nullptr ? waiting_.pop_front() : nullptr;
  if (heir != nullptr) b.add(heir);
  if (stream_lock* now = outer != nullptr ? outer : heir; now != nullptr) now->waiting_.append(waiting_);
  b.lock.unlock();
  if (heir != nullptr && heir->parked_->claim(wait::outcome::notified)) heir->parked_->wake();
}

void stream_lock::let_threads_in() noexcept {
  if (file_ != nullptr) sys::real.funlockfile(file_);
}

// A plain thread gives the stream up unheard.
void stream_lock::keep_threads_out() noexcept {
  while (file_ != nullptr && __builtin_expect(sys::real.ftrylockfile(file_) != 0, 0)) {
    wait::waiter w;
    wait::park_until(w, "stdio", who_->home->now() + 1'000'000, wait::mode::uninterruptible);
  }
}

void stream_lock::forget_in_child() noexcept {
  sched::scheduler* s = sched::scheduler::existing();
  const sched::fiber* self = s != nullptr ? s->current() : nullptr;
  for (bucket& b : table) {
    b.lock.unlock();  // another thread may have held it
    for (stream_lock* l = b.first; l != nullptr; l = l->next_) {
      while (l->waiting_.pop_front() != nullptr) {
      }
      if (l->who_ != self) b.remove(l);
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
  l = new (std::nothrow) stream_lock(f);
  if (l == nullptr) return sys::real.flockfile(f);
  l->depth_ = 1;
}

int ftrylockfile(FILE* f) noexcept {
  bool of_another = false;
  stream_lock::mine(f, of_another);
  if (of_another) return EBUSY;
  if (const int r = sys::real.ftrylockfile(f); r != 0) return r;
  posix::flockfile(f);
  sys::real.funlockfile(f);
  return 0;
}

void funlockfile(FILE* f) noexcept {
  bool of_another = false;
  stream_lock* l = stream_lock::mine(f, of_another);
  if (l == nullptr || l->depth_ == 0 || --l->depth_ != 0)
    sys::real.funlockfile(f);
  else
    delete l;
}

}  // namespace coir::posix
