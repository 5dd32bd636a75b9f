#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>

#include "coir/exit_status.hpp"

namespace coir {

/// An exception of another process, of a type that is not rebuilt here.
class remote_error : public std::runtime_error {
 public:
  /// What `what` says: "my::error: text".
  remote_error(const std::string& type, const std::string& text)
      : std::runtime_error(text.empty() ? type : type + ": " + text), type_size_(type.size()) {}
  /// The name of its type there: "my::error".
  std::string type() const { return std::string(what(), type_size_); }
  /// What its `what` said there; empty if it was no std::exception.
  std::string text() const {
    const std::string all = what();
    return all.size() == type_size_ ? std::string() : all.substr(type_size_ + 2);
  }

 private:
  std::size_t type_size_;
};

/// A worker process ended before the call it was making.
class worker_crashed : public std::runtime_error {
 public:
  /// Of the process `worker`, which ended with `status`.
  worker_crashed(pid_t worker, const exit_status& status)
      : std::runtime_error("coir::process_pool: worker " + std::to_string(worker) +
                           (status.signal() != 0 ? " was " : " ended: ") + to_string(status)),
        worker_(worker),
        status_(status) {}
  /// The process's number.
  pid_t worker() const noexcept { return worker_; }
  /// How it ended.
  const exit_status& status() const noexcept { return status_; }

 private:
  pid_t worker_;
  exit_status status_;
};

}  // namespace coir
