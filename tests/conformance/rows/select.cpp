// select and pselect.
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

struct set {
  fd_set bits;
  set() { FD_ZERO(&bits); }
  set(std::initializer_list<int> fds) : set() {
    for (const int fd : fds) FD_SET(fd, &bits);
  }
  bool has(int fd) const { return FD_ISSET(fd, &bits); }
  int count(int below) const {
    int n = 0;
    for (int fd = 0; fd < below; ++fd) n += has(fd);
    return n;
  }
};

void say_left(log& o, const timeval& t, long before_us) {
  const long left = static_cast<long>(t.tv_sec) * 1'000'000 + static_cast<long>(t.tv_usec);
  o.say("left: %s", left == 0 ? "nothing" : left < before_us ? "less" : left == before_us ? "all" : "more");
}

// Of all threads of the process.
double processor_ms() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

}  // namespace

COIR_ROW("select: null sets sleep, to the microsecond") {
  timeval t = {0, 50'000};
  stopwatch since;
  COIR_OBSERVE(o, select(0, nullptr, nullptr, nullptr, &t));
  o.took(since, 50);
  say_left(o, t, 50'000);
  t = {0, 2'300};
  since.restart();
  COIR_OBSERVE(o, select(0, nullptr, nullptr, nullptr, &t));
  o.took(since, 2.3);
  const timespec n = {0, 3'100'000};
  since.restart();
  COIR_OBSERVE(o, pselect(0, nullptr, nullptr, nullptr, &n, nullptr));
  o.took(since, 3.1);
  set empty, empty_too;
  t = {0, 30'000};
  since.restart();
  COIR_OBSERVE(o, select(100, &empty.bits, &empty_too.bits, nullptr, &t));
  o.took(since, 30);
}

COIR_ROW("select: the remaining time is written back") {
  const both_ends e = make(kind::unix_stream);
  flow writer("writer", [&](log&) {
    usleep(40'000);
    write_all(e.b, "x");
  });
  set in{e.a};
  timeval t = {1, 0};
  const stopwatch since;
  COIR_OBSERVE(o, select(e.a + 1, &in.bits, nullptr, nullptr, &t));
  o.left(since, 1000, static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3);
  say_left(o, t, 1'000'000);
  t = {50, 0};
  COIR_OBSERVE(o, select(e.a + 1, &in.bits, nullptr, nullptr, &t));
  o.check(t.tv_sec >= 40 && t.tv_sec < 50, "a call that does not wait leaves nearly all");
}

COIR_ROW("select: pselect leaves its timeout alone") {
  const both_ends e = make(kind::unix_stream);
  set in{e.a};
  timespec t = {0, 20'000'000};
  const stopwatch since;
  COIR_OBSERVE(o, pselect(e.a + 1, &in.bits, nullptr, nullptr, &t, nullptr));
  o.took(since, 20);
  o.say("%ld s %ld ns", static_cast<long>(t.tv_sec), t.tv_nsec);
}

COIR_ROW("select: the sets tell which are ready; at the timeout they are empty") {
  for (const kind k : streams) {
    const both_ends e = make(k), other = make(k);
    set in{e.a, other.a}, out{e.b}, except{e.a};
    const int n = std::max<int>({e.a, e.b, other.a}) + 1;
    timeval t = {0, 30'000};
    COIR_OBSERVE(o, select(n, &in.bits, &out.bits, &except.bits, &t));
    o.say("%s: in %d, out %d, except %d", name_of(k), in.count(n), out.count(n), except.count(n));
    in = set{e.a, other.a}, t = {0, 30'000};
    const stopwatch since;
    COIR_OBSERVE(o, select(n, &in.bits, nullptr, nullptr, &t));
    o.took(since, 30);
    o.say("%s: in %d", name_of(k), in.count(n));
    flow waiter(name_of(k), [&](log& w) {
      set mine{e.a, other.a};
      COIR_OBSERVE(w, select(n, &mine.bits, nullptr, nullptr, nullptr));
      w.say("the first %d, the second %d", mine.has(e.a), mine.has(other.a));
    });
    settle();
    o.say("the waiter %s", waiter.state());
    write_all(other.b, "x");
  }
}

COIR_ROW("select: a descriptor ready for reading and writing counts twice") {
  const both_ends e = make(kind::unix_stream);
  write_all(e.b, "x");
  set in{e.a}, out{e.a};
  COIR_OBSERVE(o, select(e.a + 1, &in.bits, &out.bits, nullptr, nullptr));
}

COIR_ROW("select: urgent data makes an exceptional condition") {
  const both_ends e = make(kind::tcp);
  flow waiter("waiter", [&](log& w) {
    set except{e.a}, in{e.a};
    COIR_OBSERVE(w, select(e.a + 1, nullptr, nullptr, &except.bits, nullptr));
    w.say("except %d", except.has(e.a));
    timeval none = {0, 0};
    COIR_OBSERVE(w, select(e.a + 1, &in.bits, nullptr, &except.bits, &none));
    w.say("in %d, except %d", in.has(e.a), except.has(e.a));
  });
  settle();
  o.say("the waiter %s", waiter.state());
  COIR_OBSERVE(o, send(e.b, "!", 1, MSG_OOB));
}

COIR_ROW("select: the end of a stream, an error and a hang-up are readable") {
  for (const kind k : streams) {
    both_ends e = make(k);
    flow waiter(name_of(k), [&](log& w) {
      set in{e.a};
      COIR_OBSERVE(w, select(e.a + 1, &in.bits, nullptr, nullptr, nullptr));
    });
    settle();
    e.b.close();
  }
  both_ends e = make(kind::pipe);
  fill(e.b);
  flow waiter("writer", [&](log& w) {
    set out{e.b};
    COIR_OBSERVE(w, select(e.b + 1, nullptr, &out.bits, nullptr, nullptr));
  });
  settle();
  e.a.close();
}

// For writing a hang-up does not count, and for exceptional conditions an error neither.
COIR_ROW_WITH(own_process, "select: what does not count keeps nobody busy") {
  both_ends hung = make(kind::pipe), broken = make(kind::pipe), over = make(kind::unix_stream);
  both_ends was_reset = make(kind::tcp);
  hung.b.close();
  broken.a.close();
  over.b.close();
  reset(was_reset.b);
  settle();
  struct {
    const char* what;
    int fd;
    bool writes;
  } const asked[] = {{"a hung-up pipe to write", hung.a, true},
                     {"a hung-up pipe", hung.a, false},
                     {"a broken pipe", broken.b, false},
                     {"a socket without a peer", over.a, false},
                     {"a socket that was reset", was_reset.a, false}};
  for (const auto& a : asked) {
    set s{a.fd};
    timeval t = {0, 60'000};
    const stopwatch since;
    const double before = processor_ms();
    o.say("%s", a.what);
    COIR_OBSERVE(o,
                 select(a.fd + 1, nullptr, a.writes ? &s.bits : nullptr, a.writes ? nullptr : &s.bits, &t));
    const double used = processor_ms() - before;
    o.took(since, 60);
    o.check(used < 20, "the processor was left alone");
  }
}

COIR_ROW("select: what counts is seen beside what does not") {
  both_ends hung = make(kind::pipe);
  const both_ends e = make(kind::unix_stream);
  hung.b.close();
  flow writer("writer", [&](log&) {
    usleep(40'000);
    write_all(e.b, "x");
  });
  set r{e.a}, w{hung.a};
  const stopwatch since;
  COIR_OBSERVE(o, select(std::max<int>(e.a, hung.a) + 1, &r.bits, &w.bits, nullptr, nullptr));
  o.took(since, 40);
  o.say("%d %d", r.has(e.a), w.has(hung.a));
}

COIR_ROW("select: a zero timeout does not wait, and lets others run") {
  const both_ends e = make(kind::unix_stream);
  flow writer("writer", [&](log&) {
    usleep(10'000);
    write_all(e.b, "x");
  });
  int n = 0, rounds = 0;
  do {
    set in{e.a};
    timeval none = {0, 0};
    n = select(e.a + 1, &in.bits, nullptr, nullptr, &none);
  } while (n == 0 && ++rounds < 100'000'000);
  o.say("select %d", n);
}

COIR_ROW("select: wrong arguments") {
  const both_ends e = make(kind::pipe);
  set in{e.a};
  timeval t = {0, 0};
  COIR_OBSERVE(o, select(-1, &in.bits, nullptr, nullptr, &t));
  t = {-1, 0};
  COIR_OBSERVE(o, select(e.a + 1, &in.bits, nullptr, nullptr, &t));
  t = {0, -1};
  COIR_OBSERVE(o, select(e.a + 1, &in.bits, nullptr, nullptr, &t));
  const timespec n = {0, 1'000'000'000};
  COIR_OBSERVE(o, pselect(e.a + 1, &in.bits, nullptr, nullptr, &n, nullptr));
  const int bad = closed_number();
  set closed{bad, e.a};
  const stopwatch since;
  COIR_OBSERVE(o, select(bad + 1, &closed.bits, nullptr, nullptr, nullptr));
  o.took_no_time(since);
  o.say("the sets stay: %d", closed.count(bad + 1));
  t = {0, 1'500'000};  // more than a second's worth of microseconds is normalised
  in = set{e.a};
  write_all(e.b, "x");
  COIR_OBSERVE(o, select(e.a + 1, &in.bits, nullptr, nullptr, &t));
  o.say("left %ld s", static_cast<long>(t.tv_sec));
}

COIR_ROW_WITH(own_process, "select: a descriptor beyond FD_SETSIZE in a larger set") {
  const both_ends e = make(kind::unix_stream);
  const int high = 5003;
  COIR_MUST(dup2(e.a, high));
  const descriptor owner(high);
  constexpr std::size_t words = 5120 / (8 * sizeof(long));
  flow waiter("waiter", [&](log& w) {
    std::vector<unsigned long> bits(words, 0);
    bits[high / 64] |= 1UL << (high % 64);
    COIR_OBSERVE(w, select(high + 1, reinterpret_cast<fd_set*>(bits.data()), nullptr, nullptr, nullptr));
    w.say("it is set: %d", static_cast<int>(bits[high / 64] >> (high % 64) & 1));
  });
  settle();
  o.say("the waiter %s", waiter.state());
  write_all(e.b, "x");
}

COIR_ROW_WITH(own_process, "select: a count far beyond the set reads no more than there can be descriptors") {
  const both_ends e = make(kind::unix_stream);
  flow waiter("waiter", [&](log& w) {
    // Behind the set lies what is no set; a kernel with fewer descriptors than that does not look at it.
    struct {
      fd_set in;
      unsigned char behind[3000];
    } memory;
    memset(&memory, 0xff, sizeof memory);
    FD_ZERO(&memory.in);
    FD_SET(e.a, &memory.in);
    COIR_OBSERVE(w, select(20'000, &memory.in, nullptr, nullptr, nullptr));
    w.say("it is set: %d", FD_ISSET(e.a, &memory.in));
    COIR_OBSERVE(w, select(INT_MAX, &memory.in, nullptr, nullptr, nullptr));
  });
  settle();
  o.say("the waiter %s", waiter.state());
  write_all(e.b, "x");
}

COIR_ROW("select: regular files are always ready") {
  const descriptor file = scratch_file("content");
  set in{file}, out{file}, except{file};
  const stopwatch since;
  COIR_OBSERVE(o, select(file + 1, &in.bits, &out.bits, &except.bits, nullptr));
  o.say("in %d, out %d, except %d", in.has(file), out.has(file), except.has(file));
  o.took_no_time(since);
}
