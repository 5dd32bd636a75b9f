// Locks on ranges of a file: of which bytes they are.
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW_WITH(own_process, "record locks: counted from the position or the end, they are of where that was") {
  const descriptor f = scratch_file();
  const std::string path = "/proc/self/fd/" + std::to_string(f);
  COIR_MUST(ftruncate(f, 1000));
  const both_ends go = make(kind::unix_stream), tell = make(kind::unix_stream);
  const auto range = [](short type, off_t start, off_t length) {
    struct flock l = {};
    l.l_type = type;
    l.l_whence = SEEK_SET;
    l.l_start = start;
    l.l_len = length;
    return l;
  };
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    alarm(10);  // it is not to outlive a row that hangs
    const int own = open(path.c_str(), O_RDWR);
    char c;
    for (int i = 0; i < 2; ++i) {
      struct flock l = range(F_WRLCK, 0, 0);
      fcntl(own, F_SETLKW, &l);
      write_all(tell.b, "x");
      if (read(go.a, &c, 1) != 1) _exit(1);
      l = range(F_UNLCK, 0, 0);
      fcntl(own, F_SETLK, &l);
      if (read(go.a, &c, 1) != 1) _exit(1);
      l = range(F_WRLCK, 0, 0);
      fcntl(own, F_GETLK, &l);
      dprintf(tell.b, "%ld+%ld;", static_cast<long>(l.l_start), static_cast<long>(l.l_len));
      if (read(go.a, &c, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  for (const int whence : {SEEK_CUR, SEEK_END}) {
    char text[64] = {};
    COIR_MUST(lseek(f, 100, SEEK_SET));
    COIR_MUST(ftruncate(f, 1000));
    COIR_OBSERVE(o, read(tell.a, text, 1));
    flow locker("locker", [&](log& w) {
      struct flock l = range(F_WRLCK, -10, 5);
      l.l_whence = static_cast<short>(whence);
      COIR_OBSERVE(w, fcntl(f, F_SETLKW, &l));
    });
    settle();
    COIR_OBSERVE(o, lseek(f, 500, SEEK_SET));
    COIR_OBSERVE(o, ftruncate(f, 2000));
    write_all(go.b, "1");
    locker.join();
    write_all(go.b, "2");
    const ssize_t n = read(tell.a, text, sizeof text - 1);
    o.say("%.*s", static_cast<int>(n), text);
    struct flock l = range(F_UNLCK, 0, 0);
    COIR_OBSERVE(o, fcntl(f, F_SETLK, &l));
    write_all(go.b, "3");
  }
  int status = -1;
  COIR_MUST(waitpid(child, &status, 0));
  o.say("status %d", status);
}
