// The world of a test with Boost fibers: a fresh thread that uses coir, because a thread does so until it
// ends.
#pragma once

#include <coir/boost_fiber.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <boost/fiber/all.hpp>

#include <chrono>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/process.hpp"

namespace bf = boost::fibers;
using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

// Runs `f` on a thread of its own, and what it throws here. Afterwards no descriptor is left.
template <class F>
void on_thread(F f) {
  const std::size_t before = unit::open_descriptors();
  std::exception_ptr error;
  std::thread([&] {
    try {
      f();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error != nullptr) std::rethrow_exception(error);
  CHECK(unit::open_descriptors() == before);
}

// The same on a thread whose Boost fibers wait by coir.
template <class F>
void with_coir(F f) {
  on_thread([&] {
    coir::boost_fiber::use_coir();
    f();
  });
}

// Runs `count` fibers `f(i)` and waits for all.
template <class F>
void run_fibers(int count, F f) {
  std::vector<bf::fiber> fibers;
  for (int i = 0; i < count; ++i) fibers.emplace_back([f, i] { f(i); });
  for (bf::fiber& each : fibers) each.join();
}

template <class F>
std::chrono::nanoseconds time_of(F f) {
  const auto start = clock_type::now();
  f();
  return clock_type::now() - start;
}

// Two connected stream sockets.
class socket_pair {
 public:
  socket_pair() {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) != 0)
      throw std::system_error(errno, std::system_category(), "socketpair");
  }
  ~socket_pair() {
    for (int i = 0; i < 2; ++i) close_end(i);
  }
  socket_pair(const socket_pair&) = delete;
  socket_pair& operator=(const socket_pair&) = delete;

  int operator[](int i) const { return ends_[i]; }
  void close_end(int i) {
    if (ends_[i] >= 0) ::close(std::exchange(ends_[i], -1));
  }

 private:
  int ends_[2];
};
