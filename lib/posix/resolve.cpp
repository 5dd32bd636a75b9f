#include "posix/resolve.hpp"

#include <arpa/nameser.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "sys/real.hpp"

namespace coir::posix {

resolver_twin::resolver_twin() noexcept : original_(_res) {
  // Composing a query asks nobody, and begins as each call of libc's resolver does: `_res` is initialised, or
  // read anew if its file has changed.
  unsigned char query[NS_HFIXEDSZ + NS_QFIXEDSZ + NS_MAXCDNAME];
  ::res_mkquery(ns_o_query, ".", ns_c_in, ns_t_a, nullptr, 0, nullptr, query, sizeof query);
  usable_ = ::res_ninit(&state_) == 0;
  if (!usable_) h_errno = NETDB_INTERNAL;
  state_.retrans = original_.retrans;
  state_.retry = original_.retry;
  state_.options = original_.options & ~static_cast<unsigned long>(RES_STAYOPEN);
  state_.nscount = original_.nscount;
  std::copy(std::begin(original_.nsaddr_list), std::end(original_.nsaddr_list), state_.nsaddr_list);
  std::copy(std::begin(original_.dnsrch), std::end(original_.dnsrch), state_.dnsrch);
  std::copy(std::begin(original_.defdname), std::end(original_.defdname), state_.defdname);
  state_.ndots = original_.ndots;
}

resolver_twin::~resolver_twin() {
  if (!usable_) return;
  original_.res_h_errno = state_.res_h_errno;
  ::res_nclose(&state_);
}

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
