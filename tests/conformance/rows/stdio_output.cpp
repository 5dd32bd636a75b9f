// Output by stdio on pipes, sockets, terminals and files.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "../row.hpp"
#include "../things.hpp"
#include "stdio_output.hpp"

using namespace conformance;

namespace {

std::string shown(std::string s) {
  for (char& c : s)
    if (c == '\n') c = '/';
  return s;
}

int print(FILE* f, const char* format, ...) __attribute__((format(printf, 2, 3)));
int print(FILE* f, const char* format, ...) {
  va_list rest;
  va_start(rest, format);
  const int r = vfprintf(f, format, rest);
  va_end(rest);
  return r;
}

}  // namespace

COIR_ROW("stdio output: whoever writes much waits for the reader, and all of it arrives") {
  const std::string text = pattern(300'000);
  const std::pair<const char*, std::function<bool(FILE*)>> ways[] = {
      {"fwrite", [&](FILE* f) { return fwrite(text.data(), 1, text.size(), f) == text.size(); }},
      {"fwrite, 100 each",
       [&](FILE* f) { return fwrite(text.data(), 100, text.size() / 100, f) == text.size() / 100; }},
      {"fputs", [&](FILE* f) { return fputs(text.c_str(), f) >= 0; }},
      {"fprintf", [&](FILE* f) { return fprintf(f, "%s", text.c_str()) == 300'000; }},
      {"vfprintf",
       [&](FILE* f) { return print(f, "%.150000s%s", text.c_str(), text.c_str() + 150'000) == 300'000; }},
      {"putc",
       [&](FILE* f) {
         bool good = true;
         for (const char c : text) good = putc(c, f) == static_cast<unsigned char>(c) && good;
         return good;
       }},
      {"putc_unlocked",
       [&](FILE* f) {
         bool good = true;
         for (const char c : text) good = putc_unlocked(c, f) == static_cast<unsigned char>(c) && good;
         return good;
       }},
  };
  for (const kind k : streams)
    for (const auto& [what, write_it] : ways) {
      both_ends e = make(k);
      set_buffers_if_socket(e.b, 16384);
      FILE* f = writer(e);
      std::string all;
      flow reader("reader", slow_reader(e, all));
      o.check(write_it(f), what);
      o.say("%s %s: error %d", name_of(k), what, ferror(f));
      COIR_OBSERVE(o, fclose(f));
      reader.join();
      o.check(all == text, "all arrives");
    }
}

COIR_ROW("stdio output: dprintf waits for the reader") {
  const std::string text = pattern(200'000);
  both_ends e = make(kind::pipe);
  std::string all;
  flow reader("reader", slow_reader(e, all));
  o.say("%d", dprintf(e.b, "<%s>", text.c_str()));
  e.b.close();
  reader.join();
  o.check(all == '<' + text + '>', "all arrives");
  COIR_OBSERVE(o, dprintf(closed_number(), "text"));
  o.say("%d", dprintf(e.a, "%s", ""));
}

COIR_ROW("stdio output: fflush and fclose wait for the reader") {
  for (const bool closes : {false, true}) {
    both_ends e = make(kind::pipe);
    const std::size_t filled = fill(e.b);
    FILE* f = writer(e);
    o.say("%d", fputs("the end", f));
    std::string all;
    flow reader("reader", slow_reader(e, all));
    if (closes) {
      COIR_OBSERVE(o, fclose(f));
    } else {
      COIR_OBSERVE(o, fflush(f));
      fclose(f);
    }
    reader.join();
    o.say("%zu more: %s", all.size() - filled, all.c_str() + filled);
  }
}

COIR_ROW("stdio output: what the reader sees after each call, by kind of buffering") {
  for (const int mode : {_IOFBF, _IOLBF, _IONBF})
    for (const std::size_t size : {std::size_t{4096}, std::size_t{16}}) {
      both_ends e = make(kind::pipe);
      FILE* f = writer(e, mode, size);
      const auto after = [&](const char* what, long r) {
        o.say("%d %zu %s: %ld, sees '%s', keeps %zu", mode, size, what, r, shown(arrived(e)).c_str(),
              __fpending(f));
      };
      after("fputs", fputs("one", f));
      after("fputs line", fputs(" two\nthr", f));
      after("putc", putc('e', f));
      after("putc newline", fputc('\n', f));
      after("fwrite lines", static_cast<long>(fwrite("a\nb\nc", 1, 5, f)));
      after("fprintf", fprintf(f, "[%d]", 12345));
      after("fprintf line", fprintf(f, "%s %c%5.2f\nrest", "text", '!', 2.5));
      after("fprintf of nothing", fprintf(f, "%s", ""));
      after("fwrite of nothing", static_cast<long>(fwrite("x", 0, 5, f)));
      after("longer than 16", fputs("0123456789abcdefghij", f));
      after("longer, a line", fputs("0123456789\nabcdefghij\nklm", f));
      after("fflush", fflush(f));
      after("putw", putw(0x41424344, f));
      after("fputs_unlocked", fputs_unlocked("u\n", f));
      after("fwrite_unlocked", static_cast<long>(fwrite_unlocked("v\n", 1, 2, f)));
      after("putc_unlocked", putc_unlocked('\n', f));
      after("fflush_unlocked", fflush_unlocked(f));
      fclose(f);
      o.say("%s", arrived(e).c_str());
    }
}

COIR_ROW("stdio output: a full buffer is written in whole blocks") {
  both_ends e = make(kind::pipe);
  FILE* f = writer(e);
  const std::string text = pattern(40'000);
  std::size_t at = 0;
  for (const std::size_t n : {100UL, 3996UL, 1UL, 4095UL, 4096UL, 4097UL, 10'000UL, 8192UL, 5000UL}) {
    o.say("%zu", fwrite(text.data() + at, 1, n, f));
    at += n;
    o.say("%d waiting, %zu kept", bytes_waiting(e.a), __fpending(f));
  }
  fclose(f);
  o.check(read_all(e.a) == text.substr(0, at), "all arrives");
}

COIR_ROW_WITH(own_process, "stdio output: nobody reads any more") {
  signal(SIGPIPE, SIG_IGN);
  for (const kind k : {kind::pipe, kind::unix_stream})
    for (const int mode : {_IOFBF, _IOLBF, _IONBF}) {
      both_ends e = make(k);
      FILE* f = writer(e, mode);
      e.a.close();
      o.say("%s %d", name_of(k), mode);
      COIR_OBSERVE(o, fputs("a line\n", f) < 0 ? -1 : 0);
      o.say("error %d, keeps %zu", ferror(f), __fpending(f));
      clearerr(f);
      COIR_OBSERVE(o, fprintf(f, "a line\n"));
      COIR_OBSERVE(o, putc('x', f));
      COIR_NOTED(fwrite("1234\n567", 2, 4, f));
      o.say("error %d, keeps %zu", ferror(f), __fpending(f));
      COIR_OBSERVE(o, fflush(f));
      fputs("rest", f);
      COIR_OBSERVE(o, fclose(f));
    }
}

COIR_ROW_WITH(own_process, "stdio output: the reader leaves while the writer waits") {
  signal(SIGPIPE, SIG_IGN);
  both_ends e = make(kind::pipe);
  fill(e.b);
  FILE* f = writer(e);
  flow leaves("reader", [&](log& r) {
    settle();
    r.say("writer waits");
    e.a.close();
  });
  fputs("text", f);
  COIR_OBSERVE(o, fflush(f));
  o.say("error %d, keeps %zu", ferror(f), __fpending(f));
  COIR_OBSERVE(o, fclose(f));
}

COIR_ROW("stdio output: a non-blocking descriptor that is full") {
  for (const int mode : {_IOFBF, _IOLBF, _IONBF}) {
    both_ends e = make(kind::pipe);
    const std::size_t room = fill(e.b);
    set_nonblocking(e.b, true);
    read_all(e.a, 4096);
    FILE* f = writer(e, mode);
    const std::string text = pattern(10'000);
    o.say("%d", mode);
    COIR_NOTED(fwrite(text.data(), 100, 100, f));
    o.say("error %d, keeps %zu", ferror(f), __fpending(f));
    clearerr(f);
    COIR_OBSERVE(o, fprintf(f, "%s\n", text.c_str()));
    o.say("error %d, keeps %zu", ferror(f), __fpending(f));
    clearerr(f);
    COIR_OBSERVE(o, fputs("line\n", f));
    COIR_OBSERVE(o, fflush(f));
    o.say("error %d, keeps %zu", ferror(f), __fpending(f));
    o.say("%d more than room", bytes_waiting(e.a) - static_cast<int>(room));
    fclose(f);
  }
}

COIR_ROW("stdio output: SO_SNDTIMEO ends a flush") {
  both_ends e = make(kind::unix_stream);
  fill(e.b);
  set_timeout(e.b, SO_SNDTIMEO, 60'000);
  FILE* f = writer(e);
  fputs("text", f);
  const stopwatch watch;
  COIR_OBSERVE(o, fflush(f));
  o.took(watch, 60);
  o.say("error %d, keeps %zu", ferror(f), __fpending(f));
  fclose(f);
}

COIR_ROW("stdio output: a stream that is read and written") {
  both_ends e = make(kind::unix_stream);
  FILE* f = fdopen(e.a.release(), "r+");
  flow peer("peer", [&](log& p) {
    char line[32] = {};
    p.say("%ld", read(e.b, line, sizeof line));
    p.say("%s", line);
    nap(20);
    p.check(write_all(e.b, "answer\n"), "write");
    memset(line, 0, sizeof line);
    p.say("%ld", read(e.b, line, sizeof line));
    p.say("%s", line);
  });
  o.say("%d", fputs("question\n", f));
  o.say("%d", fflush(f));
  char line[32];
  o.say("%s", fgets(line, sizeof line, f));
  o.say("%d", fprintf(f, "thanks %d\n", 2));
  o.say("%d", fflush(f));
  peer.join();
  write_all(e.b, "un");
  o.say("%c", getc(f));
  COIR_OBSERVE(o, fputs("x", f));  // with input left: libc wants to seek
  COIR_OBSERVE(o, fflush(f));
  fclose(f);
}

COIR_ROW("stdio output: reading writes out what is pending first") {
  both_ends e = make(kind::unix_stream);
  FILE* f = fdopen(e.a.release(), "r+");
  flow peer("peer", [&](log& p) {
    char line[32] = {};
    p.say("%ld", read(e.b, line, sizeof line));
    p.check(write_all(e.b, "answer\n"), "write");
  });
  fputs("question\n", f);
  char line[32];
  o.say("%s", fgets(line, sizeof line, f));
  fclose(f);
}

COIR_ROW("stdio output: on a terminal each line is seen at once") {
  int master = -1, slave = -1;
  COIR_MUST(openpty(&master, &slave, nullptr, nullptr, nullptr));
  termios raw;
  COIR_MUST(tcgetattr(slave, &raw));
  cfmakeraw(&raw);
  COIR_MUST(tcsetattr(slave, TCSANOW, &raw));
  FILE* f = fdopen(slave, "w");
  char seen[64] = {};
  fputs("first\nsec", f);
  o.say("%zd %s, keeps %zu", read(master, seen, sizeof seen), shown(seen).c_str(), __fpending(f));
  fprintf(f, "ond %d\n", 2);
  memset(seen, 0, sizeof seen);
  o.say("%zd %s, keeps %zu", read(master, seen, sizeof seen), shown(seen).c_str(), __fpending(f));
  const std::string text = pattern(50'000);
  std::string all;
  {
    flow reader("reader", [&](log&) { all = read_all(master, text.size(), 100, 4096); });
    COIR_NOTED(fwrite(text.data(), 1, text.size(), f));
    COIR_NOTED(fflush(f));
  }
  o.check(all == text, "all arrives");
  fclose(f);
  close(master);
}

COIR_ROW("stdio output: files, memory, cookies and wide characters are libc's own") {
  const descriptor file = scratch_file();
  FILE* f = fdopen(dup(file), "w+");
  const std::string text = pattern(20'000);
  COIR_NOTED(fwrite(text.data(), 1, text.size(), f));
  COIR_NOTED(fprintf(f, "%s", text.c_str()));
  COIR_NOTED(ftell(f));
  COIR_NOTED(fseek(f, 5, SEEK_SET));
  fputs("<here>", f);
  rewind(f);
  std::string back(40'000, '\0');
  o.check(fread(back.data(), 1, back.size(), f) == back.size() && back.substr(5, 6) == "<here>", "the file");
  fclose(f);

  char* bytes = nullptr;
  std::size_t size = 0;
  FILE* m = open_memstream(&bytes, &size);
  COIR_NOTED(fprintf(m, "%d;", 7));
  COIR_NOTED(fputs("text", m));
  COIR_NOTED(putc('!', m));
  fclose(m);
  o.say("%zu %s", size, bytes);
  free(bytes);

  both_ends e = make(kind::pipe);
  FILE* w = writer(e);
  COIR_NOTED(fwide(w, 1) > 0);
  COIR_NOTED(fwprintf(w, L"%ls", L"wide"));
  COIR_NOTED(fputs("narrow", w));
  COIR_NOTED(fprintf(w, "narrow"));
  fclose(w);
  o.say("%s", arrived(e).c_str());
}

COIR_ROW("stdio output: what cannot be written") {
  both_ends e = make(kind::pipe);
  FILE* f = fdopen(dup(e.a), "r");
  COIR_OBSERVE(o, fputs("x", f));
  COIR_OBSERVE(o, putc('x', f));
  COIR_NOTED(fwrite("x", 1, 1, f));
  COIR_OBSERVE(o, fprintf(f, "x"));
  o.say("error %d", ferror(f));
  fclose(f);
  FILE* w = writer(e);
  COIR_OBSERVE(o, fprintf(w, "before %lc after", static_cast<wint_t>(0x20ac)));
  o.say("keeps %zu, error %d", __fpending(w), ferror(w));
  int n = 0;
  o.say("%d", fprintf(w, "%*d|%-8s|%n|%#x", 7, 42, "left", &n, 255));
  o.say("%d", n);
  fclose(w);
  o.say("%s", arrived(e).c_str());
}

COIR_ROW_WITH(own_process,
              "stdio output: made unbuffered, a stream whose output was refused refuses the next") {
  signal(SIGPIPE, SIG_IGN);
  both_ends e = make(kind::unix_stream);
  e.a.close();
  FILE* f = fdopen(dup(e.b), "w");
  COIR_OBSERVE(o, fputs("abc", f));
  o.say("setvbuf: %d", setvbuf(f, nullptr, _IONBF, 0) != 0);
  COIR_OBSERVE(o, fputs("abc", f));
  COIR_OBSERVE(o, fputc('x', f));
  COIR_OBSERVE(o, fprintf(f, "%d", 12345));
  COIR_OBSERVE(o, fclose(f));
}

COIR_ROW("stdio output: what cannot be written for want of seeking is not waited behind") {
  const both_ends e = make(kind::unix_stream);
  FILE* f = fdopen(dup(e.a), "r+");
  char line[64] = {};
  write_all(e.b, "one\ntwo\n");
  o.say("fgets: %s", fgets(line, sizeof line, f));
  COIR_OBSERVE(o, fputs("reply\n", f));
  COIR_OBSERVE(o, fflush(f));
  errno = 0;
  o.say("fgets: %s", fgets(line, sizeof line, f) != nullptr ? "a line" : name_of_error(errno));
  fclose(f);
}

COIR_ROW("stdio output: closing a stream without a descriptor leaves errno alone") {
  char room[64];
  FILE* f = fmemopen(room, sizeof room, "w");
  COIR_OBSERVE(o, fputs("text", f));
  COIR_OBSERVE(o, fclose(f));
}
