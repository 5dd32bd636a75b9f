// stdio on fibers, in a program linked in whatever way is under test. Prints "worked".
#include <unistd.h>

#include <coir/coir.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

const std::string text(100'000, 'x');
int mistakes = 0;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  ++mistakes;
}

void write_much(FILE* f) {
  expect(std::fwrite(text.data(), 1, text.size(), f) == text.size(), "fwrite");
  expect(std::fprintf(f, "%s %d\n", text.c_str(), 42) == 100'004, "fprintf");
  for (int i = 0; i < 5000; ++i) expect(::putc_unlocked('0' + i % 10, f) != EOF, "putc_unlocked");
  expect(std::putc(' ', f) == ' ' && std::fputs("12 word\n", f) >= 0 && std::fclose(f) == 0, "the end");
}

void read_much(FILE* f) {
  std::string all(200'004, '\0');
  expect(std::fread(all.data(), 1, all.size(), f) == all.size() && all == text + text + " 42\n", "fread");
  for (int i = 0; i < 5000; ++i) expect(::getc_unlocked(f) == '0' + i % 10, "getc_unlocked");
  int number = 0;
  char word[8] = "";
  expect(std::fscanf(f, "%d %7s", &number, word) == 2 && number == 12 && std::strcmp(word, "word") == 0,
         "fscanf");
  expect(std::getc(f) == '\n' && std::getc(f) == EOF && std::feof(f), "the end of the stream");
  std::fclose(f);
}

// Streams that libc makes for a call of its own.
void use_memory() {
  char made[64];
  int number = 0;
  expect(std::snprintf(made, sizeof made, "%-6d|%s", 7, "seven") == 12 && !std::strcmp(made, "7     |seven"),
         "snprintf");
  expect(std::sscanf("17", "%d", &number) == 1 && number == 17, "sscanf");
  char* bytes = nullptr;
  std::size_t size = 0;
  FILE* m = ::open_memstream(&bytes, &size);
  for (int i = 0; i < 1000; ++i) std::putc('a', m);
  std::fclose(m);
  expect(size == 1000, "open_memstream");
  std::free(bytes);
}

}  // namespace

int main() {
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  auto writer = coir::spawn([&] { write_much(::fdopen(ends[1], "w")); });
  auto reader = coir::spawn([&] { read_much(::fdopen(ends[0], "r")); });
  auto other = coir::spawn(use_memory);
  writer.join();
  reader.join();
  other.join();
  if (mistakes != 0) return 1;
  std::puts("worked");
}
