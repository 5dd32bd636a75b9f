// What is left of a scatter/gather transfer after part of it was done. The user's iovecs are never written.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <new>

namespace coir::posix {

class remaining_vector {
 public:
  remaining_vector(const iovec* v, std::size_t count) noexcept : user_(v), count_(count) {}

  // Of all of it. The user's iovecs are read here for the first time: after the kernel took them for good.
  std::size_t total() noexcept {
    if (!counted_)
      for (std::size_t i = 0; i < count_; ++i) total_ += user_[i].iov_len;
    counted_ = true;
    return total_;
  }
  iovec* data() noexcept { return copy_ != nullptr ? copy_.get() + first_ : const_cast<iovec*>(user_); }
  std::size_t count() const noexcept { return count_ - first_; }

  // Leaves what follows the first `done` bytes. False without memory for a copy.
  bool skip_to(std::size_t done) noexcept {
    if (copy_ == nullptr) copy_.reset(new (std::nothrow) iovec[count_]);
    if (copy_ == nullptr) return false;
    for (std::size_t i = 0; i < count_; ++i) copy_[i] = user_[i];
    for (first_ = 0; first_ < count_ && done >= copy_[first_].iov_len; ++first_)
      done -= copy_[first_].iov_len;
    if (first_ < count_) {
      copy_[first_].iov_base = static_cast<char*>(copy_[first_].iov_base) + done;
      copy_[first_].iov_len -= done;
    }
    return true;
  }

 private:
  const iovec* user_;
  std::size_t count_;
  std::size_t total_ = 0;
  bool counted_ = false;
  std::size_t first_ = 0;
  std::unique_ptr<iovec[]> copy_;
};

}  // namespace coir::posix
