// FIFOs opened by stdio and by the streams of C++.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// How a stream was opened.
void say_flags(log& o, const char* mode, FILE* f) {
  const int flags = fcntl(fileno(f), F_GETFL);
  o.say("%s: flags %x, close on exec %d", mode, flags & (O_ACCMODE | O_NONBLOCK | O_APPEND),
        fcntl(fileno(f), F_GETFD));
}

// Opens a FIFO by `call(path)` in a flow, which is to wait, and gives it five letters or takes them.
template <class Call>
void meets(log& o, const char* mode, Call call) {
  const fifo path;
  flow waiter("waiter", [&](log& w) {
    FILE* f = call(path.c_str());
    if (!w.check(f != nullptr, mode)) return;
    say_flags(w, mode, f);
    char line[16];
    if (*mode == 'r')
      w.say("%s, then %d", fgets(line, sizeof line, f), fgets(line, sizeof line, f) == nullptr);
    else
      w.say("%d", fputs("hello", f) >= 0);
    w.say("%d", fclose(f));
  });
  settle();
  o.say("%s: %s", mode, waiter.state());
  const descriptor other(COIR_MUST(open(path.c_str(), *mode == 'r' ? O_WRONLY : O_RDONLY)));
  if (*mode == 'r')
    write_all(other, "hello");
  else
    o.say("%s", read_all(other).c_str());
}

}  // namespace

COIR_ROW("fopen: on a FIFO it waits for the other side, in every mode") {
  for (const char* mode : {"r", "w", "a", "re", "we", "rb", "wbe", "rm", "rc", "r,ccs=UTF-8"})
    meets(o, mode, [mode](const char* path) { return fopen(path, mode); });
  meets(o, "r64", [](const char* path) { return fopen64(path, "r"); });
  const fifo path;
  const stopwatch since;
  for (const char* mode : {"r+", "w+", "a+"}) {
    FILE* f = fopen(path.c_str(), mode);
    say_flags(o, mode, f);
    fclose(f);
  }
  for (const char* mode : {"wx", "", "q", "+r"}) {
    errno = untouched;
    o.say("\"%s\": %d %s", mode, fopen(path.c_str(), mode) == nullptr, name_of_error(errno));
  }
  o.took_no_time(since);
}

COIR_ROW("freopen: on a FIFO it waits, and keeps the stream's descriptor") {
  const descriptor file = scratch_file("of the file");
  const auto again = [&](const char* mode, auto call) {
    meets(o, mode, [&](const char* path) {
      FILE* f = fdopen(dup(file), "r+");
      const int number = fileno(f);
      FILE* same = call(path, f);
      o.say("%s: %d %d", mode, same == f, same != nullptr && fileno(same) == number);
      return same;
    });
  };
  again("r", [](const char* path, FILE* f) { return freopen(path, "r", f); });
  again("we", [](const char* path, FILE* f) { return freopen(path, "we", f); });
  again("a64", [](const char* path, FILE* f) { return freopen64(path, "a", f); });
}

COIR_ROW("freopen: without a path it opens the stream's own file again") {
  const fifo path;
  flow reader("reader", [&](log& r) {
    FILE* f = fdopen(open(path.c_str(), O_RDONLY | O_NONBLOCK), "r");
    f = freopen(nullptr, "r", f);
    char line[16];
    if (!r.check(f != nullptr, "opened again")) return;
    say_flags(r, "r", f);
    r.say("%s", fgets(line, sizeof line, f));
    fclose(f);
  });
  settle();
  o.say("the reader %s", reader.state());
  const descriptor out(COIR_MUST(open(path.c_str(), O_WRONLY)));
  write_all(out, "hello\n");
}

COIR_ROW("freopen: what cannot be opened closes the stream; others wait for nothing") {
  const scratch_path nothing("nothing"), made("made");
  FILE* f = fdopen(dup(scratch_file("text")), "r");
  const int number = fileno(f);
  errno = untouched;
  o.say("%d %s", freopen(nothing.c_str(), "r", f) == nullptr, name_of_error(errno));
  COIR_OBSERVE(o, fcntl(number, F_GETFD));
  f = fopen(made.c_str(), "w");
  o.say("%d", fputs("some text", f) >= 0);
  f = freopen(made.c_str(), "r", f);
  char line[16];
  o.say("%s", fgets(line, sizeof line, f));
  fclose(f);
}

COIR_ROW("freopen: it wakes who waits for the stream's old descriptor") {
  both_ends p = make(kind::pipe);
  FILE* f = fdopen(p.a.release(), "r");
  const int number = fileno(f);
  flow reader("reader", [number](log& r) {
    char c;
    errno = 0;
    const ssize_t n = read(number, &c, 1);
    if (on_fibers()) r.check(n == -1 && errno == EBADF, "EBADF");
    r.say("%zd", n);
  });
  settle();
  f = freopen("/dev/null", "r", f);
  settle();
  if (on_fibers()) o.check(reader.done(), "the reader is woken");
  if (!reader.done()) write_all(p.b, "x");
  reader.join();
  fclose(f);
}

COIR_ROW("streams: an ofstream and an ifstream meet at a FIFO, whoever comes first") {
  for (const bool reader_first : {true, false}) {
    const fifo path;
    const auto read_it = [&](log& r) {
      std::ifstream in(path.c_str());
      for (std::string line; std::getline(in, line);) r.say("%s", line.c_str());
    };
    const auto write_it = [&](log& w) {
      std::ofstream out(path.c_str());
      w.say("%d", out.is_open());
      out << "a line\nand " << 42 << std::endl;
    };
    flow first("first", [&](log& f) { reader_first ? read_it(f) : write_it(f); });
    settle();
    o.say("the first %s", first.state());
    reader_first ? write_it(o) : read_it(o);
  }
}
