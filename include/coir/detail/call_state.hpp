// The state of a future whose value a call makes on another thread. Internal.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "coir/promise.hpp"

namespace coir::detail {

void report_unseen_call(std::exception_ptr error) noexcept;

template <class R, class Call>
class call_state : public promise_state<R> {
 public:
  template <class... Parts>
  explicit call_state(Parts&&... parts) : call_(std::in_place, std::forward<Parts>(parts)...) {}
  ~call_state() override {
    if (this->error != nullptr && !this->error_seen.load(std::memory_order_relaxed) && !this->is_cancelled())
      report_unseen_call(this->error);
  }

  bool lost() const noexcept final { return process_ != forks(); }

 protected:
  // Keeps what the call returns or throws.
  void make() noexcept {
    try {
      if constexpr (std::is_void_v<R>) {
        (*call_)();
        this->emplace();
      } else {
        this->emplace((*call_)());
      }
    } catch (...) {
      this->error = std::current_exception();
    }
  }

  std::optional<Call> call_;

 private:
  const std::uint32_t process_ = forks();  // which one is to make it
};

}  // namespace coir::detail
