// Several flows on one descriptor: all wait, each piece of data goes to one of them, nobody is forgotten.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("sharing: a reader and a writer on one socket both go on") {
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const std::size_t filled = fill(e.a);
    flow reader("reader", [&](log& r) {
      char data[8];
      COIR_OBSERVE(r, read(e.a, data, sizeof data));
    });
    flow writer("writer", [&](log& w) { COIR_OBSERVE(w, write(e.a, "more", 4)); });
    settle();
    o.say("the reader %s", reader.state());
    write_all(e.b, "hello");
    settle();
    o.say("the reader %s", reader.state());
    o.say("%s", read_all(e.b, filled + 4).ends_with("more") ? "all came" : "something is missing");
  }
}

COIR_ROW("sharing: of two readers one gets the data, the other waits on") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    std::atomic<long> bytes{0};
    const auto read_it = [&](log& r) {
      char data[8];
      const long n = COIR_OBSERVE(r, read(e.a, data, sizeof data));
      bytes += n;
    };
    flow first("reader", read_it), second("reader", read_it);
    settle();
    o.say("%d returned", first.done() + second.done());
    write_all(e.b, "hello");
    settle();
    o.say("%d returned", first.done() + second.done());
    write_all(e.b, "world");
    first.join();
    second.join();
    o.say("%ld bytes", bytes.load());
  }
}

COIR_ROW("sharing: data enough for two readers reaches both") {
  for (const kind k : {kind::tcp, kind::unix_stream, kind::pipe, kind::unix_datagram, kind::udp}) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const auto read_it = [&](log& r) {
      char data[4];
      COIR_OBSERVE(r, read(e.a, data, sizeof data));
    };
    flow first("reader", read_it), second("reader", read_it), third("reader", read_it);
    settle();
    if (k == kind::tcp || k == kind::unix_stream || k == kind::pipe)
      write_all(e.b, "12345678abcd");
    else
      for (const char* part : {"1234", "5678", "abcd"}) write_all(e.b, part);
    settle();
    o.say("%d returned", first.done() + second.done() + third.done());
  }
}

COIR_ROW("sharing: the end of the stream reaches every reader") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    both_ends e = make(k);
    const auto read_it = [&](log& r) {
      char data[8];
      COIR_OBSERVE(r, read(e.a, data, sizeof data));
    };
    flow first("reader", read_it), second("reader", read_it), third("reader", read_it);
    settle();
    e.b.close();
  }
}

COIR_ROW("sharing: a reset reaches every reader") {
  both_ends e = make(kind::tcp);
  std::atomic<int> resets{0}, ends{0};
  const auto read_it = [&](log&) {
    char data[8];
    const ssize_t n = read(e.a, data, sizeof data);
    if (n == 0) ++ends;
    if (n < 0 && errno == ECONNRESET) ++resets;
  };
  {
    flow first("reader", read_it), second("reader", read_it), third("reader", read_it);
    settle();
    const linger off = {1, 0};
    COIR_MUST(setsockopt(e.b, SOL_SOCKET, SO_LINGER, &off, sizeof off));
    e.b.close();
  }
  o.say("%d resets, %d ends", resets.load(), ends.load());
}

COIR_ROW("sharing: several writers on one full descriptor all go on when there is room") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    both_ends e = make(k);
    const std::size_t filled = fill(e.b);
    {
      const auto write_it = [&](log& w) { COIR_OBSERVE(w, write(e.b, "1234", 4)); };
      flow first("writer", write_it), second("writer", write_it), third("writer", write_it);
      settle();
      o.say("%d returned", first.done() + second.done() + third.done());
      read_all(e.a, filled);
    }
    o.say("%zu bytes", read_all(e.a, 12).size());
  }
}

COIR_ROW("sharing: several writers of much data and one slow reader") {
  for (const kind k : streams) {
    both_ends e = make(k);
    constexpr std::size_t each = 600'000;
    const auto write_it = [&](log& w) {
      const std::string data = pattern(each);
      COIR_OBSERVE(w, write(e.b, data.data(), data.size()));
    };
    flow first("writer", write_it), second("writer", write_it), third("writer", write_it);
    o.say("%s: %zu bytes", name_of(k), read_all(e.a, 3 * each, 200, 100'000).size());
  }
}

COIR_ROW("sharing: a reader and a poller of one descriptor") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    flow poller("poller", [&](log& p) {
      pollfd f = {e.a, POLLIN, 0};
      COIR_OBSERVE(p, poll(&f, 1, 2000));
      p.say("events %x", f.revents);
    });
    settle();
    {
      flow peeker("peeker", [&](log& r) {
        char data[8];
        if (k != kind::pipe) COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_PEEK));
      });
      settle();
      write_all(e.b, "hello");
    }
    poller.join();
    o.say("%zu bytes", read_all(e.a, 5).size());
  }
}

COIR_ROW("sharing: two descriptors of one socket, a reader on each") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const descriptor twin(COIR_MUST(dup(e.a)));
    const auto read_from = [&](int fd) {
      return [fd](log& r) {
        char data[8];
        COIR_OBSERVE(r, read(fd, data, sizeof data));
      };
    };
    flow first("reader", read_from(e.a)), second("reader", read_from(twin));
    settle();
    write_all(e.b, "hello");
    settle();
    o.say("%d returned", first.done() + second.done());
    write_all(e.b, "world");
  }
}

COIR_ROW("sharing: a reader that takes only a part leaves the rest to the next") {
  for (const kind k : streams) {
    const both_ends e = make(k);
    const auto read_it = [&](log& r) {
      char data[3];
      std::size_t total = 0;
      while (total < 6) {
        const ssize_t n = read(e.a, data, sizeof data);
        if (n <= 0) break;
        total += static_cast<std::size_t>(n);
      }
      r.say("%zu bytes", total);
    };
    flow first("reader", read_it), second("reader", read_it);
    settle();
    write_all(e.b, "123456");
    settle();
    write_all(e.b, "789012");
  }
}

COIR_ROW("sharing: a reader with a timeout gives up, the other gets the data") {
  const both_ends e = make(kind::unix_stream);
  flow patient("patient", [&](log& r) {
    pollfd f = {e.a, POLLIN, 0};
    COIR_OBSERVE(r, poll(&f, 1, 2000));
    char data[8];
    COIR_OBSERVE(r, read(e.a, data, sizeof data));
  });
  flow hasty("hasty", [&](log& r) {
    pollfd f = {e.a, POLLIN, 0};
    COIR_OBSERVE(r, poll(&f, 1, 30));
  });
  hasty.join();
  write_all(e.b, "hello");
}

COIR_ROW("sharing: an accepting flow and a polling one on one listener") {
  const listener l;
  flow poller("poller", [&](log& p) {
    pollfd f = {l.fd, POLLIN, 0};
    COIR_OBSERVE(p, poll(&f, 1, 2000));
    const descriptor to(accept(l.fd, nullptr, nullptr));
    p.check(to >= 0, "accepted");
  });
  settle();
  const descriptor from = tcp_socket();
  COIR_OBSERVE(o, connect(from, l.where(), l.size));
}
