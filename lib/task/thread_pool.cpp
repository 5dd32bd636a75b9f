#include "coir/thread_pool.hpp"

#include <pthread.h>
#include <unwind.h>

#include <cstdlib>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>

#include "base/check.hpp"
#include "base/list.hpp"
#include "wait/interrupt.hpp"
#include "wait/workers.hpp"

namespace coir::detail {

namespace {

struct any_pool : base::list_node {
  any_pool(unsigned size, const thread_pool_attributes& how)
      : name(how.name, 0, 15), threads(name.c_str(), size, how.idle_time.count(), 0) {}

  const std::string name;
  wait::workers threads;
};

// All pools, for the child of a fork.
constinit spin_lock pools_lock;
base::list<any_pool>& pools() noexcept {
  static auto* const all = new base::list<any_pool>;  // never destroyed: static pools come and go at any time
  return *all;
}

const bool pools_told_at_fork =
    ::pthread_atfork([] { pools_lock.lock(); }, [] { pools_lock.unlock(); },
                     [] {
                       for (any_pool* p = pools().front(); p != nullptr; p = pools().after(p))
                         p->threads.forget_in_child();
                       pools_lock.unlock();
                     }) == 0;

// Whether this is called by exit. Not asked of a thread-local object, which exit destroys before all others:
// see workers::end_key.
bool exiting() noexcept {
  bool found = false;
  _Unwind_Backtrace(
      [](_Unwind_Context* frame, void* answer) {
        void* at = reinterpret_cast<void*>(_Unwind_GetIP(frame) - 1);
        if (_Unwind_FindEnclosingFunction(at) != reinterpret_cast<void*>(&::exit)) return _URC_NO_REASON;
        *static_cast<bool*>(answer) = true;
        return _URC_NORMAL_STOP;
      },
      &found);
  return found;
}

unsigned checked(const char* where, std::ptrdiff_t size) {
  constexpr std::ptrdiff_t most = std::numeric_limits<int>::max();
  if (size <= 0 || size > most)
    throw std::invalid_argument(std::string(where) + ": size=" + std::to_string(size) + ": expected 1 to " +
                                std::to_string(most));
  return static_cast<unsigned>(size);
}

}  // namespace

struct thread_pool_core::state : any_pool {
  using any_pool::any_pool;

  std::shared_ptr<state> itself;  // for good

  static void do_job(thread_job* next) noexcept {
    auto* job = static_cast<pool_job*>(next);
    const std::shared_ptr<pool_job> kept = std::move(job->self_);
    if (job->take()) job->perform();
  }
  static void refuse_job(thread_job* next) noexcept {
    auto* job = static_cast<pool_job*>(next);
    const std::shared_ptr<pool_job> kept = std::move(job->self_);
    if (job->take()) job->fail(std::make_exception_ptr(no_thread()));
  }
  static std::system_error no_thread() {
    return {std::make_error_code(std::errc::resource_unavailable_try_again),
            "coir::thread_pool::submit: starting a thread"};
  }
};

pool_job::pool_job() noexcept : seen_(context::of_caller()) {}

bool pool_job::in_own_pool() const noexcept {
  const wait::workers* here = wait::workers::here();
  return here != nullptr && here == pool_.get();
}

void pool_job::leave_queue() noexcept {
  if (!pool_->withdraw(*this)) return;
  const std::shared_ptr<pool_job> kept = std::move(self_);  // the caller has another reference
}

thread_pool_core::thread_pool_core(std::ptrdiff_t size, const thread_pool_attributes& how) {
  const unsigned most = checked("coir::thread_pool", size);
  if (how.idle_time.count() < 0)
    negative_duration("coir::thread_pool: idle_time",
                      std::chrono::duration<long double>(how.idle_time).count());
  state_ = std::make_shared<state>(most, how);
  const std::scoped_lock held(pools_lock);
  pools().push_back(state_.get());
}

thread_pool_core::~thread_pool_core() {
  if (wait::workers::here() == &state_->threads) {
    if (exiting()) {  // a job called exit, which destroys what is static
      close();
      state_->itself = state_;  // its threads go on
      return;
    }
    base::misused(
        "a thread_pool is destroyed by one of its own jobs, for which it would wait: destroy it elsewhere");
  }
  close();
  while (state_->threads.wait_until_empty(wait::mode::uninterruptible) != wait::outcome::notified) {
  }
  pools_lock.lock();
  state_->unlink();
  pools_lock.unlock();
}

void thread_pool_core::submit(std::shared_ptr<pool_job> job) {
  pool_job& j = *job;
  j.on_thread = state::do_job;
  j.refused = state::refuse_job;
  j.pool_ = std::shared_ptr<wait::workers>(state_, &state_->threads);
  j.self_ = std::move(job);
  switch (state_->threads.submit(j)) {
    case wait::workers::answer::queued:
      return;
    case wait::workers::answer::closed:
      job = std::move(j.self_);
      throw std::logic_error("coir::thread_pool::submit: the pool was closed");
    case wait::workers::answer::no_thread:
      job = std::move(j.self_);
      throw state::no_thread();
  }
}

void thread_pool_core::resize(std::ptrdiff_t size) {
  state_->threads.resize(checked("coir::thread_pool::resize", size));
}
std::size_t thread_pool_core::size() const noexcept {
  return state_->threads.most();
}
std::size_t thread_pool_core::threads() const noexcept {
  return state_->threads.threads();
}
void thread_pool_core::close() noexcept {
  state_->threads.close();
}

void thread_pool_core::cancel_pending() noexcept {
  for (thread_job* next = state_->threads.take_all(); next != nullptr;) {
    auto* job = static_cast<pool_job*>(next);
    next = job->next_job;
    const std::shared_ptr<pool_job> kept = std::move(job->self_);
    job->call_off();
  }
}

void thread_pool_core::shutdown() {
  if (wait::workers::here() == &state_->threads)
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur),
                            "coir::thread_pool::shutdown: one of its own jobs would wait for itself");
  close();
  sched::scheduler& s = sched::scheduler::ensure();
  wait::end_wait(s, state_->threads.wait_until_empty(wait::begin_wait(s)));
}

}  // namespace coir::detail
