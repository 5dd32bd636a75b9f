// Streams that several flows write to.
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <thread>

#include "../row.hpp"
#include "../things.hpp"
#include "stdio_output.hpp"

using namespace conformance;

COIR_ROW("stdio output: lines of several flows stay whole while the reader is slow") {
  both_ends e = make(kind::pipe);
  FILE* f = writer(e);
  const int lines = 60;
  const auto prints = [&](char c) {
    return [&, c](log& w) {
      const std::string text(997, c);
      for (int i = 0; i < lines; ++i) w.check(fprintf(f, "%s%d\n", text.c_str(), 10 + i) == 1000, "fprintf");
    };
  };
  std::string all;
  {
    flow reader("reader", slow_reader(e, all));
    { flow a("a", prints('a')), b("b", prints('b')), c("c", prints('c')); }
    fclose(f);
  }
  bool whole = all.size() == 3000 * lines;
  for (std::size_t at = 0; whole && at < all.size(); at += 1000)
    whole = all.substr(at, 997) == std::string(997, all[at]) && all[at + 999] == '\n';
  o.say("%zu bytes, whole lines: %d", all.size(), whole);
}

COIR_ROW("stdio output: what libc flushes by itself, beside a flow that waits in output, arrives once") {
  const std::pair<const char*, void (*)(FILE*)> ways[] = {
      {"fflush(nullptr)", [](FILE*) { fflush(nullptr); }},
      {"fseek", [](FILE* f) { fseek(f, 0, SEEK_CUR); }},
      {"rewind", [](FILE* f) { rewind(f); }},
      {"setvbuf", [](FILE* f) { setvbuf(f, nullptr, _IOFBF, 256); }},
      {"setvbuf, no buffer", [](FILE* f) { setvbuf(f, nullptr, _IONBF, 0); }},
  };
  const std::string text = pattern(2100);
  for (const bool by_printing : {false, true})
    for (const auto& [what, flush_it] : ways) {
      both_ends e = make(kind::pipe);
      const std::size_t filled = fill(e.b);
      FILE* f = writer(e, _IOFBF, 1024);
      std::string all;
      std::atomic<bool> begins{false};
      std::thread reader([&] {
        while (!begins) nap(1);
        nap(10);
        all = read_all(e.a, std::size_t{1} << 40, 200, 16384);
      });
      fputs("begin ", f);
      {
        flow waits("waits", [&](log&) {
          if (by_printing)
            fputs(text.c_str(), f);
          else
            fflush(f);
        });
        settle();
        begins = true;
        flush_it(f);
      }
      fputs(" end", f);
      fclose(f);
      reader.join();
      o.check(all.substr(filled) == "begin " + (by_printing ? text : "") + " end", what);
    }
}

COIR_ROW("stdio output: fflush(nullptr) waits for a slow reader, and for the flow that uses a stream") {
  both_ends e = make(kind::pipe), g = make(kind::pipe);
  const std::size_t filled = fill(e.b), also = fill(g.b);
  FILE *f = writer(e), *h = writer(g);
  fputs("one", f);
  fputs("two", h);
  std::string all, others;
  {
    flow waits("waits", [&](log&) { fflush(h); });
    settle();
    flow reader("reader", [&](log& r) {
      settle();
      r.say("the flush waits");
      others = read_all(g.a, also + 3);  // first: libc begins with the youngest stream
      all = read_all(e.a, filled + 3);
    });
    COIR_OBSERVE(o, fflush(nullptr));
  }
  o.check(all.substr(filled) == "one" && others.substr(also) == "two", "all of it arrives");
  fclose(f);
  fclose(h);
}

COIR_ROW(
    "stdio output: a plain thread in fflush(nullptr) beside a waiting flow keeps nobody from opening files") {
  if (!on_fibers()) return;  // there it does
  both_ends e = make(kind::pipe);
  const std::size_t filled = fill(e.b);
  FILE* f = writer(e);
  fputs("text", f);
  flow waits("waits", [&](log&) { fflush(f); });
  settle();
  std::atomic<bool> over{false};
  std::thread all([&] {
    fflush(nullptr);
    over = true;
  });
  nap(20);
  FILE* opened = fopen("/dev/null", "r");
  o.check(opened != nullptr && !over, "fopen");
  fclose(opened);
  o.check(read_all(e.a, filled + 4).substr(filled) == "text", "arrives once");
  waits.join();
  while (!over) nap(1);
  all.join();
  fclose(f);
}

COIR_ROW("stdio output: flockfile keeps the others out until funlockfile") {
  both_ends e = make(kind::pipe);
  FILE* f = writer(e);
  std::atomic<bool> printed{false};
  flockfile(f);
  fputs("one ", f);
  flow other("other", [&](log& w) {
    w.say("%d", ftrylockfile(f) != 0);
    fputs("three", f);
    printed = true;
  });
  settle();
  o.say("other %s", other.state());
  flockfile(f);
  funlockfile(f);
  o.say("%d", ftrylockfile(f));
  funlockfile(f);
  putc_unlocked('t', f);
  nap(20);
  fputs("wo ", f);
  o.check(!printed, "the other waits");
  funlockfile(f);
  other.join();
  fclose(f);
  o.say("%s", arrived(e).c_str());
}

COIR_ROW("stdio output: who holds the stream keeps it while its own calls wait") {
  both_ends e = make(kind::pipe);
  const std::size_t filled = fill(e.b);
  FILE* f = writer(e);
  std::string all;
  flow reader("reader", [&](log&) {
    settle();
    all = read_all(e.a);
  });
  flockfile(f);
  fputs("one ", f);
  flow other("other", [&](log&) { fputs("four", f); });
  COIR_NOTED(fflush(f));
  fputs("two ", f);
  flow another("another", [&](log&) {
    settle();
    fputs("", f);
  });
  COIR_NOTED(fflush(f));
  fputs("three ", f);
  funlockfile(f);
  other.join();
  another.join();
  fclose(f);
  reader.join();
  o.say("%s", all.c_str() + filled);
}

COIR_ROW("stdio output: of those who wait in flockfile one has the stream at a time") {
  both_ends e = make(kind::pipe);
  FILE* f = writer(e);
  flockfile(f);
  {
    std::vector<std::unique_ptr<flow>> waiting;
    for (const char* word : {"a", "b", "c"}) {
      waiting.push_back(std::make_unique<flow>("waits", [&, word](log&) {
        flockfile(f);
        fputs(word, f);
        nap(5);
        fputs(word, f);
        funlockfile(f);
      }));
      settle();
    }
    funlockfile(f);
  }
  fclose(f);
  const std::string words = arrived(e);
  bool in_pairs = words.size() == 6;
  for (std::size_t i = 0; in_pairs && i < 6; i += 2) in_pairs = words[i] == words[i + 1];
  o.check(in_pairs, words.c_str());
}

COIR_ROW("stdio output: a stream that is closed while locked leaves the next one free") {
  for (int (*const close_it)(FILE*) : {fclose, pclose}) {
    FILE* f = close_it == pclose ? popen("cat", "w") : writer(*std::make_unique<both_ends>(make(kind::pipe)));
    flockfile(f);
    flockfile(f);
    o.say("%d", close_it(f));
    // Some of these have the place of the old one.
    std::vector<FILE*> others;
    for (int i = 0; i < 4; ++i) others.push_back(i % 2 == 0 ? popen(":", "w") : tmpfile());
    std::atomic<int> printed{0};
    flow other("other", [&](log&) {
      for (FILE* next : others) printed += fputs("", next) >= 0;
    });
    settle();
    o.check(printed == 4, "the others are free");
    for (int i = 0; i < 4; ++i) (i % 2 == 0 ? pclose : fclose)(others[static_cast<std::size_t>(i)]);
  }
}

COIR_ROW("stdio output: in the child of a fork the streams are free for its threads too") {
  both_ends e = make(kind::pipe), release = make(kind::pipe);
  FILE* f = writer(e);
  flow holder("holder", [&](log&) {
    flockfile(f);
    flockfile(f);
    char c;
    COIR_MUST(read(release.a, &c, 1));
    funlockfile(f);
    funlockfile(f);
  });
  settle();
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    alarm(5);
    std::thread([&] { fputs("child", f); }).join();
    _exit(fclose(f));
  }
  int status = -1;
  waitpid(child, &status, 0);
  o.say("%d %s", status, arrived(e).c_str());
  write_all(release.b, "1");
  holder.join();
  fclose(f);
}

COIR_ROW("stdio output: in the child of a fork nobody else has the stream") {
  both_ends e = make(kind::pipe), release = make(kind::pipe);
  FILE* f = writer(e);
  const auto hold = [&](log&) {
    flockfile(f);
    char c;
    COIR_MUST(read(release.a, &c, 1));
    funlockfile(f);
  };
  flow holder("holder", hold), second("holder", hold);
  settle();
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    alarm(5);
    _exit(fputs("child", f) >= 0 && fflush(f) == 0 && fputs("!", f) >= 0 && fclose(f) == 0 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  o.say("%d %s", status, arrived(e).c_str());
  o.check(ftrylockfile(f) != 0, "the parent's is still held");
  write_all(release.b, "12");
  holder.join();
  second.join();
  fputs("parent", f);
  fclose(f);
  o.say("%s", arrived(e).c_str());
}

COIR_ROW_WITH(own_process, "stdio output: std::cout, puts, printf and putchar share stdout") {
  both_ends e = make(kind::pipe);
  const int saved = dup(1);
  COIR_MUST(dup2(e.b, 1));
  e.b.close();
  const std::string text = pattern(100'000);
  std::string all;
  {
    flow reader("reader", [&](log&) { all = read_all(e.a, 200'014, 100, 16384); });
    printf("%s", "1");
    std::cout << 2 << text;
    puts("3");
    putchar('4');
    putchar_unlocked('5');
    printf("67%s", text.c_str());
    std::cout << "89\n" << std::flush;
    fflush(stdout);
    COIR_MUST(dup2(saved, 1));
    close(saved);
  }
  o.say("%zu", all.size());
  o.check(all == "12" + text + "3\n4567" + text + "89\n", "all in order");
}
