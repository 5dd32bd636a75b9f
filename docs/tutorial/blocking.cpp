// Asks services for their front pages, one after the other: blocking HOST:PORT...
#include <cstdio>
#include <string>
#include <vector>

#include "connection.hpp"

std::string ask(const std::string& address) {
  const connection service(*look_up(address));
  service.send("GET / HTTP/1.0\r\n\r\n");
  return service.receive();
}

std::string check(const std::string& address) try {
  return address + ": " + std::to_string(ask(address).size()) + " bytes";
} catch (const std::exception& error) {
  return address + ": " + error.what();
}

int main(int argc, char** argv) {
  const std::vector<std::string> addresses(argv + 1, argv + argc);
  for (const std::string& address : addresses) std::puts(check(address).c_str());
}
