#include "things.hpp"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace conformance {

void descriptor::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

int must(int r, const char* what) {
  if (r != -1) return r;
  std::fprintf(stderr, "conformance: %s: %s\n", what, std::strerror(errno));
  std::_Exit(4);
}

const char* name_of(kind k) {
  switch (k) {
    case kind::tcp:
      return "tcp";
    case kind::unix_stream:
      return "unix stream";
    case kind::pipe:
      return "pipe";
    case kind::unix_datagram:
      return "unix datagram";
    case kind::unix_packets:
      return "unix packets";
    case kind::udp:
      return "udp";
  }
  return "?";
}

namespace {

both_ends unix_pair(int type) {
  int ends[2];
  COIR_MUST(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends));
  return {descriptor(ends[0]), descriptor(ends[1])};
}

both_ends udp_pair() {
  both_ends result{descriptor(COIR_MUST(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))),
                   descriptor(COIR_MUST(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)))};
  sockaddr_in address[2] = {};
  int ends[2] = {result.a, result.b};
  for (int i = 0; i < 2; ++i) {
    address[i].sin_family = AF_INET;
    address[i].sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address[i];
    COIR_MUST(::bind(ends[i], reinterpret_cast<sockaddr*>(&address[i]), size));
    COIR_MUST(::getsockname(ends[i], reinterpret_cast<sockaddr*>(&address[i]), &size));
  }
  for (int i = 0; i < 2; ++i)
    COIR_MUST(::connect(ends[i], reinterpret_cast<sockaddr*>(&address[1 - i]), sizeof address[0]));
  return result;
}

}  // namespace

both_ends make(kind k) {
  switch (k) {
    case kind::tcp: {
      const listener l;
      descriptor from = tcp_socket();
      COIR_MUST(::connect(from, l.where(), l.size));
      return {descriptor(COIR_MUST(::accept4(l.fd, nullptr, nullptr, SOCK_CLOEXEC))), std::move(from)};
    }
    case kind::unix_stream:
      return unix_pair(SOCK_STREAM);
    case kind::unix_datagram:
      return unix_pair(SOCK_DGRAM);
    case kind::unix_packets:
      return unix_pair(SOCK_SEQPACKET);
    case kind::udp:
      return udp_pair();
    case kind::pipe: {
      int ends[2];
      COIR_MUST(::pipe2(ends, O_CLOEXEC));
      return {descriptor(ends[0]), descriptor(ends[1])};
    }
  }
  std::abort();
}

descriptor tcp_socket(int extra_type) {
  return descriptor(COIR_MUST(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | extra_type, 0)));
}

listener::listener(int backlog) : fd(tcp_socket()), address{} {
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t length = size;
  COIR_MUST(::bind(fd, where(), length));
  COIR_MUST(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length));
  COIR_MUST(::listen(fd, backlog));
}

sockaddr_in nobody() {
  const listener l;  // its port is free again at once, and nobody else is given it for a while
  return l.address;
}

full_listener::full_listener() : where(0), first(tcp_socket()) {
  COIR_MUST(::connect(first, where.where(), where.size));
}

scratch_path::scratch_path(const char* name) {
  char made[] = "/tmp/conformanceXXXXXX";
  if (::mkdtemp(made) == nullptr) must(-1, "mkdtemp");
  directory_ = made;
  path_ = directory_ + "/" + name;
}

scratch_path::~scratch_path() {
  ::unlink(path_.c_str());
  ::rmdir(directory_.c_str());
}

sockaddr_storage scratch_path::unix_address(socklen_t& size) const noexcept {
  sockaddr_storage result = {};
  auto* address = reinterpret_cast<sockaddr_un*>(&result);
  address->sun_family = AF_UNIX;
  std::strncpy(address->sun_path, path_.c_str(), sizeof address->sun_path - 1);
  size = sizeof *address;
  return result;
}

fifo::fifo() : scratch_path("fifo") {
  COIR_MUST(::mkfifo(c_str(), 0600));
}

descriptor scratch_file(const std::string& content, int flags) {
  const scratch_path path("file");
  descriptor result(COIR_MUST(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600)));
  if (!content.empty() && !write_all(result, content)) must(-1, "write to a scratch file");
  COIR_MUST(::lseek(result, 0, SEEK_SET));
  return result;
}

std::string pattern(std::size_t n, unsigned seed) {
  std::string result(n, '\0');
  unsigned x = seed * 2654435761U + 1;
  for (char& c : result) {
    x = x * 1664525U + 1013904223U;
    c = static_cast<char>('!' + (x >> 24) % 90);
  }
  return result;
}

std::string read_all(int fd, std::size_t most, unsigned pause_us, std::size_t piece) {
  std::string result;
  std::string buffer(piece, '\0');
  while (result.size() < most) {
    if (pause_us != 0) ::usleep(pause_us);
    const std::size_t wanted = most - result.size() < piece ? most - result.size() : piece;
    const ssize_t n = ::read(fd, buffer.data(), wanted);
    if (n <= 0) break;
    result.append(buffer, 0, static_cast<std::size_t>(n));
  }
  return result;
}

bool write_all(int fd, const std::string& data) {
  for (std::size_t done = 0; done < data.size();) {
    const ssize_t n = ::write(fd, data.data() + done, data.size() - done);
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

namespace {
// Whether what a TCP peer has received is not acknowledged yet: that will make room.
bool on_its_way(int fd) {
  int unacknowledged = 0, unsent = 0;
  return ::ioctl(fd, SIOCOUTQ, &unacknowledged) == 0 && ::ioctl(fd, SIOCOUTQNSD, &unsent) == 0 &&
         unacknowledged != unsent;
}
}  // namespace

std::size_t fill(int fd) {
  static const std::string filler = pattern(65536, 7);
  // A size that was asked for stays; the kernel's own choice would grow later.
  int size = 0;
  socklen_t length = sizeof size;
  if (::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length) == 0) set_buffers(fd, size / 2);
  const bool was = is_nonblocking(fd);
  set_nonblocking(fd, true);
  std::size_t total = 0;
  // At last byte by byte: the next write of any size is to wait. And again, since a peer acknowledges a
  // little later.
  bool full = false;
  for (int round = 0; !full && round < 200; ++round) {
    const bool calm = !on_its_way(fd);
    const std::size_t before = total;
    for (std::size_t piece = filler.size(); piece != 0;) {
      const ssize_t n = ::write(fd, filler.data(), piece);
      if (n > 0)
        total += static_cast<std::size_t>(n);
      else
        piece = piece > 1 ? piece / 4 : 0;
    }
    full = calm && total == before;
    if (!full) ::usleep(3000);
  }
  set_nonblocking(fd, was);
  return total;
}

int bytes_waiting(int fd) {
  int n = 0;
  COIR_MUST(::ioctl(fd, FIONREAD, &n));
  return n;
}

bool is_nonblocking(int fd) {
  return (COIR_MUST(::fcntl(fd, F_GETFL)) & O_NONBLOCK) != 0;
}

void set_nonblocking(int fd, bool on) {
  const int flags = COIR_MUST(::fcntl(fd, F_GETFL));
  COIR_MUST(::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

void reset(descriptor& d) {
  const linger off = {1, 0};
  COIR_MUST(::setsockopt(d, SOL_SOCKET, SO_LINGER, &off, sizeof off));
  d.close();
}

void set_timeout(int fd, int option, long microseconds) {
  const timeval t = {microseconds / 1'000'000, microseconds % 1'000'000};
  COIR_MUST(::setsockopt(fd, SOL_SOCKET, option, &t, sizeof t));
}

void set_buffers(int fd, int bytes) {
  COIR_MUST(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
  COIR_MUST(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
}

void set_buffers_if_socket(int fd, int bytes) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0) set_buffers(fd, bytes);
}

int closed_number() {
  const descriptor d(COIR_MUST(::fcntl(0, F_DUPFD_CLOEXEC, 700)));
  return d;
}

const char* name_of_error(int error) {
  return error == 0 ? "0" : ::strerrorname_np(error);
}

timespec after(clockid_t clock, long ms) {
  timespec t;
  ::clock_gettime(clock, &t);
  t.tv_nsec += ms % 1000 * 1'000'000;
  t.tv_sec += ms / 1000 + t.tv_nsec / 1'000'000'000;
  t.tv_nsec %= 1'000'000'000;
  return t;
}

void nap(long ms) {
  const timespec t = {0, ms * 1'000'000};
  ::nanosleep(&t, nullptr);
}

}  // namespace conformance
