// The end of a stream reaches a reader that waits, also one that inferred from a short read that nothing is
// left.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// Reads until the end or an error, noting each call.
void read_to_end(log& r, int fd, std::size_t piece = 64) {
  std::string data(piece, '\0');
  for (int calls = 0; calls < 12; ++calls)
    if (COIR_OBSERVE(r, read(fd, data.data(), data.size())) <= 0) break;
}

}  // namespace

COIR_ROW("end of stream: a waiting reader sees it") {
  for (const kind k : streams) {
    both_ends e = make(k);
    flow reader(name_of(k), [&](log& r) { read_to_end(r, e.a); });
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
    e.b.close();
  }
}

COIR_ROW("end of stream: data, then a short read, then the end while the reader waits") {
  for (const kind k : streams) {
    both_ends e = make(k);
    flow reader(name_of(k), [&](log& r) { read_to_end(r, e.a); });
    settle();
    write_all(e.b, "data");
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
    e.b.close();
  }
}

COIR_ROW("end of stream: data and the end together, to a reader that waits") {
  for (const kind k : streams) {
    both_ends e = make(k);
    flow reader(name_of(k), [&](log& r) { read_to_end(r, e.a); });
    settle();
    write_all(e.b, "data");
    e.b.close();
  }
}

COIR_ROW("end of stream: data and the end together, before the reader's first call") {
  for (const kind k : streams) {
    both_ends e = make(k);
    write_all(e.b, "data");
    e.b.close();
    flow reader(name_of(k), [&](log& r) { read_to_end(r, e.a); });
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
  }
}

COIR_ROW("end of stream: data and the end together, between two calls of a reader that had waited before") {
  for (const kind k : streams) {
    both_ends e = make(k);
    char data[64];
    {
      flow first(name_of(k), [&](log& r) { COIR_OBSERVE(r, read(e.a, data, sizeof data)); });
      settle();
      write_all(e.b, "one");
    }
    write_all(e.b, "two");
    e.b.close();
    flow reader(name_of(k), [&](log& r) { read_to_end(r, e.a); });
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
  }
}

COIR_ROW("end of stream: the last data is read in a full piece, then the end") {
  for (const kind k : streams) {
    both_ends e = make(k);
    flow reader(name_of(k), [&](log& r) { read_to_end(r, e.a, 4); });
    settle();
    write_all(e.b, "12345678");
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
    write_all(e.b, "90");
    e.b.close();
  }
}

COIR_ROW("half-close: the reader sees the end and can still answer") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[64];
    flow server(name_of(k), [&](log& r) {
      read_to_end(r, e.a);
      COIR_OBSERVE(r, send(e.a, "answer", 6, 0));
      read_to_end(r, e.a);
    });
    settle();
    write_all(e.b, "question");
    COIR_OBSERVE(o, shutdown(e.b, SHUT_WR));
    COIR_OBSERVE(o, recv(e.b, data, sizeof data, 0));
    COIR_OBSERVE(o, send(e.b, "x", 1, 0));
  }
}

COIR_ROW("half-close: data arrives, the reader drains it, the peer's end comes much later") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    flow server(name_of(k), [&](log& r) { read_to_end(r, e.a); });
    for (int i = 0; i < 3; ++i) {
      settle();
      write_all(e.b, "piece");
    }
    settle();
    o.say("%s: the reader %s", name_of(k), server.state());
    COIR_OBSERVE(o, shutdown(e.b, SHUT_WR));
  }
}

COIR_ROW("half-close: shutdown of one's own reading side wakes one's own reader") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    char data[8];
    flow reader(name_of(k), [&](log& r) { COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0)); });
    settle();
    o.say("%s: the reader %s", name_of(k), reader.state());
    COIR_OBSERVE(o, shutdown(e.a, SHUT_RD));
  }
}

COIR_ROW("reset: a waiting reader gets ECONNRESET, once") {
  both_ends e = make(kind::tcp);
  char data[64];
  flow reader("reader", [&](log& r) {
    for (int i = 0; i < 3; ++i) COIR_OBSERVE(r, recv(e.a, data, sizeof data, 0));
  });
  settle();
  o.say("the reader %s", reader.state());
  reset(e.b);
}

COIR_ROW("reset: after data was read short") {
  both_ends e = make(kind::tcp);
  flow reader("reader", [&](log& r) { read_to_end(r, e.a); });
  settle();
  write_all(e.b, "data");
  settle();
  reset(e.b);
}

COIR_ROW("reset: before the first read") {
  both_ends e = make(kind::tcp);
  write_all(e.b, "lost");
  reset(e.b);
  flow reader("reader", [&](log& r) {
    read_to_end(r, e.a);
    read_to_end(r, e.a);
  });
}

COIR_ROW("reset: a unix peer that closes with unread data resets") {
  both_ends e = make(kind::unix_stream);
  write_all(e.a, "unread");
  flow reader("reader", [&](log& r) {
    read_to_end(r, e.a);
    read_to_end(r, e.a);
  });
  settle();
  e.b.close();
}

COIR_ROW("reset: a large send that waits gets the partial count, then ECONNRESET or EPIPE") {
  both_ends e = make(kind::tcp);
  set_buffers(e.b, 16384);
  const std::string large = pattern(8 << 20);
  flow writer("writer", [&](log& w) {
    const ssize_t n = send(e.b, large.data(), large.size(), MSG_NOSIGNAL);
    w.say("partial: %s", n > 0 && n < static_cast<ssize_t>(large.size()) ? "yes" : "no");
    COIR_OBSERVE(w, send(e.b, "x", 1, MSG_NOSIGNAL));
    COIR_OBSERVE(w, send(e.b, "x", 1, MSG_NOSIGNAL));
    char data[8];
    COIR_OBSERVE(w, recv(e.b, data, sizeof data, 0));
  });
  settle();
  o.say("the writer %s", writer.state());
  reset(e.a);
}

COIR_ROW("reset: MSG_WAITALL gets the partial data first") {
  both_ends e = make(kind::tcp);
  char data[64];
  flow reader("reader", [&](log& r) {
    COIR_OBSERVE(r, recv(e.a, data, 20, MSG_WAITALL));
    COIR_OBSERVE(r, recv(e.a, data, 20, MSG_WAITALL));
    COIR_OBSERVE(r, recv(e.a, data, 20, MSG_WAITALL));
  });
  settle();
  write_all(e.b, "partial");
  settle();
  reset(e.b);
}

COIR_ROW("end of stream: the end is seen again and again") {
  for (const kind k : streams) {
    both_ends e = make(k);
    char data[8];
    flow reader(name_of(k), [&](log& r) {
      for (int i = 0; i < 3; ++i) COIR_OBSERVE(r, read(e.a, data, sizeof data));
      if (k == kind::pipe) return;
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_PEEK));
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_WAITALL));
      COIR_OBSERVE(r, recv(e.a, data, sizeof data, MSG_DONTWAIT));
    });
    settle();
    e.b.close();
  }
}

COIR_ROW("end of stream: a pipe ends with its last writer only") {
  both_ends e = make(kind::pipe);
  descriptor second(COIR_MUST(dup(e.b)));
  flow reader("reader", [&](log& r) { read_to_end(r, e.a); });
  settle();
  e.b.close();
  settle();
  o.say("the reader %s", reader.state());
  write_all(second, "still there");
  settle();
  o.say("the reader %s", reader.state());
  second.close();
}
