// Transfers between two descriptors inside the kernel.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

#include "../row.hpp"
#include "../things.hpp"
#include "counted_signal.hpp"

using namespace conformance;

namespace {

const std::string& content() {
  static const std::string data = pattern(5 << 20);
  return data;
}

}  // namespace

COIR_ROW("sendfile: a large file goes to a slow reader whole; the offset moves, the position does not") {
  for (const kind k : streams) {
    o.say("%s", name_of(k));
    const both_ends e = make(k);
    const descriptor f = scratch_file(content());
    std::string got;
    flow reader("reader", [&](log&) { got = read_all(e.a, content().size() - 1000, 200, 100'000); });
    off_t at = 1000;
    std::size_t total = 0;
    // A pipe takes what fits, by parts.
    while (total < content().size() - 1000) {
      const ssize_t n = sendfile(e.b, f, &at, content().size());
      if (n <= 0) break;
      total += static_cast<std::size_t>(n);
      if (k != kind::pipe) o.say("sendfile %zd", n);
    }
    reader.join();
    o.say("%zu bytes, offset %ld, position %ld", total, static_cast<long>(at),
          static_cast<long>(lseek(f, 0, SEEK_CUR)));
    o.check(got == content().substr(1000), "the content is right");
    COIR_OBSERVE(o, sendfile(e.b, f, &at, 100));
  }
}

COIR_ROW("sendfile: without an offset the position moves") {
  const both_ends e = make(kind::tcp);
  const descriptor f = scratch_file("0123456789");
  COIR_OBSERVE(o, lseek(f, 2, SEEK_SET));
  COIR_OBSERVE(o, sendfile(e.b, f, nullptr, 5));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
  COIR_OBSERVE(o, sendfile64(e.b, f, nullptr, 50));
  COIR_OBSERVE(o, sendfile(e.b, f, nullptr, 50));
  COIR_OBSERVE(o, sendfile(e.b, f, nullptr, 0));
  o.say("%s", read_all(e.a, 8).c_str());
}

COIR_ROW("sendfile: a non-blocking socket takes what fits") {
  const both_ends e = make(kind::tcp);
  const descriptor f = scratch_file(content());
  set_nonblocking(e.b, true);
  off_t at = 0;
  const ssize_t n = sendfile(e.b, f, &at, content().size());
  o.check(n > 0 && n < static_cast<ssize_t>(content().size()) && at == n,
          "a part fits, and the offset tells");
  while (sendfile(e.b, f, &at, content().size()) > 0) {
  }
  usleep(5000);
  while (sendfile(e.b, f, &at, content().size()) > 0) {
  }
  COIR_OBSERVE(o, sendfile(e.b, f, &at, content().size()));
}

COIR_ROW("sendfile: the send timeout gives the partial count") {
  for (const kind k : sockets) {
    const both_ends e = make(k);
    set_buffers(e.b, 65536);
    const descriptor f = scratch_file(content());
    set_timeout(e.b, SO_SNDTIMEO, 50'000);
    off_t at = 0;
    const stopwatch since;
    const ssize_t n = sendfile(e.b, f, &at, content().size());
    o.check(n > 0 && n < static_cast<ssize_t>(content().size()), "a part");
    o.check(at == n, "the offset tells how much");
    o.check(since.milliseconds() >= 50, "not early");
    o.check(read_all(e.a, static_cast<std::size_t>(n)) == content().substr(0, static_cast<std::size_t>(n)),
            "that much arrives");
    o.say("%s", name_of(k));
  }
}

COIR_ROW("sendfile: file to file, wrong files, a closed reader") {
  const descriptor f = scratch_file("0123456789"), g = scratch_file(), append = scratch_file("", O_APPEND);
  const both_ends e = make(kind::unix_stream);
  COIR_OBSERVE(o, sendfile(g, f, nullptr, 4));
  COIR_OBSERVE(o, lseek(g, 0, SEEK_CUR));
  COIR_OBSERVE(o, sendfile(append, f, nullptr, 4));
  COIR_OBSERVE(o, sendfile(e.b, e.a, nullptr, 4));
  COIR_OBSERVE(o, sendfile(closed_number(), f, nullptr, 4));
  COIR_OBSERVE(o, sendfile(e.b, closed_number(), nullptr, 4));
  off_t at = -5;
  COIR_OBSERVE(o, sendfile(e.b, f, &at, 4));
  const scratch_path path("file");
  const descriptor only_out(COIR_MUST(open(path.c_str(), O_WRONLY | O_CREAT, 0600)));
  COIR_OBSERVE(o, sendfile(e.b, only_out, nullptr, 4));
  both_ends gone = make(kind::unix_stream);
  gone.a.close();
  COIR_OBSERVE(o, sendfile(gone.b, f, nullptr, 4));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
}

COIR_ROW("splice: pipe to socket and socket to pipe wait for data") {
  for (const kind k : sockets) {
    o.say("%s", name_of(k));
    const both_ends e = make(k), p = make(kind::pipe), q = make(kind::pipe);
    char data[16] = {};
    {
      flow to_socket("to the socket",
                     [&](log& s) { COIR_OBSERVE(s, splice(p.a, nullptr, e.b, nullptr, 100, 0)); });
      settle();
      o.say("%s", to_socket.state());
      write_all(p.b, "hello");
    }
    COIR_OBSERVE(o, read(e.a, data, sizeof data));
    {
      flow to_pipe("to the pipe",
                   [&](log& s) { COIR_OBSERVE(s, splice(e.a, nullptr, q.b, nullptr, 100, 0)); });
      settle();
      o.say("%s", to_pipe.state());
      write_all(e.b, "world");
    }
    COIR_OBSERVE(o, read(q.a, data, sizeof data));
    o.say("%s", data);
  }
}

COIR_ROW("splice: much data through a pipe to a slow reader") {
  for (const kind k : sockets) {
    const both_ends e = make(k), p = make(kind::pipe);
    std::string got;
    flow reader("reader", [&](log&) { got = read_all(e.a, content().size(), 200, 100'000); });
    flow writer("writer", [&](log& w) { COIR_OBSERVE(w, write(p.b, content().data(), content().size())); });
    std::size_t total = 0;
    while (total < content().size()) {
      const ssize_t n = splice(p.a, nullptr, e.b, nullptr, 1 << 20, SPLICE_F_MOVE | SPLICE_F_MORE);
      if (n <= 0) break;
      total += static_cast<std::size_t>(n);
    }
    reader.join();
    o.say("%s: %zu bytes", name_of(k), total);
    o.check(got == content(), "the content is right");
  }
}

COIR_ROW("splice: file to pipe and pipe to file, with offsets") {
  const descriptor f = scratch_file("0123456789"), g = scratch_file();
  const both_ends p = make(kind::pipe);
  loff_t from = 3, to = 5;
  COIR_OBSERVE(o, splice(f, &from, p.b, nullptr, 4, 0));
  COIR_OBSERVE(o, splice(p.a, nullptr, g, &to, 100, 0));
  o.say("offsets %ld %ld", static_cast<long>(from), static_cast<long>(to));
  COIR_OBSERVE(o, lseek(f, 0, SEEK_CUR));
  COIR_OBSERVE(o, lseek(g, 0, SEEK_END));
  from = 100;
  COIR_OBSERVE(o, splice(f, &from, p.b, nullptr, 4, 0));
}

COIR_ROW("splice: non-blocking ones answer at once, the end of a pipe is 0, wrong pairs EINVAL") {
  both_ends p = make(kind::pipe), q = make(kind::pipe);
  const both_ends e = make(kind::unix_stream);
  const descriptor f = scratch_file("content");
  const stopwatch since;
  COIR_OBSERVE(o, splice(p.a, nullptr, q.b, nullptr, 10, SPLICE_F_NONBLOCK));
  COIR_OBSERVE(o, tee(p.a, q.b, 10, SPLICE_F_NONBLOCK));
  COIR_OBSERVE(o, splice(e.a, nullptr, f, nullptr, 10, 0));
  COIR_OBSERVE(o, splice(f, nullptr, e.b, nullptr, 10, 0));
  loff_t at = 0;
  COIR_OBSERVE(o, splice(p.a, &at, q.b, nullptr, 10, 0));
  set_nonblocking(p.a, true);
  COIR_OBSERVE(o, splice(p.a, nullptr, q.b, nullptr, 10, 0));
  set_nonblocking(p.a, false);
  p.b.close();
  COIR_OBSERVE(o, splice(p.a, nullptr, q.b, nullptr, 10, 0));
  COIR_OBSERVE(o, tee(p.a, q.b, 10, 0));
  o.took_no_time(since);
}

COIR_ROW("splice: waits for room in a full pipe and in a full socket") {
  const both_ends p = make(kind::pipe), q = make(kind::pipe);
  write_all(p.b, "hello");
  const std::size_t filled = fill(q.b);
  {
    flow mover("mover", [&](log& s) { COIR_OBSERVE(s, splice(p.a, nullptr, q.b, nullptr, 5, 0)); });
    settle();
    o.say("the mover %s", mover.state());
    read_all(q.a, filled);
  }
  o.say("%s", read_all(q.a, 5).c_str());
  for (const kind k : sockets) {
    const both_ends e = make(k);
    write_all(p.b, "world");
    const std::size_t in_socket = fill(e.b);
    flow mover(name_of(k), [&](log& s) { COIR_OBSERVE(s, splice(p.a, nullptr, e.b, nullptr, 5, 0)); });
    settle();
    if (k != kind::tcp) o.say("the mover %s", mover.state());
    read_all(e.a, in_socket);
    mover.join();
    o.say("%s", read_all(e.a, 5).c_str());
  }
}

COIR_ROW("sendfile: to a full pipe waits for room whatever it reads from") {
  const both_ends from = make(kind::pipe), q = make(kind::pipe);
  const descriptor number(eventfd(2, 0)), set(epoll_create1(0));
  for (const int in : {+from.a, +from.b, +number, +set}) {
    const std::size_t filled = fill(q.b);
    flow sender("sender", [&](log& s) { COIR_OBSERVE(s, sendfile(q.b, in, nullptr, 5)); });
    settle();
    o.say("the sender %s", sender.state());
    read_all(q.a, filled);
    sender.join();
  }
}

COIR_ROW("sendfile: from a socket to a pipe waits for both") {
  for (const kind k : sockets) {
    const both_ends e = make(k), q = make(kind::pipe);
    {
      flow sender(name_of(k), [&](log& s) { COIR_OBSERVE(s, sendfile(q.b, e.a, nullptr, 5)); });
      settle();
      o.say("the sender %s", sender.state());
      write_all(e.b, "hello");
    }
    o.say("%s", read_all(q.a, 5).c_str());
    const std::size_t filled = fill(q.b);
    {
      flow sender(name_of(k), [&](log& s) { COIR_OBSERVE(s, sendfile(q.b, e.a, nullptr, 5)); });
      write_all(e.b, "world");
      settle();
      o.say("the sender %s", sender.state());
      read_all(q.a, filled);
    }
    o.say("%s", read_all(q.a, 5).c_str());
  }
}

COIR_ROW("splice, tee, sendfile: what cannot be is said before anything is waited for") {
  const both_ends empty = make(kind::pipe), full = make(kind::pipe), e = make(kind::unix_stream);
  fill(full.b);
  const descriptor listener = tcp_socket(), number(eventfd(0, 0)), f = scratch_file("text");
  COIR_MUST(listen(listener, 1));
  struct end {
    const char* name;
    int fd;
    bool readable, writable;
  };
  const end ends[] = {{"an empty pipe's reader", empty.a, true, false},
                      {"a full pipe's writer", full.b, false, true},
                      {"a full pipe's reader", full.a, true, false},
                      {"an empty pipe's writer", empty.b, false, true},
                      {"a socket", e.a, true, true},
                      {"a listener", listener, false, true},
                      {"a number", number, false, false},
                      {"a file", f, true, true}};
  for (const end& in : ends)
    for (const end& out : ends) {
      // What would wait, or move something.
      const bool can_be = (in.readable && out.writable) || out.fd == full.b;
      if (can_be) continue;
      o.say("from %s to %s", in.name, out.name);
      COIR_OBSERVE(o, splice(in.fd, nullptr, out.fd, nullptr, 5, 0));
      COIR_OBSERVE(o, tee(in.fd, out.fd, 5, 0));
      COIR_OBSERVE(o, sendfile(out.fd, in.fd, nullptr, 5));
    }
  signal(SIGPIPE, SIG_IGN);
  COIR_OBSERVE(o, splice(full.a, nullptr, listener, nullptr, 5, 0));
  COIR_OBSERVE(o, sendfile(listener, f, nullptr, 4));
  COIR_MUST(fcntl(empty.a, F_SETFL, O_NONBLOCK));
  COIR_OBSERVE(o, splice(empty.a, nullptr, listener, nullptr, 5, 0));
  COIR_OBSERVE(o, splice(empty.a, nullptr, full.b, nullptr, 5, 0));
  COIR_OBSERVE(o, tee(empty.a, full.b, 5, 0));
}

COIR_ROW("tee: copies without taking, and waits for something to copy") {
  const both_ends p = make(kind::pipe), q = make(kind::pipe);
  {
    flow copier("copier", [&](log& s) { COIR_OBSERVE(s, tee(p.a, q.b, 100, 0)); });
    settle();
    o.say("the copier %s", copier.state());
    write_all(p.b, "hello");
  }
  o.say("%s %s", read_all(p.a, 5).c_str(), read_all(q.a, 5).c_str());
}

COIR_ROW("vmsplice: memory into a pipe and back, waiting for room") {
  const both_ends p = make(kind::pipe);
  static char page[8192];
  for (char& c : page) c = 'v';
  iovec v = {page, sizeof page};
  COIR_OBSERVE(o, vmsplice(p.b, &v, 1, 0));
  o.check(read_all(p.a, sizeof page) == std::string(page, sizeof page), "it arrives");
  const std::size_t filled = fill(p.b);
  COIR_OBSERVE(o, vmsplice(p.b, &v, 1, SPLICE_F_NONBLOCK));
  {
    flow writer("writer", [&](log& s) { COIR_OBSERVE(s, vmsplice(p.b, &v, 1, 0)); });
    settle();
    o.say("the writer %s", writer.state());
    read_all(p.a, filled);
  }
  read_all(p.a, sizeof page);
  flow reader("reader", [&](log& s) {
    char data[16] = {};
    iovec into = {data, 5};
    COIR_OBSERVE(s, vmsplice(p.a, &into, 1, 0));
    s.say("%s", data);
  });
  settle();
  o.say("the reader %s", reader.state());
  write_all(p.b, "hello");
}

COIR_ROW("copy_file_range: within and between files") {
  const descriptor f = scratch_file("0123456789"), g = scratch_file();
  loff_t from = 2, to = 0;
  COIR_OBSERVE(o, copy_file_range(f, &from, g, &to, 5, 0));
  o.say("offsets %ld %ld", static_cast<long>(from), static_cast<long>(to));
  COIR_OBSERVE(o, copy_file_range(f, nullptr, g, nullptr, 100, 0));
  COIR_OBSERVE(o, copy_file_range(f, nullptr, g, nullptr, 100, 0));
  COIR_OBSERVE(o, copy_file_range(f, nullptr, g, nullptr, 100, 1));
  COIR_OBSERVE(o, copy_file_range(f, nullptr, closed_number(), nullptr, 100, 0));
  COIR_OBSERVE(o, lseek(g, 0, SEEK_END));
}

COIR_ROW("splice: a pipe that nobody reads raises SIGPIPE in the thread that writes") {
  const descriptor f = scratch_file("0123456789");
  both_ends e = make(kind::pipe);
  e.a.close();
  const counted_signal counted(SIGPIPE);
  off64_t at = 0;
  COIR_OBSERVE(o, splice(f, &at, e.b, nullptr, 10, 0));
  o.say("%d signals", signals_here.load());
}

COIR_ROW_WITH(own_process,
              "sendfile, copy_file_range: beyond RLIMIT_FSIZE they raise SIGXFSZ in the thread that writes") {
  const descriptor from = scratch_file("0123456789"), to = scratch_file();
  const counted_signal counted(SIGXFSZ);
  rlimit before;
  COIR_MUST(getrlimit(RLIMIT_FSIZE, &before));
  const rlimit small = {4096, before.rlim_max};
  COIR_MUST(setrlimit(RLIMIT_FSIZE, &small));
  off_t at = 0;
  COIR_OBSERVE(o, lseek(to, 4096, SEEK_SET));
  COIR_OBSERVE(o, sendfile(to, from, &at, 10));
  o.say("%d signals", signals_here.load());
  off64_t begin = 0, end = 4096;
  COIR_OBSERVE(o, copy_file_range(from, &begin, to, &end, 10, 0));
  o.say("%d signals", signals_here.load());
  COIR_OBSERVE(o, pwrite(to, "x", 1, 4096));
  o.say("%d signals", signals_here.load());
  COIR_MUST(setrlimit(RLIMIT_FSIZE, &before));
}

COIR_ROW("splice, tee: the pipe that does not wait speaks for both ends, and for an AF_UNIX socket") {
  for (const bool reader_waits : {false, true}) {
    const both_ends from = make(kind::pipe), to = make(kind::pipe);
    set_nonblocking(reader_waits ? to.b : from.a, true);
    COIR_OBSERVE(o, splice(from.a, nullptr, to.b, nullptr, 8, 0));
    COIR_OBSERVE(o, tee(from.a, to.b, 8, 0));
    fill(to.b);
    write_all(from.b, "hello");
    COIR_OBSERVE(o, splice(from.a, nullptr, to.b, nullptr, 8, 0));
    COIR_OBSERVE(o, tee(from.a, to.b, 8, 0));
  }
  const both_ends from = make(kind::unix_stream), to = make(kind::pipe);
  set_nonblocking(to.b, true);
  COIR_OBSERVE(o, splice(from.a, nullptr, to.b, nullptr, 8, 0));
}

COIR_ROW("sendfile: of nothing to a full pipe it waits for room, and says before that what cannot be") {
  const descriptor f = scratch_file("0123456789");
  const both_ends e = make(kind::pipe);
  COIR_OBSERVE(o, sendfile(e.a, f, nullptr, 0));
  COIR_OBSERVE(o, sendfile(e.b, f, nullptr, 0));
  const both_ends other = make(kind::pipe), socket = make(kind::unix_packets);
  for (const int end : {+other.a, +other.b}) {
    set_nonblocking(end, true);
    COIR_OBSERVE(o, sendfile(end, socket.a, nullptr, 0));
    COIR_OBSERVE(o, sendfile(end, f, nullptr, 0));
  }
  fill(other.b);
  COIR_OBSERVE(o, sendfile(other.b, f, nullptr, 0));
  fill(e.b);
  flow writer("writer", [&](log& w) { COIR_OBSERVE(w, sendfile(e.b, f, nullptr, 0)); });
  settle();
  o.say("the writer %s", writer.state());
  char data[65536];
  COIR_OBSERVE(o, read(e.a, data, sizeof data));
}

COIR_ROW("splice, sendfile: to a pipe that nobody reads fails before anything is waited for") {
  const counted_signal counted(SIGPIPE);
  for (const kind k : {kind::tcp, kind::unix_stream, kind::unix_packets}) {
    const both_ends from = make(k);
    both_ends to = make(kind::pipe);
    to.a.close();
    o.say("%s", name_of(k));
    COIR_OBSERVE(o, splice(from.a, nullptr, to.b, nullptr, 8, 0));
    COIR_OBSERVE(o, sendfile(to.b, from.a, nullptr, 8));
  }
  o.say("%d signals", signals_here.load());
}

COIR_ROW("sendfile, splice: to a pipe that does not wait they wait for the socket all the same") {
  for (const kind k : {kind::tcp, kind::udp, kind::unix_stream})
    for (const bool by_splice : {false, true}) {
      const both_ends from = make(k), to = make(kind::pipe);
      set_nonblocking(to.b, true);
      flow writer(std::string(name_of(k)), [&](log& w) {
        if (by_splice) COIR_OBSERVE(w, splice(from.a, nullptr, to.b, nullptr, 8, 0));
        if (!by_splice) COIR_OBSERVE(w, sendfile(to.b, from.a, nullptr, 8));
      });
      settle();
      o.say("the writer %s", writer.state());
      write_all(from.b, "hello");
    }
}
