// Inputs that give their numbers one by one.
#pragma once

#include <coir/this_fiber.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>

namespace unit {

// A range that can be gone through once: what `give` returns, until that is null. Its items only move.
class number_source {
 public:
  using item = std::unique_ptr<int>;

  explicit number_source(std::function<item()> give) : give_(std::move(give)) {}

  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = item;

    iterator() = default;
    explicit iterator(number_source* source) : source_(source) { ++*this; }
    item&& operator*() const { return std::move(source_->at_); }
    iterator& operator++() {
      source_->at_ = source_->give_();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return source_->at_ == nullptr; }

   private:
    number_source* source_ = nullptr;
  };

  iterator begin() { return iterator(this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  std::function<item()> give_;
  item at_;
};

// 0, 1, 2, …; `read` counts how many were asked for.
inline number_source endless_numbers(int& read) {
  return number_source([&read] { return std::make_unique<int>(read++); });
}

}  // namespace unit
