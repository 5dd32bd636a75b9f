// The values that fibers inherit: immutable tables, shared by all who see the same. Internal: use
// coir::inherited<T>.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace coir::detail {

struct context_values;

// What some fiber saw at some time, kept for work that is done elsewhere or later.
class context {
 public:
  constexpr context() noexcept = default;
  context(context&& other) noexcept : values_(std::exchange(other.values_, nullptr)) {}
  context(const context& other) noexcept;
  context& operator=(context other) noexcept {
    std::swap(values_, other.values_);
    return *this;
  }
  ~context() {
    if (values_ != nullptr) drop();
  }
  // What the running fiber sees.
  static context of_caller() noexcept;

  context_values* values() const noexcept { return values_; }
  context_values* release() noexcept { return std::exchange(values_, nullptr); }
  explicit context(context_values* adopted) noexcept : values_(adopted) {}

 private:
  void drop() noexcept;

  context_values* values_ = nullptr;
};

// While it lives, the running fiber sees what `seen` says. Throws as scheduler::ensure, where that is not
// empty.
class in_context {
 public:
  explicit in_context(context seen);
  ~in_context();
  in_context(const in_context&) = delete;
  in_context& operator=(const in_context&) = delete;

 private:
  context before_;
};

class context_key {
 public:
  context_key() noexcept;
  ~context_key();
  context_key(const context_key&) = delete;
  context_key& operator=(const context_key&) = delete;

  const void* find() const noexcept;  // what the running fiber sees, or null
  void set(std::shared_ptr<const void> value) const;

 private:
  friend class context_scope;
  std::uint64_t id_;
};

class context_scope {
 public:
  context_scope(const context_key& key, std::shared_ptr<const void> value);
  ~context_scope();
  context_scope(const context_scope&) = delete;
  context_scope& operator=(const context_scope&) = delete;

 private:
  std::uint64_t id_;
  context before_;
  context installed_;  // to be compared with; held, so that no other has its address
};

}  // namespace coir::detail
