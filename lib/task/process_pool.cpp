// The parent's side of a pool: a thread of its own, on which a fiber for each worker in use takes jobs from
// the queue, starts its worker when there is something to do, and waits for the answer.
#include <link.h>
#include <pthread.h>
#include <signal.h>

#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/raw.hpp"
#include "coir/detail/process_pool_core.hpp"
#include "coir/event.hpp"
#include "coir/fiber.hpp"
#include "coir/queue.hpp"
#include "coir/remote_error.hpp"
#include "coir/this_fiber.hpp"
#include "task/fork_server.hpp"
#include "task/messages.hpp"
#include "task/private_fds.hpp"
#include "task/watch.hpp"

namespace coir::detail {
namespace {

long this_process() noexcept {
  return base::raw(SYS_getpid);
}

// The code that is loaded now: first byte and one past the last, of each part.
using code_parts = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;

code_parts loaded_code() {
  code_parts all;
  ::dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* to) {
        for (unsigned i = 0; i < object->dlpi_phnum; ++i) {
          const auto& part = object->dlpi_phdr[i];
          const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
          if (part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0)
            static_cast<code_parts*>(to)->emplace_back(begin, begin + part.p_memsz);
        }
        return 0;
      },
      &all);
  return all;
}

void wait_for_worker(int fd, std::uint32_t events) {
  const task::watched socket[] = {{fd, events}};
  task::wait_any(socket, "worker process");
}

}  // namespace

// The calls that no worker has taken. Who waits for one waits for a ticket. I1: there are at least as many of
// those, in the queue or just taken from it, as calls, but for the moment of a push. Who finds no call behind
// his ticket was overtaken by who called one off.
class process_jobs {
 public:
  // False: closed.
  bool push(std::shared_ptr<process_job> job) {
    process_job& j = *job;
    {
      const std::lock_guard held(lock_);
      j.self_ = std::move(job);
      j.previous_ = last_;
      (first_ == nullptr ? first_ : last_->next_) = &j;
      last_ = &j;
    }
    try {
      if (tickets_.try_push({})) return true;
    } catch (...) {
      take_out(j);
      throw;
    }
    take_out(j);
    return false;
  }
  // Null: closed, and nothing is left.
  std::shared_ptr<process_job> pop() {
    while (tickets_.pop())
      if (auto job = take_first()) return job;
    return nullptr;
  }
  std::shared_ptr<process_job> try_pop() {
    while (tickets_.try_pop())
      if (auto job = take_first()) return job;
    return nullptr;
  }
  // Null: it is not there any more.
  std::shared_ptr<process_job> remove(process_job& job) noexcept {
    const std::lock_guard held(lock_);
    auto found = take_out_locked(job);
    if (found != nullptr) tickets_.try_pop();
    return found;
  }
  void close() noexcept { tickets_.close(); }

 private:
  struct ticket {};

  std::shared_ptr<process_job> take_first() noexcept {
    const std::lock_guard held(lock_);
    return first_ != nullptr ? take_out_locked(*first_) : nullptr;
  }
  std::shared_ptr<process_job> take_out(process_job& job) noexcept {
    const std::lock_guard held(lock_);
    return take_out_locked(job);
  }
  std::shared_ptr<process_job> take_out_locked(process_job& job) noexcept {
    if (job.self_ == nullptr) return nullptr;
    (job.previous_ == nullptr ? first_ : job.previous_->next_) = job.next_;
    (job.next_ == nullptr ? last_ : job.next_->previous_) = job.previous_;
    job.next_ = job.previous_ = nullptr;
    return std::move(job.self_);
  }

  spin_lock lock_;
  process_job* first_ = nullptr;
  process_job* last_ = nullptr;
  queue<ticket> tickets_;
};

void process_job::give_back() noexcept {
  if (jobs_ != nullptr) jobs_->remove(*this);
  drop_input();
}

struct process_pool_core::state {
  const std::size_t workers;
  const long owner = this_process();
  const code_parts code = loaded_code();
  task::fork_server server;
  const std::shared_ptr<process_jobs> jobs = std::make_shared<process_jobs>();
  std::atomic<bool> terminated{false};
  std::exception_ptr start_error;  // written before `started`
  event started, ended;
  // Of the pool's thread: a fiber is made when the last idle one takes a job.
  std::deque<fiber<void>> fibers;
  std::size_t idle = 0;
  pthread_t thread{};

  explicit state(std::size_t n) : workers(n) {}

  void run() noexcept;
  void serve();
  void add_fiber();
  void start_thread();
};

namespace {

// A worker as its fiber sees it.
class client {
 public:
  explicit client(task::fork_server& s) noexcept : server_(s) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { drop(); }

  // Makes sure there is one. Throws std::system_error.
  void start() {
    if (worker_.fd >= 0 && !task::silent(worker_.fd)) bury();  // it died idle, or speaks out of turn
    if (worker_.fd < 0) worker_ = server_.start();
  }
  // Throws worker_crashed.
  std::string call(const process_job& j) {
    const task::message job{++calls_, reinterpret_cast<std::uintptr_t>(j.function)};
    task::message m;
    std::string outcome;
    try {
      if (task::send_message(worker_.fd, job, j.input, wait_for_worker) &&
          task::receive_header(worker_.fd, m, wait_for_worker) && m.number == job.number &&
          task::receive_bytes(worker_.fd, m, outcome, wait_for_worker))
        return outcome;
    } catch (...) {
      bury();  // it may be in the middle of a message
      throw;
    }
    crash();
  }
  // Ends the worker, if it has not ended.
  [[noreturn]] void crash() { throw worker_crashed(worker_.pid, bury()); }

 private:
  exit_status bury() {
    const exit_status status = server_.bury(worker_.pid);
    drop();  // not before: it would exit by itself
    return status;
  }
  void drop() noexcept {
    if (worker_.fd >= 0) task::close_private(std::exchange(worker_.fd, -1));
  }

  task::fork_server& server_;
  task::fork_server::worker worker_{-1, -1};
  std::uint64_t calls_ = 0;
};

}  // namespace

void process_pool_core::state::add_fiber() {
  fibers.emplace_back();  // no memory for it: nobody runs
  try {
    fibers.back() = spawn(attributes{.name = "process pool"}, [this] { serve(); });
  } catch (...) {
    fibers.pop_back();
    throw;
  }
  ++idle;
}

void process_pool_core::state::serve() {
  client worker(server);
  for (;; ++idle) {
    const auto job = jobs->pop();
    --idle;
    if (!job) return;
    try {
      if (idle == 0 && fibers.size() < workers) add_fiber();
    } catch (...) {
      // Those that there are do it.
    }
    if (terminated || !job->begin()) {
      job->call_off();
      continue;
    }
    try {
      worker.start();
      if (terminated) worker.crash();  // it may have come after kill_all
      const std::string outcome = worker.call(*job);
      job->drop_input();  // the future may live long
      job->end(outcome);
    } catch (...) {
      job->fail(std::current_exception());
    }
  }
}

void process_pool_core::state::run() noexcept {
  try {
    add_fiber();
  } catch (...) {
    start_error = std::current_exception();
    jobs->close();
  }
  started.set();
  for (std::size_t i = 0; i < fibers.size(); ++i) fibers[i].join();
  fibers.clear();
  try {
    server.stop();
  } catch (...) {
    // It ends all the same, and is left to the reaper.
  }
  ended.set();
}

void process_pool_core::state::start_thread() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = ::pthread_create(
      &thread, nullptr,
      [](void* self) -> void* {
        static_cast<state*>(self)->run();
        return nullptr;
      },
      this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0)
    throw std::system_error(error, std::system_category(), "coir::process_pool: pthread_create");
}

process_pool_core::process_pool_core(std::ptrdiff_t workers) {
  if (workers < 1)
    throw std::invalid_argument("coir::process_pool: workers=" + std::to_string(workers) +
                                ": expected at least 1");
  const this_fiber::shield undisturbed;
  state_ = std::make_unique<state>(static_cast<std::size_t>(workers));
  state_->start_thread();
  state_->started.wait();
  if (state_->start_error == nullptr) return;
  ::pthread_join(state_->thread, nullptr);
  std::rethrow_exception(state_->start_error);
}

process_pool_core::~process_pool_core() {
  if (state_->owner != this_process()) {
    (void)state_.release();  // the parent's thread may have been in the middle of anything
    return;
  }
  const this_fiber::shield undisturbed;
  state_->jobs->close();
  try {
    state_->ended.wait();
  } catch (...) {
    // Not interrupted; and without memory the thread's end is waited for by the next line.
  }
  ::pthread_join(state_->thread, nullptr);
}

process_pool_core::state& process_pool_core::checked(const char* what) const {
  if (state_->owner != this_process())
    throw std::logic_error(std::string("coir::process_pool::") + what + ": the pool belongs to process " +
                           std::to_string(state_->owner) + ": expected one made in this process");
  return *state_;
}

void process_pool_core::check_code(const char* what, const void* address) const {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (const auto& [begin, end] : state_->code)
    if (begin <= at && at < end) return;
  throw std::invalid_argument("coir::process_pool::submit: " + std::string(what) +
                              ": expected code that was loaded when the pool was made");
}

void process_pool_core::submit(std::shared_ptr<process_job> job) {
  state& s = checked("submit");
  job->jobs_ = s.jobs;
  if (!s.jobs->push(std::move(job)))
    throw std::logic_error("coir::process_pool::submit: the pool was shut down");
}

void process_pool_core::shutdown() {
  checked("shutdown").jobs->close();
}

bool process_pool_core::join(std::int64_t deadline_ns) {
  state& s = checked("join");
  s.jobs->close();
  return s.ended.wait_until(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)));
}

void process_pool_core::terminate() {
  state& s = checked("terminate");
  s.jobs->close();
  s.terminated = true;
  while (auto job = s.jobs->try_pop()) job->call_off();
  s.server.kill_all();
}

std::size_t process_pool_core::size() const noexcept {
  return state_->workers;
}

}  // namespace coir::detail
