#include "posix/resolve.hpp"

#include <memory>
#include <new>
#include <optional>
#include <string>

#include "posix/elsewhere.hpp"
#include "sys/real.hpp"

namespace coir::posix {
namespace {

// With copies of all arguments: the caller may have left.
struct resolution : abandonable {
  std::optional<std::string> node, service;
  std::optional<addrinfo> hints;
  addrinfo* result = nullptr;
  int code = 0, error = 0, host_error = 0;

  void work() noexcept override {
    errno = error;
    code = sys::real.getaddrinfo(node ? node->c_str() : nullptr, service ? service->c_str() : nullptr,
                                 hints ? &*hints : nullptr, &result);
    error = errno;
    host_error = h_errno;
  }
  void undo() noexcept override {
    if (code == 0) sys::real.freeaddrinfo(result);
  }
};

}  // namespace

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) noexcept {
  std::unique_ptr<resolution> made;
  try {
    made = std::make_unique<resolution>();
    resolution* job = made.get();
    if (node != nullptr) job->node = node;
    if (service != nullptr) job->service = service;
    if (hints != nullptr) job->hints = *hints;
  } catch (const std::bad_alloc&) {
    return EAI_MEMORY;
  }
  resolution* job = made.release();
  job->error = errno;
  if (const int error = attend("getaddrinfo", job, false); error != 0) {
    errno = error;
    return EAI_SYSTEM;
  }
  const int code = job->code;
  errno = job->error;
  h_errno = job->host_error;
  if (code == 0) *result = job->result;
  delete job;
  return code;
}

}  // namespace coir::posix
