#include "posix/resolve.hpp"

#include <arpa/inet.h>
#include <arpa/nameser.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

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

// A state as the calling thread's `_res`.
bool begin(struct __res_state& state) noexcept {
  // Composing a query asks nobody, and begins as each call of libc's resolver does: `_res` is initialised, or
  // read anew if its file has changed.
  unsigned char query[NS_HFIXEDSZ + NS_QFIXEDSZ + NS_MAXCDNAME];
  ::res_mkquery(ns_o_query, ".", ns_c_in, ns_t_a, nullptr, 0, nullptr, query, sizeof query);
  if (::res_ninit(&state) != 0) return false;
  const struct __res_state& own = _res;
  state.retrans = own.retrans;
  state.retry = own.retry;
  state.options = own.options & ~static_cast<unsigned long>(RES_STAYOPEN);
  state.nscount = own.nscount;
  state.ndots = own.ndots;
  std::copy(std::begin(own.nsaddr_list), std::end(own.nsaddr_list), state.nsaddr_list);
  std::copy(std::begin(own.defdname), std::end(own.defdname), state.defdname);
  for (int i = 0; i <= MAXDNSRCH; ++i) {
    const std::ptrdiff_t at = own.dnsrch[i] - own.defdname;
    const bool inside = at >= 0 && at < static_cast<std::ptrdiff_t>(sizeof own.defdname);
    state.dnsrch[i] = inside ? state.defdname + at : own.dnsrch[i];
  }
  return true;
}

// As that one; with an answer of its own, too.
struct query : abandonable {
  question q;
  std::string name, domain;
  std::vector<unsigned char> text, answer;
  int (*ask)(res_state, const question&, unsigned char* answer, int size);
  int result = 0, error = errno, host_error = h_errno;
  struct __res_state state = {};
  const bool begun = begin(state);

  query(const question& from, int size)
      : q(from),
        name(from.name != nullptr ? from.name : ""),
        domain(from.domain != nullptr ? from.domain : ""),
        text(from.text, from.text + std::max(from.text_size, 0)),
        answer(static_cast<std::size_t>(std::clamp(size, 0, NS_MAXMSG))) {
    if (q.name != nullptr) q.name = name.c_str();
    if (q.domain != nullptr) q.domain = domain.c_str();
    q.text = text.data();
  }
  ~query() override {
    if (begun) ::res_nclose(&state);
  }

  void work() noexcept override {
    errno = error;
    h_errno = host_error;
    result = ask(&state, q, answer.data(), static_cast<int>(answer.size()));
    error = errno;
    host_error = h_errno;
  }
};

// As libc does: all of it, with blanks and a sign in front, or nothing at all.
bool is_number(const char* service) noexcept {
  char* end = nullptr;
  const int error = errno;
  static_cast<void>(std::strtoul(service, &end, 10));
  errno = error;
  return *end == '\0';
}

bool asks_nobody(const char* node, const char* service, const addrinfo* hints) noexcept {
  const int flags = hints != nullptr ? hints->ai_flags : 0;
  if (service != nullptr && (flags & AI_NUMERICSERV) == 0 && !is_number(service)) return false;
  return node == nullptr || (flags & AI_NUMERICHOST) != 0 || is_address(node, AF_UNSPEC);
}

}  // namespace

bool is_address(const char* name, int family) noexcept {
  in_addr four;
  in6_addr six;
  if (family != AF_INET6 && ::inet_pton(AF_INET, name, &four) == 1) return true;
  if (family == AF_INET) return false;
  const char* scope = std::strchr(name, '%');
  if (scope == nullptr) return ::inet_pton(AF_INET6, name, &six) == 1;
  char address[INET6_ADDRSTRLEN];
  const auto size = static_cast<std::size_t>(scope - name);
  if (size >= sizeof address) return false;
  std::memcpy(address, name, size);
  address[size] = '\0';
  return ::inet_pton(AF_INET6, address, &six) == 1;
}

bool writes_numbers(const sockaddr* a, socklen_t size, bool host, bool service, int flags) noexcept {
  if (a != nullptr && size >= sizeof a->sa_family && a->sa_family == AF_UNIX) return true;
  return (!host || (flags & NI_NUMERICHOST) != 0) && (!service || (flags & NI_NUMERICSERV) != 0);
}

int ask_resolver(const char* call_name,
                 int (*ask)(res_state, const question&, unsigned char* answer, int size), const question& q,
                 unsigned char* answer, int size) noexcept {
  query* job = nullptr;
  try {
    job = new query(q, size);
  } catch (const std::bad_alloc&) {
    errno = ENOMEM;
  }
  if (job == nullptr || !job->begun) {
    delete job;
    h_errno = NETDB_INTERNAL;
    return -1;
  }
  job->ask = ask;
  if (const int error = attend(call_name, job, false); error != 0) {
    errno = error;
    h_errno = NETDB_INTERNAL;
    return -1;
  }
  const int result = job->result;
  errno = job->error;
  h_errno = job->host_error;
  _res.res_h_errno = job->state.res_h_errno;
  // Also one that says no: who is interested looks for the reason there.
  const std::size_t room = job->answer.size();
  std::copy_n(job->answer.begin(), result > 0 ? std::min(static_cast<std::size_t>(result), room) : room,
              answer);
  delete job;
  return result;
}

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) noexcept {
  if (asks_nobody(node, service, hints)) {
    const int code = sys::real.getaddrinfo(node, service, hints, result);
    scheduler::existing()->charge();
    return code;
  }
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
