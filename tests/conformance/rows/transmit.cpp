// A blocking write or send takes all its bytes, however slow the reader is.
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

constexpr std::size_t megabytes = 6 << 20;

// Writes `data` by `write_it(fd)`, read slowly at the other end; what arrives must be `data`.
template <class Write>
void transfer(log& o, kind k, const std::string& data, Write write_it) {
  both_ends e = make(k);
  std::string got;
  flow reader("reader", [&](log& r) {
    got = read_all(e.a, data.size(), 300, 131072);
    r.say("read %zu bytes", got.size());
  });
  write_it(e.b);
  reader.join();
  o.check(got == data, "the bytes arrive as they were sent");
}

std::vector<iovec> pieces(const std::string& data, std::initializer_list<std::size_t> sizes) {
  std::vector<iovec> result;
  std::size_t at = 0;
  for (std::size_t n : sizes) {
    n = std::min(n, data.size() - at);
    result.push_back({const_cast<char*>(data.data()) + at, n});
    at += n;
  }
  result.push_back({const_cast<char*>(data.data()) + at, data.size() - at});
  return result;
}

}  // namespace

COIR_ROW("write: a blocking write of many megabytes returns all of them") {
  const std::string data = pattern(megabytes);
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    transfer(o, k, data, [&](int fd) { COIR_OBSERVE(o, write(fd, data.data(), data.size())); });
  }
}

COIR_ROW("send: a blocking send of many megabytes returns all of them") {
  const std::string data = pattern(megabytes);
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    transfer(o, k, data, [&](int fd) { COIR_OBSERVE(o, send(fd, data.data(), data.size(), 0)); });
    transfer(o, k, data, [&](int fd) {
      COIR_OBSERVE(o, sendto(fd, data.data(), data.size(), MSG_NOSIGNAL, nullptr, 0));
    });
  }
}

COIR_ROW("writev: all pieces go out in order, and the caller's iovecs stay as they were") {
  const std::string data = pattern(megabytes);
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const std::vector<iovec> v = pieces(data, {1, 0, 70'000, 3, 1'000'000, 0, 65'536});
    std::vector<iovec> copy = v;
    transfer(o, k, data,
             [&](int fd) { COIR_OBSERVE(o, writev(fd, copy.data(), static_cast<int>(copy.size()))); });
    o.check(std::equal(v.begin(), v.end(), copy.begin(),
                       [](const iovec& x, const iovec& y) {
                         return x.iov_base == y.iov_base && x.iov_len == y.iov_len;
                       }),
            "the iovecs are unchanged");
    transfer(o, k, data, [&](int fd) {
      COIR_OBSERVE(o, pwritev2(fd, copy.data(), static_cast<int>(copy.size()), -1, 0));
    });
  }
}

COIR_ROW("sendmsg: all pieces go out in order") {
  const std::string data = pattern(megabytes);
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    std::vector<iovec> v = pieces(data, {5, 100'000, 0, 1, 2'000'000});
    msghdr m = {};
    m.msg_iov = v.data();
    m.msg_iovlen = v.size();
    transfer(o, k, data, [&](int fd) { COIR_OBSERVE(o, sendmsg(fd, &m, 0)); });
  }
}

COIR_ROW("sendmmsg: each message of a stream goes out whole") {
  const std::string data = pattern(megabytes);
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    std::vector<iovec> v = pieces(data, {1'000'000, 1'500'000});
    mmsghdr mm[3] = {};
    for (std::size_t i = 0; i < 3; ++i) {
      mm[i].msg_hdr.msg_iov = &v[i];
      mm[i].msg_hdr.msg_iovlen = 1;
    }
    transfer(o, k, data, [&](int fd) { COIR_OBSERVE(o, sendmmsg(fd, mm, 3, 0)); });
    o.say("lengths %u %u %u", mm[0].msg_len, mm[1].msg_len, mm[2].msg_len);
  }
}

COIR_ROW("write: many small writes to a slow reader all go out") {
  const std::string data = pattern(400'000);
  for (const kind k : streams) {
    transfer(o, k, data, [&](int fd) {
      std::size_t done = 0, calls = 0;
      for (; done < data.size(); ++calls) {
        const ssize_t n = write(fd, data.data() + done, std::min<std::size_t>(701, data.size() - done));
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
      o.say("%s: %zu calls, %zu bytes", name_of(k), calls, done);
    });
  }
}

COIR_ROW("write: up to PIPE_BUF bytes go into a pipe in one piece") {
  const scratch_path path("fifo");
  COIR_MUST(mkfifo(path.c_str(), 0600));
  for (const bool named : {false, true}) {
    o.say(named ? "named" : "unnamed");
    both_ends e;
    if (named) {
      e.a = descriptor(COIR_MUST(open(path.c_str(), O_RDONLY | O_NONBLOCK)));
      e.b = descriptor(COIR_MUST(open(path.c_str(), O_WRONLY)));
      set_nonblocking(e.a, false);
    } else {
      e = make(kind::pipe);
    }
    COIR_MUST(fcntl(e.b, F_SETPIPE_SZ, 8192));
    constexpr int writers = 4, rounds = 20;
    std::string got;
    flow reader("reader", [&](log&) { got = read_all(e.a, writers * rounds * PIPE_BUF, 50, 1000); });
    {
      std::vector<std::unique_ptr<flow>> flows;
      for (int i = 0; i < writers; ++i)
        flows.push_back(std::make_unique<flow>("writer " + std::to_string(i), [&, i](log& w) {
          const std::string block(PIPE_BUF, static_cast<char>('a' + i));
          for (int n = 0; n < rounds; ++n)
            if (const ssize_t r = write(e.b, block.data(), block.size()); r != PIPE_BUF)
              w.say("write -> %zd", r);
        }));
    }
    reader.join();
    o.say("read %zu bytes", got.size());
    bool whole = true;
    for (std::size_t i = 0; i < got.size(); ++i) whole = whole && got[i] == got[i / PIPE_BUF * PIPE_BUF];
    o.check(whole, "no block was torn");
  }
}

COIR_ROW("write: a waiting write goes on as soon as there is room") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    set_buffers_if_socket(e.b, 16384);
    const std::size_t filled = fill(e.b);
    flow writer("writer", [&](log& w) { COIR_OBSERVE(w, write(e.b, "last", 4)); });
    settle();
    o.say("%s: the writer %s", name_of(k), writer.state());
    const std::string got = read_all(e.a, filled + 4);
    writer.join();
    o.check(got.size() == filled + 4 && got.ends_with("last"), "all arrives");
  }
}

COIR_ROW("write: a closed reader gives EPIPE") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    both_ends e = make(k);
    e.a.close();
    if (k == kind::tcp) {  // the first write makes the peer say that nobody listens
      COIR_OBSERVE(o, write(e.b, "x", 1));
      settle();
    }
    COIR_OBSERVE(o, write(e.b, "x", 1));
    const std::string large = pattern(200'000);
    iovec v = {const_cast<char*>(large.data()), large.size()};
    COIR_OBSERVE(o, writev(e.b, &v, 1));
    if (k != kind::pipe) {
      COIR_OBSERVE(o, send(e.b, "x", 1, MSG_NOSIGNAL));
      COIR_OBSERVE(o, send(e.b, "x", 1, 0));
    }
  }
}

COIR_ROW("write: the reader's end while a write waits gives the partial count, then EPIPE") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    both_ends e = make(k);
    set_buffers_if_socket(e.b, 16384);
    set_buffers_if_socket(e.a, 16384);
    const std::string large = pattern(8 << 20);
    flow writer("writer", [&](log& w) {
      errno = untouched;
      const ssize_t n = write(e.b, large.data(), large.size());
      w.say("the write is %s", n < 0                                     ? strerrorname_np(errno)
                               : n == static_cast<ssize_t>(large.size()) ? "whole"
                                                                         : "partial");
      COIR_OBSERVE(w, write(e.b, "x", 1));
      COIR_OBSERVE(w, write(e.b, "x", 1));
    });
    settle();
    e.a.close();
  }
}

namespace {

volatile sig_atomic_t pipe_signals;
void count_pipe_signal(int) {
  pipe_signals = pipe_signals + 1;
}

// Counts SIGPIPE while it lives.
class counting_sigpipe {
 public:
  counting_sigpipe() {
    pipe_signals = 0;
    struct sigaction action = {};
    action.sa_handler = count_pipe_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGPIPE, &action, &before_);
  }
  ~counting_sigpipe() { sigaction(SIGPIPE, &before_, nullptr); }
  int take() {
    const int n = pipe_signals;
    pipe_signals = 0;
    return n;
  }

 private:
  struct sigaction before_;
};

}  // namespace

COIR_ROW_WITH(no_ticker, "SIGPIPE: one for each failed write, none with MSG_NOSIGNAL") {
  counting_sigpipe signals;
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    both_ends e = make(k);
    e.a.close();
    if (k == kind::tcp) COIR_OBSERVE(o, write(e.b, "x", 1)), settle();
    COIR_OBSERVE(o, write(e.b, "x", 1));
    o.say("signals %d", signals.take());
    if (k == kind::pipe) continue;
    COIR_OBSERVE(o, send(e.b, "x", 1, 0));
    o.say("signals %d", signals.take());
    COIR_OBSERVE(o, send(e.b, "x", 1, MSG_NOSIGNAL));
    o.say("signals with MSG_NOSIGNAL %d", signals.take());
  }
}

COIR_ROW_WITH(no_ticker, "SIGPIPE: a write that ends with a partial count sends what the kernel would send") {
  counting_sigpipe signals;
  for (const kind k : streams) {
    both_ends e = make(k);
    set_buffers_if_socket(e.b, 16384);
    set_buffers_if_socket(e.a, 16384);
    const std::string large = pattern(8 << 20);
    flow writer("writer", [&](log& w) {
      const ssize_t n = write(e.b, large.data(), large.size());
      w.say("%s: the write is %s", name_of(k),
            n > 0 && n < static_cast<ssize_t>(large.size()) ? "partial" : "something else");
    });
    settle();
    e.a.close();
    writer.join();
    o.say("%s: signals %d", name_of(k), signals.take());
  }
}

COIR_ROW_WITH(no_ticker, "SIGPIPE: an end that a send hears of while it waits") {
  counting_sigpipe signals;
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_packets, kind::unix_datagram})
    for (const bool closes : {true, false}) {
      if (!closes && (k == kind::pipe || k == kind::unix_datagram)) continue;  // it waits on
      both_ends e = make(k);
      fill(e.b);
      flow writer("writer", [&](log& w) {
        w.say("%s, %s", name_of(k), closes ? "closed" : "shut down");
        COIR_OBSERVE(w, write(e.b, "xxxx", 4));
      });
      settle();
      if (closes)
        e.a.close();
      else
        shutdown(e.a, SHUT_RDWR);
      writer.join();
      o.say("signals %d", signals.take());
    }
}

COIR_ROW("SIGPIPE: by default it ends the process") {
  for (const kind k : streams) {
    both_ends e = make(k);
    e.a.close();
    if (k == kind::tcp) write_all(e.b, "x"), settle();
    const pid_t child = COIR_MUST(fork());
    if (child == 0) {
      signal(SIGPIPE, SIG_DFL);
      if (write(e.b, "x", 1) < 0) _exit(1);
      _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
    }
    o.say("%s: %s", name_of(k), WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "no signal");
  }
}

COIR_ROW("write: zero bytes") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, write(e.b, "", 0));
    iovec v[2] = {{nullptr, 0}, {nullptr, 0}};
    COIR_OBSERVE(o, writev(e.b, v, 2));
    COIR_OBSERVE(o, writev(e.b, v, 0));
    fill(e.b);
    COIR_OBSERVE(o, write(e.b, "", 0));
  }
  const both_ends e = make(kind::tcp);
  COIR_OBSERVE(o, send(e.b, "", 0, 0));
}

COIR_ROW("send: a full datagram receiver makes the sender wait, and nothing is lost") {
  for (const kind k : {kind::unix_datagram, kind::unix_packets}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    constexpr int count = 300;
    flow sender("sender", [&](log& s) {
      int sent = 0;
      for (; sent < count; ++sent) {
        const std::string message = std::to_string(sent);
        if (send(e.b, message.data(), message.size(), 0) != static_cast<ssize_t>(message.size())) break;
      }
      s.say("sent %d", sent);
    });
    settle();
    o.say("the sender %s", sender.state());
    int next = 0;
    char text[32];
    for (; next < count; ++next) {
      const ssize_t n = recv(e.a, text, sizeof text, 0);
      if (n < 0 || std::string(text, static_cast<std::size_t>(n)) != std::to_string(next)) break;
    }
    o.say("received %d in order", next);
  }
}

COIR_ROW("sendto: a full unconnected datagram receiver makes the sender wait") {
  const scratch_path path("receiver");
  socklen_t size;
  const sockaddr_storage address = path.unix_address(size);
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  const descriptor receiver(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  COIR_MUST(bind(receiver, to, size));
  const descriptor from(COIR_MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  constexpr int count = 100;
  flow sender("sender", [&](log& s) {
    int sent = 0;
    while (sent < count && sendto(from, &sent, sizeof sent, 0, to, size) == sizeof sent) ++sent;
    s.say("sent %d", sent);
  });
  settle();
  o.say("the sender %s", sender.state());
  int next = 0, value = 0;
  while (next < count && recv(receiver, &value, sizeof value, 0) == sizeof value && value == next) ++next;
  o.say("received %d in order", next);
}

COIR_ROW("send: a datagram that is too large fails at once") {
  const std::string large = pattern(1 << 20);
  for (const kind k : datagrams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const stopwatch since;
    COIR_OBSERVE(o, send(e.b, large.data(), large.size(), 0));
    o.took_no_time(since);
  }
}
