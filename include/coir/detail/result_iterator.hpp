// Iterating over what `next()` gives. Internal.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>

namespace coir::detail {

// An input iterator over a Source with `std::optional<Value> next()` and `std::optional<Value> current`.
template <class Source, class Value>
class result_iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using difference_type = std::ptrdiff_t;
  using value_type = Value;

  result_iterator() noexcept = default;
  explicit result_iterator(Source* source) : source_(source) { advance(); }

  Value& operator*() const noexcept { return *source_->current; }
  Value* operator->() const noexcept { return std::addressof(*source_->current); }
  result_iterator& operator++() {
    advance();
    return *this;
  }
  void operator++(int) { advance(); }

  bool operator==(std::default_sentinel_t) const noexcept {
    return source_ == nullptr || !source_->current.has_value();
  }

 private:
  void advance() {
    source_->current.reset();  // nothing is there if next() throws
    if (std::optional<Value> value = source_->next()) source_->current.emplace(*std::move(value));
  }

  Source* source_ = nullptr;
};

}  // namespace coir::detail
