// Shows: asking many web servers at once, with plain blocking sockets; answers in the order of asking.
// Try:   ./server_status example.org:80 example.com:80 localhost:80

#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "tcp.hpp"

namespace {

// The first line of the server's answer, or why there is none.
std::string status_of(const std::string& address) try {
  const closing server(connect_to(address));
  send_all(server.descriptor, "HEAD / HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n");
  std::string answer;
  while (answer.find('\n') == std::string::npos && receive(server.descriptor, answer)) continue;
  return answer.empty() ? "no answer" : answer.substr(0, answer.find_first_of("\r\n"));
} catch (const std::runtime_error& error) {
  return error.what();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: server_status HOST:PORT...\n", stderr);
    return 2;
  }
  const std::vector<std::string> addresses(argv + 1, argv + argc);
  const auto start = std::chrono::steady_clock::now();
  std::vector<coir::fiber<std::string>> questions;
  for (const std::string& address : addresses) questions.push_back(coir::spawn(status_of, address));
  const std::vector<std::string> answers = coir::gather(questions);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    std::printf("%s  %s\n", addresses[i].c_str(), answers[i].c_str());
  }
  std::printf("%.2f s\n", elapsed.count());
}
