// Cancellation and timeout scopes in stdio: the stream shows an error, and what others put into it stays.
#include <coir/coir.hpp>

#include <stdio.h>
#include <string.h>

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
