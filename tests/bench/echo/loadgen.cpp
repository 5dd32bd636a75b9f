// The one load generator of all echo servers: closed loop, one thread, edge-triggered epoll.
//
//   loadgen --port P --connections N --size BYTES [--pid SERVER] [--warmup-ms W] [--measure-ms M]
//
// Each connection sends a message, waits for all of it to come back, checks it and sends the next. The
// message is a fixed random text that begins with a stamp of connection and sequence number. The length of
// every answer is checked, so are the two ends of every piece that arrives, and every byte of each 64th
// message.
//
// The server's CPU time is the process's CPU clock (all its threads, nanoseconds, up to date at the moment of
// the call) read at both ends of the measured window. Latency is from handing a message to the kernel to
// having its last byte. Prints one JSON object; an answer that differs, or a server that hangs up or goes
// silent, ends the program with an error.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "histogram.hpp"

namespace {

struct options {
  int port = 0;
  int connections = 1;
  std::size_t size = 64;
  pid_t pid = 0;
  int warmup_ms = 300;
  int measure_ms = 1000;
};

constexpr std::size_t stamp_size = 8;
constexpr std::size_t receive_size = 256 * 1024;
constexpr int max_events = 1024;
constexpr int silence_ms = 5000;
constexpr int full_check_every = 64;

[[noreturn]] void fail(const std::string& what, bool with_errno = true) {
  std::fprintf(stderr, "loadgen: %s%s%s\n", what.c_str(), with_errno ? ": " : "",
               with_errno ? std::strerror(errno) : "");
  std::_Exit(1);
}

std::int64_t clock_ns(clockid_t clock) {
  timespec ts{};
  if (clock_gettime(clock, &ts) != 0) fail("clock_gettime");
  return ts.tv_sec * 1'000'000'000LL + ts.tv_nsec;
}

std::int64_t now_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

std::int64_t server_cpu_ns(pid_t pid) {
  clockid_t clock{};
  if (pid == 0) return 0;
  if (int error = clock_getcpuclockid(pid, &clock); error != 0) {
    errno = error;
    fail("clock_getcpuclockid of the server");
  }
  return clock_ns(clock);
}

struct connection {
  int fd = -1;
  std::uint32_t id = 0;
  std::uint32_t sequence = 0;
  std::size_t sent = 0;
  std::size_t received = 0;
  std::int64_t started_ns = 0;
};

class generator {
 public:
  explicit generator(const options& o)
      : options_(o), message_(std::max(o.size, stamp_size)), receive_buffer_(receive_size) {
    std::uint64_t state = 7;
    for (char& byte : message_) byte = static_cast<char>((state = state * 6364136223846793005u + 1) >> 56);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll_create1");
    connections_.resize(static_cast<std::size_t>(o.connections));
  }

  void run() {
    for (std::size_t i = 0; i < connections_.size(); ++i)
      open(connections_[i], static_cast<std::uint32_t>(i));
    now_ = now_ns();
    for (auto& c : connections_) begin(c);
    const std::int64_t warm_until = now_ + options_.warmup_ms * 1'000'000LL;
    turn_until(warm_until);

    measuring_ = true;
    requests_ = 0;
    const std::int64_t cpu_before = server_cpu_ns(options_.pid), start = now_ns();
    turn_until(start + options_.measure_ms * 1'000'000LL);
    const std::int64_t cpu = server_cpu_ns(options_.pid) - cpu_before;
    const auto wall = static_cast<double>(now_ns() - start);
    const auto count = static_cast<double>(std::max<std::int64_t>(requests_, 1));

    std::printf(
        "{\"requests\": %lld, \"total_requests\": %lld, \"seconds\": %.3f, \"req_per_s\": %.0f, \"p50_us\": "
        "%.1f,"
        " \"p99_us\": %.1f, \"cpu_s_per_million\": %.4f, \"server_busy\": %.3f}\n",
        static_cast<long long>(requests_), static_cast<long long>(total_requests_), wall / 1e9,
        count / wall * 1e9, latencies_.percentile_us(0.50), latencies_.percentile_us(0.99),
        static_cast<double>(cpu) / count / 1e3, static_cast<double>(cpu) / wall);
  }

 private:
  void open(connection& c, std::uint32_t id) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c.id = id;
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c.fd < 0) fail("socket");
    if (connect(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
    if (fcntl(c.fd, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &c}};
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) != 0) fail("epoll_ctl");
  }

  std::uint64_t stamp(const connection& c) const {
    return (static_cast<std::uint64_t>(c.id) << 32 | c.sequence) * 0x9e3779b97f4a7c15u;
  }

  void write_stamp(const connection& c) {
    const std::uint64_t value = stamp(c);
    std::memcpy(message_.data(), &value, stamp_size);
  }

  void begin(connection& c) {
    ++c.sequence;
    c.sent = c.received = 0;
    c.started_ns = now_;
    send_rest(c);
  }

  void send_rest(connection& c) {
    write_stamp(c);
    while (c.sent < options_.size) {
      const ssize_t n = send(c.fd, message_.data() + c.sent, options_.size - c.sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) return;  // EPOLLOUT continues
      if (n < 0) fail("send");
      c.sent += static_cast<std::size_t>(n);
    }
  }

  void check(const connection& c, std::size_t size) {
    if (c.received + size > c.sent) fail("more came back than was sent", false);
    write_stamp(c);
    const char *got = receive_buffer_.data(), *expected = message_.data() + c.received;
    const std::size_t end = std::min(size, stamp_size);
    bool same = std::memcmp(got, expected, end) == 0 &&
                std::memcmp(got + size - end, expected + size - end, end) == 0;
    if (c.sequence % full_check_every == 0) same = same && std::memcmp(got, expected, size) == 0;
    if (!same) fail("an answer differs from its message", false);
  }

  void receive(connection& c, bool hung_up) {
    for (;;) {
      const ssize_t n = recv(c.fd, receive_buffer_.data(), receive_buffer_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) fail("recv");
      if (n == 0) fail("the server closed a connection", false);
      const auto size = static_cast<std::size_t>(n);
      check(c, size);
      c.received += size;
      if (c.received == options_.size) finish(c);
      if (size < receive_buffer_.size() && !hung_up) return;
    }
  }

  void finish(connection& c) {
    now_ = now_ns();
    if (measuring_) latencies_.add(now_ - c.started_ns);
    ++requests_;
    ++total_requests_;
    begin(c);
  }

  void turn_until(std::int64_t end) {
    while (now_ < end) {
      const int count = epoll_wait(epoll_, events_, max_events, silence_ms);
      if (count == 0) fail("no answer for 5 s", false);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) {
        auto& c = *static_cast<connection*>(events_[i].data.ptr);
        const std::uint32_t events = events_[i].events;
        if ((events & EPOLLOUT) != 0 && c.sent < options_.size && c.sequence != 0) send_rest(c);
        if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) receive(c, (events & EPOLLRDHUP) != 0);
      }
      now_ = now_ns();  // also when nothing was finished: the window ends on time
    }
  }

  options options_;
  std::vector<char> message_, receive_buffer_;
  std::vector<connection> connections_;
  epoll_event events_[max_events]{};
  histogram latencies_;
  int epoll_ = -1;
  bool measuring_ = false;
  std::int64_t now_ = 0, requests_ = 0, total_requests_ = 0;
};

options parse(int argc, char** argv) {
  options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const long value = std::strtol(argv[i + 1], nullptr, 10);
    if (name == "--port")
      o.port = static_cast<int>(value);
    else if (name == "--connections")
      o.connections = static_cast<int>(value);
    else if (name == "--size")
      o.size = static_cast<std::size_t>(value);
    else if (name == "--pid")
      o.pid = static_cast<pid_t>(value);
    else if (name == "--warmup-ms")
      o.warmup_ms = static_cast<int>(value);
    else if (name == "--measure-ms")
      o.measure_ms = static_cast<int>(value);
    else
      fail("unknown option " + std::string(name), false);
  }
  if (o.port <= 0 || o.connections <= 0 || o.size < stamp_size || o.measure_ms <= 0 || o.measure_ms > 60'000)
    fail("needs --port, --connections > 0, --size >= 8 and --measure-ms of at most a minute", false);
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  alarm(120);
  generator(parse(argc, argv)).run();
}
