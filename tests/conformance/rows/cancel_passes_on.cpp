// Who was woken for what others wait for too, and leaves, wakes the next: by cancellation and by timeouts, on
// one thread and on several.
#include <coir/coir.hpp>

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// Connected when it returns, and nobody has run meanwhile.
descriptor connect_now(const listener& l) {
  descriptor from = tcp_socket(SOCK_NONBLOCK);
  if (connect(from, l.where(), l.size) != 0 && errno != EINPROGRESS) must(-1, "connect");
  return from;
}

bool accept_one(const listener& l) {
  return descriptor(accept(l.fd, nullptr, nullptr)) >= 0;
}

template <class Done>
bool soon(Done done) {
  for (int i = 0; i < 100 && !done(); ++i) nap(3);
  return done();
}

// Several fibers that each make `take` once; it returns whether it got something.
class takers {
 public:
  template <class Take>
  takers(int count, Take take) {
    for (int i = 0; i < count; ++i)
      fibers_.push_back(coir::spawn([this, take, i] {
        if (take(i)) ++taken_;
      }));
    settle();
  }
  ~takers() {
    for (const auto& f : fibers_) f.cancel();
    for (const auto& f : fibers_) f.join();
  }
  void cancel(int i) { fibers_[static_cast<std::size_t>(i)].cancel(); }
  int taken() const { return taken_; }
  bool all_taken(int n) {
    return soon([&] { return taken_ == n; });
  }

 private:
  std::vector<coir::fiber<void>> fibers_;
  std::atomic<int> taken_{0};
};

}  // namespace

COIR_ROW_WITH(fibers_only, "cancel: who was woken for what others wait for too, and leaves, wakes the next") {
  // `come` makes one thing come for one of the takers, without letting them run.
  const auto check = [&](const char* what, auto take, auto come) {
    for (int first = 0; first < 3; ++first) {
      takers t(3, take);
      come();
      t.cancel(first);
      o.check(t.all_taken(1), (std::string(what) + ", cancelled: taken").c_str());
      come();
      o.check(t.all_taken(2), (std::string(what) + ", another: taken").c_str());
    }
  };
  const listener l(64);
  std::vector<descriptor> clients;
  check(
      "accept", [&](int) { return accept_one(l); }, [&] { clients.push_back(connect_now(l)); });
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::udp}) {
    const both_ends e = make(k);
    const auto come = [&] { write_all(e.b, "x"); };
    char data;
    check((std::string(name_of(k)) + " read").c_str(), [&](int) { return read(e.a, &data, 1) == 1; }, come);
    if (k == kind::pipe) continue;
    check((std::string(name_of(k)) + " recv").c_str(), [&](int) { return recv(e.a, &data, 1, 0) == 1; },
          come);
  }
  const descriptor counter(COIR_MUST(eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC)));
  check(
      "eventfd",
      [&](int) {
        eventfd_t value;
        return eventfd_read(counter, &value) == 0;
      },
      [&] { eventfd_write(counter, 1); });
}

COIR_ROW_WITH(fibers_only, "cancel: a splice that was woken and waits for room has kept nothing for itself") {
  for (const bool by_timeout : {false, true}) {
    const both_ends e = make(kind::pipe), full = make(kind::pipe), empty = make(kind::pipe);
    fill(full.b);
    takers t(2, [&](int i) {
      coir::timeout limit(i == 0 && by_timeout ? 20ms : 10s);
      return splice(e.a, nullptr, i == 0 ? full.b : empty.b, nullptr, 1, 0) == 1;
    });
    write_all(e.b, "x");
    if (!by_timeout) {
      coir::this_fiber::yield();
      t.cancel(0);
    }
    o.check(t.all_taken(1), by_timeout ? "after its timeout" : "after its cancellation");
  }
}

COIR_ROW_WITH(fibers_only, "cancel: room that a cancelled writer was woken for is the next one's") {
  for (const kind k : {kind::unix_stream, kind::pipe}) {
    const both_ends e = make(k);
    const std::size_t filled = fill(e.b);
    takers t(3, [&](int) { return write(e.b, "more", 4) == 4; });
    read_all(e.a, filled, 0, filled);
    t.cancel(0);
    o.check(soon([&] { return t.taken() >= 2; }), name_of(k));
  }
}

COIR_ROW_WITH(fibers_only, "timeouts: what comes as one's time ends is another's") {
  const both_ends e = make(kind::pipe), u = make(kind::unix_datagram);
  const listener l(64);
  set_timeout(l.fd, SO_RCVTIMEO, 20'000);
  std::vector<descriptor> clients;
  for (int round = 0; round < 12; ++round) {
    const auto limit = std::chrono::milliseconds(round % 3 == 0 ? 0 : 20);
    char data;
    const auto within = [&](int i, auto take) {
      coir::timeout time(i == 0 && limit > 0ms ? std::chrono::nanoseconds(limit) : 10s);
      return take();
    };
    takers readers(2, [&](int i) { return within(i, [&] { return read(e.a, &data, 1) == 1; }); });
    takers receivers(2, [&](int i) { return within(i, [&] { return recv(u.a, &data, 1, 0) == 1; }); });
    std::atomic<bool> stop{false};
    takers acceptors(2, [&](int i) {
      return within(i, [&] {
        do {
          if (accept_one(l)) return true;
        } while (i == 1 && !stop);
        return false;
      });
    });
    // About when the first ones' time is over.
    const stopwatch since;
    while (since.milliseconds() < 12 + 0.1 * round) {
    }
    write_all(e.b, "x");
    write_all(u.b, "x");
    clients.push_back(connect_now(l));
    o.check(readers.all_taken(1), "read");
    o.check(receivers.all_taken(1), "recv");
    o.check(acceptors.all_taken(1), "accept");
    stop = true;
  }
}

COIR_ROW_WITH(fibers_only,
              "cancel: an accept that is cancelled on one thread loses no connection of another's") {
  const listener l(64);
  std::atomic<int> accepted{0};
  std::atomic<bool> waits{false}, stop{false};
  std::vector<descriptor> clients;
  takers mine(1, [&](int) { return accept_one(l); });  // the first in the kernel's queue
  std::thread other([&] {
    coir::fiber<void> f = coir::spawn([&] {
      if (accept_one(l)) ++accepted;
    });
    coir::this_fiber::sleep_for(10ms);
    waits = true;
    while (!stop && !f.ready()) coir::this_fiber::sleep_for(1ms);
    f.cancel();
    f.join();
  });
  o.check(soon([&] { return waits.load(); }), "the other thread waits");
  clients.push_back(connect_now(l));
  mine.cancel(0);
  o.check(soon([&] { return accepted + mine.taken() == 1; }), "accepted");
  stop = true;
  other.join();
}

COIR_ROW_WITH(fibers_only, "sharing: threads of several fibers each leave nothing of what comes for all") {
  constexpr int threads = 3, each = 3;
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::udp}) {
    const both_ends e = make(k);
    std::atomic<int> waiting{0}, taken{0};
    std::atomic<bool> stop{false};
    std::array<std::thread, threads> all;
    for (std::thread& t : all)
      t = std::thread([&] {
        std::vector<coir::fiber<void>> fibers;
        for (int i = 0; i < each; ++i)
          fibers.push_back(coir::spawn([&] {
            char data;
            if (read(e.a, &data, 1) == 1) ++taken;
          }));
        coir::this_fiber::sleep_for(5ms);
        ++waiting;
        while (!stop) coir::this_fiber::sleep_for(1ms);
        for (const auto& f : fibers) f.cancel();
        coir::wait_all(fibers);
      });
    o.check(soon([&] { return waiting == threads; }), "they wait");
    if (k == kind::udp || k == kind::unix_datagram)
      for (int i = 0; i < threads * each; ++i) write_all(e.b, "x");
    else
      write_all(e.b, std::string(threads * each, 'x'));
    o.check(soon([&] { return taken == threads * each; }),
            (std::string(name_of(k)) + ": " + std::to_string(taken) + " of 9").c_str());
    stop = true;
    for (std::thread& t : all) t.join();
  }
}

COIR_ROW_WITH(fibers_only, "cancel: who begins to wait as another's data comes can be cancelled") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_datagram, kind::udp}) {
    const both_ends e = make(k);
    char data;
    long n = 0;
    int error = 0;
    coir::fiber<void> first = coir::spawn([&] { recv(e.a, &data, 1, 0); });
    settle();
    coir::fiber<void> second = coir::spawn([&] {
      n = recv(e.a, &data, 1, 0);
      error = errno;
    });
    coir::this_fiber::yield();
    write_all(e.b, "x");
    second.cancel();
    o.check(soon([&] { return first.ready() || n == 1; }), "the data is taken");
    o.check(soon([&] { return second.ready(); }), (std::string(name_of(k)) + ": it ends").c_str());
    o.check(n == 1 || (n == -1 && error == ECANCELED), "cancelled");
    first.cancel();
    if (!second.ready()) write_all(e.b, "y");
    second.join();
    first.join();
  }
}
