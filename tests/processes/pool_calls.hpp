// Calls that tests of pools make.
#pragma once

#include <coir/coir.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "children.hpp"

namespace unit {

inline int twice(int x) {
  return 2 * x;
}
inline int process() {
  return ::getpid();
}
// Memory that is shared with the workers of pools made after it.
template <class T>
class shared_value {
 public:
  shared_value()
      : at_(static_cast<std::atomic<T>*>(::mmap(nullptr, sizeof(std::atomic<T>), PROT_READ | PROT_WRITE,
                                                MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~shared_value() { ::munmap(static_cast<void*>(at_), sizeof(std::atomic<T>)); }
  std::atomic<T>* get() const { return at_; }
  std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(at_); }

 private:
  std::atomic<T>* at_;
};

inline std::atomic<int>& shared_int(std::uint64_t address) {
  return *reinterpret_cast<std::atomic<int>*>(address);
}
// Tells that it has begun, and goes on when it is told to.
inline int hold(std::uint64_t address, int result) {
  std::atomic<int>& stage = shared_int(address);
  stage = 1;
  while (stage != 2) std::this_thread::yield();
  return result;
}

// The exception that `f` ends with: "type: text" for those the test knows.
template <class F>
std::string error_of(coir::future<F> f) {
  try {
    f.get();
    return "none";
  } catch (const coir::worker_crashed& e) {
    return "worker_crashed " + to_string(e.status());
  } catch (const coir::remote_error& e) {
    return "remote_error " + e.type() + "|" + e.text();
  } catch (const std::system_error& e) {
    return std::string("system_error ") + e.what();
  } catch (const std::invalid_argument& e) {
    return std::string("invalid_argument ") + e.what();
  } catch (const std::out_of_range& e) {
    return std::string("out_of_range ") + e.what();
  } catch (const std::runtime_error& e) {
    return std::string("runtime_error ") + e.what();
  } catch (const std::bad_alloc&) {
    return "bad_alloc";
  } catch (const coir::cancelled&) {
    return "cancelled";
  }
}

}  // namespace unit
