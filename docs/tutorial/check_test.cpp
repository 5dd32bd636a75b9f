// Tests check.hpp on loopback: the services are fibers of this program.
#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;

void require(bool holds, const char* what) {
  std::printf("%s: %s\n", holds ? "ok" : "FAILED", what);
  if (!holds) std::exit(1);
}

// Answers each request with "hello", after `delay`.
class service {
 public:
  explicit service(std::chrono::milliseconds delay)
      : delay_(delay), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in loopback{};
    loopback.sin_family = AF_INET;
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof loopback;
    auto* const name = reinterpret_cast<sockaddr*>(&loopback);
    if (::bind(listener_, name, length) < 0 || ::listen(listener_, 100) < 0) fail("listen");
    if (::getsockname(listener_, name, &length) < 0) fail("getsockname");
    address_ = "127.0.0.1:" + std::to_string(ntohs(loopback.sin_port));
    fibers_.spawn([this] {
      for (int client; (client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;)
        fibers_.spawn([this, client] { answer(client); });
    });
  }
  ~service() { ::close(listener_); }  // which ends accept; then the group ends the rest

  const std::string& address() const { return address_; }
  int most_at_once() const { return most_at_once_; }
  void wait_for_request() { asked_.wait(); }

 private:
  void answer(int client) {
    std::array<char, 1024> request;
    most_at_once_ = std::max(most_at_once_, ++open_);  // fibers of one thread: no lock is needed
    const bool asked = ::recv(client, request.data(), request.size(), 0) > 0;
    if (asked) asked_.set();
    if (asked && ::usleep(static_cast<useconds_t>(delay_ / 1us)) == 0)
      ::send(client, "hello", 5, MSG_NOSIGNAL);
    ::close(client);
    --open_;
  }

  std::chrono::milliseconds delay_;
  int listener_;
  int open_ = 0;
  int most_at_once_ = 0;
  std::string address_;
  coir::event asked_;
  coir::group fibers_;
};

void answers_of_many_come_in_order_and_at_most_so_many_at_once() {
  service quick(5ms);
  const std::vector<std::string> addresses(60, quick.address());
  std::size_t good = 0;
  const auto check_one = [](const std::string& address) { return check(address, 10s); };
  for (const std::string& line : coir::map(addresses, check_one, 20))
    good += line == quick.address() + ": 5 bytes, checksum 1335831723";
  require(good == addresses.size(), "each service gives its page");
  require(quick.most_at_once() > 1 && quick.most_at_once() <= 20, "at most 20 are asked at once");
}

void a_silent_service_is_given_up() {
  service silent(1h);
  require(check(silent.address(), 20ms) == silent.address() + ": too late", "a silent service is too late");
}

void a_check_can_be_cancelled() {
  service silent(1h);
  const auto asking = coir::spawn(check, silent.address(), 1h);
  silent.wait_for_request();
  asking.cancel();
  asking.join();
  require(!asking.successful(), "a cancelled check ends at once");
}

void an_error_is_told() {
  require(check("nowhere", 1s) == "nowhere: not HOST:PORT", "a wrong address is named");
}

int main() {
  answers_of_many_come_in_order_and_at_most_so_many_at_once();
  a_silent_service_is_given_up();
  a_check_can_be_cancelled();
  an_error_is_told();
}
