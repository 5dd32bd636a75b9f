// pthread_cancel of a plain thread, at each kind of call that libc makes a cancellation point: it unwinds the
// thread's stack, through what the patch has put in between too.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// What the calls use. None of them would wait, so none hangs if it is not cancelled.
struct things {
  both_ends ends = make(kind::unix_stream);
  FILE* in;
  FILE* out;
  sem_t free;

  things() {
    write_all(ends.b, "1 2 3 4\n5 6 7 8\n");
    in = fdopen(dup(ends.a), "r");
    setvbuf(in, nullptr, _IONBF, 0);
    out = fdopen(dup(ends.a), "w");
    sem_init(&free, 0, 1);
  }
  ~things() {
    fclose(in);
    fclose(out);
    sem_destroy(&free);
  }
};

char bytes[16];
timespec none;

// Nothing but the call in each: what is declared not to throw is not followed by anything to unwind.
using call = void (*)(things&);
const std::pair<const char*, call> calls[] = {
    {"read", [](things& t) { static_cast<void>(read(t.ends.a, bytes, 1) + 1); }},
    {"write", [](things& t) { static_cast<void>(write(t.ends.a, "", 1) + 1); }},
    {"readv", [](things& t) { static_cast<void>(readv(t.ends.a, nullptr, 0) + 1); }},
    {"recv", [](things& t) { recv(t.ends.a, bytes, 1, 0); }},
    {"send", [](things& t) { send(t.ends.a, "", 1, 0); }},
    {"accept", [](things& t) { accept(t.ends.a, nullptr, nullptr); }},
    {"connect", [](things& t) { connect(t.ends.a, nullptr, 0); }},
    {"poll", [](things&) { poll(nullptr, 0, 0); }},
    {"select", [](things&) { select(0, nullptr, nullptr, nullptr, nullptr); }},
    {"nanosleep", [](things&) { nanosleep(&none, nullptr); }},
    {"open", [](things&) { open("", O_RDONLY); }},
    {"close", [](things&) { close(-1); }},
    {"fcntl", [](things&) { fcntl(-1, F_SETLKW, nullptr); }},
    {"fsync", [](things&) { fsync(-1); }},
    {"msgrcv", [](things&) { msgrcv(-1, bytes, 1, 0, 0); }},
    {"waitpid", [](things&) { waitpid(-1, nullptr, WNOHANG); }},
    {"wait3", [](things&) { wait3(nullptr, WNOHANG, nullptr); }},
    {"wait4", [](things&) { wait4(-1, nullptr, WNOHANG, nullptr); }},
    {"waitid", [](things&) { waitid(P_ALL, 0, nullptr, WEXITED | WNOHANG); }},
    {"sem_wait", [](things& t) { sem_wait(&t.free); }},
    {"getc", [](things& t) { getc(t.in); }},
    {"fgets", [](things& t) { static_cast<void>(fgets(bytes, sizeof bytes, t.in) == nullptr); }},
    {"fread", [](things& t) { static_cast<void>(fread(bytes, 1, 1, t.in) + 1); }},
    {"fscanf", [](things& t) { static_cast<void>(fscanf(t.in, "%15s", bytes) + 1); }},
    {"fflush",
     [](things& t) {
       fputs("x", t.out);
       fflush(t.out);
     }},
    {"fprintf", [](things& t) { fprintf(t.out, "%8192d", 1); }},
};

struct job {
  call made;
  things* with;
};

void* cancelled_in(void* p) {
  const job& j = *static_cast<const job*>(p);
  pthread_cancel(pthread_self());
  j.made(*j.with);
  return nullptr;
}

}  // namespace

// libasan 12 takes the end of a cancelled thread for an overflow of its stack.
COIR_ROW_WITH(own_process | libc_checks, "pthread_cancel: a plain thread ends at every cancellation point") {
  for (const auto& [name, made] : calls) {
    things t;
    job j = {made, &t};
    pthread_t thread;
    void* result = nullptr;
    pthread_create(&thread, nullptr, cancelled_in, &j);
    pthread_join(thread, &result);
    o.say("%s: %s", name, result == PTHREAD_CANCELED ? "cancelled" : "returned");
    o.check(ftrylockfile(t.in) == 0 && ftrylockfile(t.out) == 0, "the streams are free");
    funlockfile(t.in);
    funlockfile(t.out);
  }
}
