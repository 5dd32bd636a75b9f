// Cancellation and timeout scopes in stdio: the stream shows an error, and what others put into it stays.
#include <coir/coir.hpp>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <thread>

#include "../row.hpp"
#include "../things.hpp"
#include "interrupted.hpp"

using namespace conformance;

COIR_ROW_WITH(fibers_only, "cancel: every call that reads a stream") {
  both_ends e = make(kind::pipe);
  FILE* f = fdopen(e.a.release(), "r");
  char text[8];
  interrupted(o, "getc", [&] { return getc(f); });
  interrupted(o, "fgets", [&] { return fgets(text, sizeof text, f) != nullptr ? 0 : -1; });
  interrupted(o, "fread", [&] { return fread(text, 1, 1, f) == 1 ? 0 : -1; });
  interrupted(o, "fscanf", [&] { return fscanf(f, "%7s", text); });
  o.check(ferror(f), "the stream shows an error");
  clearerr(f);
  write_all(e.b, "word ");
  o.check(fscanf(f, "%7s", text) == 1 && strcmp(text, "word") == 0, "usable afterwards");
  fclose(f);
}

COIR_ROW_WITH(fibers_only, "cancel: every call on a stream that another uses") {
  for (const bool by_thread : {true, false}) {
    both_ends e = make(kind::unix_stream);
    FILE* f = fdopen(e.a.release(), "r+");
    const auto read_one = [&] { o.check(getc(f) == 'x', "the other's getc"); };
    std::thread thread;
    coir::fiber<void> fiber;
    if (by_thread)
      thread = std::thread(read_one);
    else
      fiber = coir::spawn(read_one);
    while (ftrylockfile(f) == 0) {  // until it is used
      funlockfile(f);
      nap(1);
    }
    char text[8];
    char* line = nullptr;
    size_t room = 0;
    interrupted(o, "getc", [&] { return getc(f); });
    interrupted(o, "fgets", [&] { return fgets(text, sizeof text, f) != nullptr ? 0 : -1; });
    interrupted(o, "getline", [&] { return getline(&line, &room, f); });
    interrupted(o, "fread", [&] { return fread(text, 1, 1, f) == 1 ? 0 : -1; });
    interrupted(o, "fscanf", [&] { return fscanf(f, "%7s", text); });
    interrupted(o, "fwrite", [&] { return fwrite(text, 1, 1, f) == 1 ? 0 : -1; });
    interrupted(o, "fputs", [&] { return fputs("x", f); });
    interrupted(o, "putc", [&] { return putc('x', f); });
    interrupted(o, "fprintf", [&] { return fprintf(f, "%d", 7); });
    interrupted(o, "fflush", [&] { return fflush(f); });
    write_all(e.b, "xy");
    if (by_thread) coir::spawn([&] { thread.join(); }).join();
    if (!by_thread) fiber.join();
    o.check(!ferror(f) && getc(f) == 'y', "usable afterwards");
    free(line);
    fclose(f);
  }
}

COIR_ROW_WITH(fibers_only, "cancel: who is next in line for a stream gets it when the one before gives up") {
  both_ends e = make(kind::pipe);
  FILE* f = fdopen(e.a.release(), "r");
  flockfile(f);
  char got = 0;
  auto doomed = coir::spawn([&] { o.check(getc(f) == EOF && errno == ECANCELED, "cancelled in line"); });
  settle();
  auto second = coir::spawn([&] { got = static_cast<char>(getc(f)); });
  settle();
  write_all(e.b, "z");
  doomed.cancel();
  funlockfile(f);
  doomed.join();
  second.join();
  o.check(got == 'z', "the second's getc");
  fclose(f);
}

COIR_ROW_WITH(fibers_only, "cancel: every call that writes a stream; what was in it stays and arrives once") {
  for (const kind k : {kind::pipe, kind::unix_stream}) {
    both_ends e = make(k);
    const std::size_t filled = fill(e.b);
    FILE* f = fdopen(dup(e.b), "w");
    fputs("kept", f);
    interrupted(o, "fflush", [&] { return fflush(f); });
    const std::string much(8192, 'x');
    interrupted(o, "fwrite", [&] { return fwrite(much.data(), 1, 8192, f) == 8192 ? 0 : -1; });
    interrupted(o, "fputs", [&] { return fputs("x", f); });
    interrupted(o, "fprintf", [&] { return fprintf(f, "%d", 7); });
    interrupted(o, "putc", [&] { return putc('x', f); });
    interrupted(o, "dprintf", [&] { return dprintf(e.b, "lost"); });
    o.check(ferror(f), "the stream shows an error");
    clearerr(f);
    read_all(e.a, filled);
    COIR_OBSERVE(o, fflush(f));
    o.check(read_all(e.a, 4096) == "kept" + std::string(4092, 'x'), "the full buffer arrives");
    COIR_OBSERVE(o, fputs("after", f) < 0);
    fill(e.b);
    interrupted(o, "fflush again", [&] { return fflush(f); });
    COIR_OBSERVE(o, fclose(fdopen(dup(e.b), "w")));
    coir::spawn([&] {
      coir::timeout limit(30ms);
      o.check(fclose(f) == EOF && errno == ETIMEDOUT, "fclose: ETIMEDOUT");
    }).join();
  }
}

COIR_ROW_WITH(fibers_only, "cancel: freopen gives up what its stream cannot write, and closes it") {
  for (const bool cancels : {true, false}) {
    both_ends e = make(kind::pipe);
    const std::size_t filled = fill(e.b);
    FILE* f = fdopen(dup(e.b), "w");
    fputs("lost", f);
    coir::fiber<void> reopens = coir::spawn([&] {
      const coir::timeout limit(cancels ? 10s : 30ms);
      errno = 0;
      FILE* again = freopen("/dev/null", "w", f);
      o.check(again == nullptr && errno == (cancels ? ECANCELED : ETIMEDOUT), name_of_error(errno));
    });
    settle();
    if (cancels) reopens.cancel();
    reopens.join();
    e.b.close();
    o.check(read_all(e.a).size() == filled, "closed, and nothing more arrives");
  }
}

COIR_ROW_WITH(fibers_only, "cancel: one who prints takes nothing from the others") {
  both_ends e = make(kind::pipe);
  const std::size_t filled = fill(e.b);
  FILE* f = fdopen(e.b.release(), "w");
  fputs("one ", f);
  auto doomed = coir::spawn([&] {
    fputs("two ", f);
    fflush(f);
  });
  settle();
  auto other = coir::spawn([&] { fputs("three", f); });
  settle();
  o.check(!doomed.ready() && !other.ready(), "both wait");
  doomed.cancel();
  doomed.join();
  other.join();
  clearerr(f);
  read_all(e.a, filled);
  COIR_OBSERVE(o, fclose(f));
  o.check(read_all(e.a) == "one two three", "all of it arrives");
}
