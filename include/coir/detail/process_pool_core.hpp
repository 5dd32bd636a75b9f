// What of a process pool does not depend on types: jobs are a function's address and bytes. Internal: use
// coir::process_pool.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

namespace coir::detail {

// Runs in the worker: appends the result to `out`. What it throws is sent back.
using job_function = void (*)(std::string_view in, std::string& out);

// How a call ended, as bytes: this, then the result; or the exception.
inline constexpr char outcome_value = 0;
// The exception that is being handled.
std::string encode_exception();
// Takes the first byte away from an outcome that is a value; throws what else it is.
std::string_view value_of(std::string_view outcome);

class process_jobs;

class process_job {
 public:
  virtual ~process_job() = default;
  // A worker takes it. False: it was called off.
  virtual bool begin() noexcept = 0;
  // After begin, one of these.
  virtual void end(std::string_view outcome) noexcept = 0;
  virtual void fail(std::exception_ptr error) noexcept = 0;
  // Instead of begin.
  virtual void call_off() noexcept = 0;

  // With its memory, which a mere assignment keeps.
  void drop_input() noexcept { std::string().swap(input); }

  job_function function = nullptr;
  std::string input;

 protected:
  // It has been called off: out of the pool's queue, and its input goes.
  void give_back() noexcept;

 private:
  friend class process_jobs;
  friend class process_pool_core;
  std::shared_ptr<process_jobs> jobs_;  // kept, as it may be called off when the pool is no more
  std::shared_ptr<process_job> self_;   // while it is in the queue, as what follows
  process_job* next_ = nullptr;
  process_job* previous_ = nullptr;
};

class process_pool_core {
 public:
  explicit process_pool_core(std::ptrdiff_t workers);
  ~process_pool_core();
  process_pool_core(const process_pool_core&) = delete;
  process_pool_core& operator=(const process_pool_core&) = delete;

  // Throws std::invalid_argument naming `what` if the workers do not have the code there.
  void check_code(const char* what, const void* address) const;
  void submit(std::shared_ptr<process_job> job);
  void shutdown();
  bool join(std::int64_t deadline_ns);
  void terminate();
  std::size_t size() const noexcept;

 private:
  struct state;
  state& checked(const char* what) const;

  std::unique_ptr<state> state_;
};

}  // namespace coir::detail
