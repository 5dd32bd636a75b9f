// scanf on pipes, sockets and files.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

FILE* reader(both_ends& e) {
  return fdopen(e.a.release(), "r");
}

int scan(FILE* f, const char* format, ...) __attribute__((format(scanf, 2, 3)));
int scan(FILE* f, const char* format, ...) {
  va_list rest;
  va_start(rest, format);
  const int r = vfscanf(f, format, rest);
  va_end(rest);
  return r;
}

// What is left in the stream's buffer and behind it.
std::string rest_of(FILE* f) {
  std::string rest;
  for (int c; (c = getc(f)) != EOF;) rest += static_cast<char>(c);
  return rest;
}

}  // namespace

COIR_ROW("scanf: a number that comes in two pieces is waited for, the others run") {
  for (const kind k : {kind::pipe, kind::unix_stream, kind::tcp}) {
    both_ends e = make(k);
    FILE* f = reader(e);
    flow writer("writer", [&](log& w) {
      settle();
      w.say("reader waits");
      w.check(write_all(e.b, " 12"), "write");
      nap(20);
      w.check(write_all(e.b, "34 wo"), "write");
      nap(20);
      w.check(write_all(e.b, "rd\n56"), "write");
      nap(20);
      e.b.close();
    });
    int number = 0;
    char word[16] = "";
    o.say("%d", fscanf(f, "%d", &number));
    o.say("%d", number);
    o.say("%d", scan(f, "%15s", word));
    o.say("%s", word);
    o.say("%d eof %d", fscanf(f, "%d", &number), feof(f) != 0);
    o.say("%d", number);
    errno = untouched;
    o.say("%d eof %d error %d errno kept %d", fscanf(f, "%d", &number), feof(f) != 0, ferror(f) != 0,
          errno == untouched);
    writer.join();
    fclose(f);
  }
}

COIR_ROW("scanf: what is looked at in vain stays in the stream") {
  const auto after = [&](const char* input, const char* format) {
    both_ends e = make(kind::pipe);
    FILE* f = reader(e);
    write_all(e.b, input);
    e.b.close();
    int a = -1, n = -1;
    char s[32] = "";
    errno = untouched;
    int r;
    if (strchr(format, 's') != nullptr || strchr(format, '[') != nullptr) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      r = fscanf(f, format, s, &n);
    } else {
      r = fscanf(f, format, &a, &n);
#pragma GCC diagnostic pop
    }
    const int error = errno;
    const bool end = feof(f) != 0, bad = ferror(f) != 0;
    o.say("'%s' by '%s': %d, %d '%s' at %d, errno %s, eof %d error %d, left '%s'", input, format, r, a, s, n,
          error == untouched ? "kept" : name_of_error(error), end, bad, rest_of(f).c_str());
    fclose(f);
  };
  after("12abc", "%d%n");
  after("abc", "%d%n");
  after("", "%d%n");
  after("   ", "%d%n");
  after("-x", "%d%n");
  after("0xg", "%i%n");
  after("0x1fz", "%i%n");
  after("word next", "%31s%n");
  after("key=value", "%31[a-z]%n");
  after("KEY", "%31[a-z]%n");
  after("x: 5 6", "x: %d%n");
  after("y: 5", "x: %d%n");
  after("5%6", "%d%%%n");
  after("77", "%d");
  after("99999999999999", "%d%n");
}

COIR_ROW("scanf: mixes with getc, fgets and ungetc") {
  both_ends e = make(kind::pipe);
  FILE* f = reader(e);
  flow writer("writer", [&](log& w) {
    for (const char* part : {"1", "2 x", "yz\nline", "\n3.5,", "7"}) {
      nap(10);
      w.check(write_all(e.b, part), "write");
    }
    e.b.close();
  });
  int n = 0;
  double d = 0;
  char line[32], *made = nullptr;
  o.say("%d", fscanf(f, "%d", &n));
  const int space = getc(f);
  o.say("%d %d", n, space);
  o.say("%d", ungetc('9', f));
  o.say("%d", fscanf(f, "%d", &n));
  o.say("%d", n);
  o.say("%d", fscanf(f, "%ms", &made));
  o.say("%s", made);
  free(made);
  o.say("%zu", strlen(fgets(line, sizeof line, f)));
  o.say("%s", fgets(line, sizeof line, f));
  o.say("%d", fscanf(f, "%lf,%d", &d, &n));
  o.say("%g %d", d, n);
  o.say("%d", getc(f));
  writer.join();
  fclose(f);
}

COIR_ROW("scanf: two flows take numbers from one stream, each number goes to one") {
  both_ends e = make(kind::pipe);
  FILE* f = reader(e);
  std::atomic<int> sum{0}, count{0};
  const auto take = [&](log&) {
    int n;
    while (fscanf(f, "%d", &n) == 1) {
      sum += n;
      ++count;
    }
  };
  flow a("reader", take), b("reader", take);
  for (int i = 0; i < 40; ++i) {
    write_all(e.b, std::to_string(1000 + i).substr(0, 2));
    if (i % 8 == 0) nap(5);
    write_all(e.b, std::to_string(1000 + i).substr(2) + "\n");
  }
  e.b.close();
  a.join();
  b.join();
  o.say("%d numbers, sum %d", count.load(), sum.load());
  fclose(f);
}

COIR_ROW("scanf: a non-blocking descriptor, files and memory") {
  both_ends e = make(kind::pipe);
  set_nonblocking(e.a, true);
  FILE* f = reader(e);
  int n = 0;
  COIR_OBSERVE(o, fscanf(f, "%d", &n));
  o.say("error %d eof %d", ferror(f) != 0, feof(f) != 0);
  clearerr(f);
  write_all(e.b, "12");
  errno = untouched;
  const int r = fscanf(f, "%d", &n);  // as the digits may go on
  o.say("%d %s, %d error %d", r, name_of_error(errno), n, ferror(f) != 0);
  fclose(f);

  FILE* file = fdopen(dup(scratch_file("17 word")), "r");
  rewind(file);
  char word[8];
  o.say("%d", fscanf(file, "%d %7s", &n, word));
  o.say("%d %s", n, word);
  fclose(file);
  o.say("%d", sscanf("5 memory", "%d %7s", &n, word));
  o.say("%d %s", n, word);

  FILE* w = fdopen(e.b.release(), "w");
  COIR_OBSERVE(o, fscanf(w, "%d", &n));
  fclose(w);
}
