// Shows: many names resolved at once by libc's own blocking getaddrinfo; answers in the order of asking.
// Try:   ./dns localhost example.org example.com no.such.name

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

using std::chrono::steady_clock;

struct answer {
  bool found = false;
  std::string text;  // the addresses, or why there are none
};

std::string numeric(const addrinfo& one) {
  std::array<char, NI_MAXHOST> text{};
  const int error =
      ::getnameinfo(one.ai_addr, one.ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? text.data() : ::gai_strerror(error);
}

answer resolve(const char* name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;  // else each address comes once for every type
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name, nullptr, &hints, &list);
  if (error != 0) return {false, error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, ::freeaddrinfo);
  std::string addresses;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    addresses += (one == list ? "" : " ") + numeric(*one);
  }
  return {true, addresses};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: dns NAME...\n", stderr);
    return 2;
  }
  const std::vector<const char*> names(argv + 1, argv + argc);
  const auto start = steady_clock::now();
  std::vector<coir::fiber<answer>> questions;
  for (const char* name : names) questions.push_back(coir::spawn(resolve, name));
  const std::vector<answer> answers = coir::gather(questions);
  const std::chrono::duration<double> elapsed = steady_clock::now() - start;

  for (std::size_t i = 0; i < names.size(); ++i) std::printf("%s: %s\n", names[i], answers[i].text.c_str());
  const auto found = std::ranges::count_if(answers, &answer::found);
  std::printf("%td of %zu found, %.2f s\n", found, names.size(), elapsed.count());
  return found == std::ssize(names) ? 0 : 1;
}
