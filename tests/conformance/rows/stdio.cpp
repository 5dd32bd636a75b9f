// Input by stdio on pipes, sockets and from commands.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// The reading end of `e` as a stream; the writing end stays.
FILE* reader(both_ends& e) {
  return fdopen(e.a.release(), "r");
}

}  // namespace

COIR_ROW("stdio: a line that comes in pieces is waited for, the others run") {
  for (const kind k : {kind::pipe, kind::unix_stream, kind::tcp}) {
    both_ends e = make(k);
    FILE* f = reader(e);
    flow writer("writer", [&](log& w) {
      w.check(write_all(e.b, "hel"), "write");
      nap(20);
      w.check(write_all(e.b, "lo\nsecond"), "write");
      nap(20);
      e.b.close();
    });
    char line[32];
    o.say("%s", fgets(line, sizeof line, f));
    o.say("%s", fgets(line, sizeof line, f));
    o.say("%d eof %d error %d", fgets(line, sizeof line, f) == nullptr, feof(f) != 0, ferror(f) != 0);
    writer.join();
    fclose(f);
  }
}

COIR_ROW("stdio: getc, ungetc, getline, getdelim and fread share one buffer") {
  both_ends e = make(kind::pipe);
  FILE* f = reader(e);
  flow writer("writer", [&](log& w) {
    for (const char* part : {"ab", "cdef\nline two\n", "x;y;", "0123", "456789", "tail"}) {
      nap(10);
      w.check(write_all(e.b, part), "write");
    }
    e.b.close();
  });
  o.say("%c", getc(f));
  const int c = fgetc(f);
  o.say("%c, back: %d", c, ungetc(c, f) == c);
  char* line = nullptr;
  size_t room = 0;
  o.say("%zd", getline(&line, &room, f));
  o.say("%s", line);
  o.say("%zd %d", getline(&line, &room, f), room >= 10);
  o.say("%s", line);
  o.say("%zd", getdelim(&line, &room, ';', f));
  o.say("%s", line);
  o.say("%zd", getdelim(&line, &room, ';', f));
  char digits[5] = {};
  o.say("%zu", fread(digits, 2, 2, f));
  o.say("%s", digits);
  char rest[64] = {};
  o.say("%zu", fread(rest, 1, sizeof rest - 1, f));
  o.say("%s eof %d", rest, feof(f) != 0);
  o.say("%d %zd", getc(f), getline(&line, &room, f));
  free(line);
  writer.join();
  fclose(f);
}

COIR_ROW("stdio: sizes at the edges") {
  both_ends e = make(kind::pipe);
  FILE* f = reader(e);
  write_all(e.b, "abcdef\n\n");
  char buffer[8] = "xxxxxxx";
  o.say("%d", fgets(buffer, 1, f) == buffer && buffer[0] == '\0');
  o.say("%d", fgets(buffer, 0, f) == nullptr);
  o.say("%s", fgets(buffer, 4, f));
  o.say("%s", fgets(buffer, 4, f));
  o.say("%zu", strlen(fgets(buffer, 8, f)));
  o.say("%zu", strlen(fgets(buffer, 8, f)));
  o.say("%zu %zu", fread(buffer, 0, 5, f), fread(buffer, 5, 0, f));
  errno = untouched;
  o.say("%zd %d", getline(nullptr, nullptr, f), errno == EINVAL);
  fclose(f);
}

COIR_ROW("stdio: getline takes no buffer that is said to have no room") {
  both_ends e = make(kind::pipe);
  FILE* f = reader(e);
  write_all(e.b, "a line\n");
  char untouched_byte = '!';
  char* line = &untouched_byte;
  size_t room = 0;
  o.say("%zd", getline(&line, &room, f));
  o.check(line != &untouched_byte && untouched_byte == '!', "a buffer of its own");
  o.say("%s", line);
  free(line);
  fclose(f);
}

COIR_ROW("stdio: behind what was put back the others' bytes are waited for") {
  for (const int mode : {_IOFBF, _IONBF}) {
    both_ends e = make(kind::pipe);
    FILE* f = reader(e);
    setvbuf(f, nullptr, mode, mode == _IONBF ? 0 : 4096);
    o.say("%c", ungetc('>', f));
    flow writer("writer", [&](log& w) {
      nap(10);
      w.check(write_all(e.b, "ab"), "write");
    });
    o.say("%c", getc(f));
    o.say("%c", getc(f));
    o.say("%c", getc(f));
    writer.join();
    fclose(f);
  }
}

COIR_ROW("stdio: fread takes what exceeds the buffer straight from the descriptor") {
  const std::string text = pattern(300'000);
  for (const kind k : {kind::pipe, kind::unix_stream, kind::tcp})
    for (const int mode : {_IOFBF, _IONBF}) {
      both_ends e = make(k);
      FILE* f = reader(e);
      setvbuf(f, nullptr, mode, mode == _IONBF ? 0 : 4096);
      flow writer("writer", [&](log& w) {
        w.check(write_all(e.b, text.substr(0, 70'000)), "write");
        nap(20);
        w.check(write_all(e.b, text.substr(70'000)), "write");
        e.b.close();
      });
      const int first = getc(f);
      o.say("%s %d: %c, back: %d", name_of(k), mode, first, ungetc('>', f) == '>');
      std::string all(text.size() + 100, '\0');
      o.say("%zu", fread(all.data(), 1000, 100, f));
      o.say("eof %d, error %d", feof(f), ferror(f));
      o.say("%zu", fread(all.data() + 100'000, 1, all.size() - 100'000, f));
      o.say("eof %d, error %d", feof(f), ferror(f));
      o.say("%zu", fread(all.data() + 300'000, 1, 100, f));
      all.resize(300'000);
      o.check(all == '>' + text.substr(1), "all arrives");
      writer.join();
      fclose(f);
    }
}

COIR_ROW("stdio: fread of much leaves a small rest in the buffer, and says what went wrong") {
  both_ends e = make(kind::pipe);
  set_nonblocking(e.a, true);
  FILE* f = reader(e);
  setvbuf(f, nullptr, _IOFBF, 4096);
  const std::string text = pattern(10'000);
  write_all(e.b, text);
  std::string all(20'000, '\0');
  o.say("%zu, %d left", fread(all.data(), 1, 5000, f), bytes_waiting(fileno(f)));
  errno = untouched;
  o.say("%zu", fread(all.data() + 5000, 1, 15'000, f));
  o.say("%d error %d eof %d", errno == EAGAIN, ferror(f) != 0, feof(f) != 0);
  all.resize(10'000);
  o.check(all == text, "all arrives");
  clearerr(f);
  e.b.close();
  o.say("%zu eof %d", fread(all.data(), 1, 10'000, f), feof(f) != 0);
  o.say("%zu eof %d", fread(all.data(), 1, 10'000, f), feof(f) != 0);
  fclose(f);
  FILE* w = fdopen(make(kind::pipe).b.release(), "w");
  errno = untouched;
  o.say("%zu %d error %d", fread(all.data(), 1, 10'000, w), errno == EBADF, ferror(w) != 0);
  fclose(w);
}

COIR_ROW("stdio: fread of much takes no system call for each byte") {
  both_ends e = make(kind::unix_stream);
  const std::string text = pattern(50'000);
  FILE* f = reader(e);
  setvbuf(f, nullptr, _IONBF, 0);
  write_all(e.b, text);
  std::string all(text.size(), '\0');
  const auto calls = [] {
    unsigned long long read_calls = 0;
    std::ifstream("/proc/thread-self/io").ignore(200, 's').ignore(200, ':') >> read_calls;
    return read_calls;
  };
  const unsigned long long before = calls();
  o.say("%zu", fread(all.data(), 1, all.size(), f));
  o.check(calls() - before < 1000, "few calls");
  o.check(all == text, "all arrives");
  fclose(f);
}

COIR_ROW("stdio: a non-blocking descriptor says so, and the stream shows an error") {
  both_ends e = make(kind::pipe);
  set_nonblocking(e.a, true);
  FILE* f = reader(e);
  errno = untouched;
  const int c = getc(f);
  o.say("%d %d error %d eof %d", c, errno == EAGAIN, ferror(f) != 0, feof(f) != 0);
  clearerr(f);
  write_all(e.b, "z");
  o.say("%c", getc(f));
  fclose(f);
}

COIR_ROW("stdio: regular files and memory") {
  const std::string text = pattern(20000);
  FILE* f = fdopen(dup(scratch_file(text)), "r");
  std::string all(text.size(), '\0');
  rewind(f);
  o.say("%d", fread(all.data(), 1, all.size(), f) == all.size() && all == text);
  o.say("%d", fseek(f, 100, SEEK_SET) == 0 && getc(f) == static_cast<unsigned char>(text[100]));
  fclose(f);
  char memory[] = "in memory\nmore";
  FILE* m = fmemopen(memory, sizeof memory - 1, "r");
  char line[32];
  o.say("%s", fgets(line, sizeof line, m));
  o.say("%s", fgets(line, sizeof line, m));
  fclose(m);
}

COIR_ROW("stdio: two flows read lines of one stream, each line goes to one") {
  both_ends e = make(kind::pipe);
  FILE* f = reader(e);
  std::atomic<int> lines{0}, whole{0};
  const auto read_lines = [&](log&) {
    char line[32];
    while (fgets(line, sizeof line, f) != nullptr) {
      ++lines;
      if (strcmp(line, "a whole line\n") == 0) ++whole;
    }
  };
  flow a("reader", read_lines), b("reader", read_lines);
  for (int i = 0; i < 40; ++i) {
    write_all(e.b, "a whole");
    if (i % 8 == 0) nap(5);
    write_all(e.b, " line\n");
  }
  e.b.close();
  a.join();
  b.join();
  o.say("%d lines, %d whole", lines.load(), whole.load());
  fclose(f);
}

COIR_ROW("stdio: several commands at once by popen, each read to its end") {
  stopwatch watch;
  const auto run = [](log& w) {
    FILE* f = popen("for i in 1 2 3; do sleep 0.05; echo line $i; done", "r");
    char line[32];
    while (fgets(line, sizeof line, f) != nullptr) w.say("%s", line);
    w.say("%d", pclose(f));
  };
  { flow a("command", run), b("command", run), d("command", run); }
  o.took(watch, 150);
}

COIR_ROW("streams: std::ifstream on a FIFO") {
  const scratch_path path("fifo");
  o.say("%d", mkfifo(path.c_str(), 0600));
  const descriptor keep(COIR_MUST(open(path.c_str(), O_RDWR)));
  flow writer("writer", [&](log& w) {
    nap(30);
    w.check(write_all(keep, "first line\nsecond "), "write");
    nap(30);
    w.check(write_all(keep, "line\n"), "write");
  });
  std::ifstream in(path.c_str());
  std::string line;
  std::getline(in, line);
  o.say("%s", line.c_str());
  std::getline(in, line);
  o.say("%s", line.c_str());
}
