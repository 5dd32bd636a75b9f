// Names of hosts, services and users; locks on files; what goes to the disk; System V semaphores and queues.
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

COIR_ROW("getaddrinfo: addresses, flags and errors") {
  addrinfo hints = {};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  errno = untouched;
  o.say("numeric: %d", getaddrinfo("127.0.0.1", "8080", &hints, &list));
  o.say("errno %s", errno == untouched ? "untouched" : "changed");
  o.say("family %d, port %d, next %d", list->ai_family == AF_INET,
        ntohs(reinterpret_cast<sockaddr_in*>(list->ai_addr)->sin_port), list->ai_next != nullptr);
  char host[64], service[32];
  o.say("back: %d", getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof host, service, sizeof service,
                                NI_NUMERICHOST | NI_NUMERICSERV));
  o.say("%s %s", host, service);
  freeaddrinfo(list);
  o.say("no number: %d", getaddrinfo("not a number", nullptr, &hints, &list) == EAI_NONAME);
  o.say("neither: %d", getaddrinfo(nullptr, nullptr, nullptr, &list) == EAI_NONAME);
  hints.ai_flags = 0x10000000;
  o.say("bad flags: %d", getaddrinfo("127.0.0.1", nullptr, &hints, &list) == EAI_BADFLAGS);
  hints = {};
  o.say("localhost: %d", getaddrinfo("localhost", nullptr, &hints, &list));
  freeaddrinfo(list);
}

COIR_ROW("look-ups: hosts, services, users and groups") {
  hostent* h = gethostbyname("127.0.0.1");
  o.say("%d %d", h != nullptr, h != nullptr && h->h_length == 4);
  hostent entry;
  hostent* result = nullptr;
  char buffer[1024];
  int error = 0;
  o.say("%d", gethostbyname_r("127.0.0.1", &entry, buffer, sizeof buffer, &result, &error));
  o.say("%d", result == &entry);
  char tiny[4];
  o.say("tiny: %d", gethostbyname_r("127.0.0.1", &entry, tiny, sizeof tiny, &result, &error) == ERANGE);
  servent* s = getservbyname("no such service", "tcp");
  o.say("service: %d", s == nullptr);
  const passwd* p = getpwuid(0);
  o.say("root: %s", p != nullptr ? p->pw_name : "?");
  passwd user;
  passwd* found = nullptr;
  o.say("%d", getpwnam_r("root", &user, buffer, sizeof buffer, &found));
  o.say("%d", found != nullptr && found->pw_uid == 0);
  errno = untouched;
  o.say("nobody of that name: %d", getpwnam("no-such-user-here") == nullptr);
  const group* g = getgrgid(0);
  o.say("group: %s", g != nullptr ? g->gr_name : "?");
  gid_t groups[64];
  int count = 64;
  o.say("groups: %d", getgrouplist("root", 0, groups, &count) >= 1);
}

COIR_ROW("look-ups: all users and groups, one after the other") {
  setpwent();
  const passwd* p = getpwent();
  o.say("user: %s", p != nullptr ? p->pw_name : "?");
  passwd user, *found = nullptr;
  char buffer[4096];
  int users = 0;
  while (getpwent_r(&user, buffer, sizeof buffer, &found) == 0 && found == &user) ++users;
  o.say("%d more, at the end: %d", users, found == nullptr);
  endpwent();
  setgrent();
  const group* g = getgrent();
  o.say("group: %s", g != nullptr ? g->gr_name : "?");
  group entry, *next = nullptr;
  int groups = 0;
  while (getgrent_r(&entry, buffer, sizeof buffer, &next) == 0 && next == &entry) ++groups;
  o.say("%d more, at the end: %d", groups, next == nullptr);
  endgrent();
}

COIR_ROW("flock: the second description waits for the first") {
  const scratch_path path("lock");
  const descriptor a(COIR_MUST(open(path.c_str(), O_RDWR | O_CREAT, 0600)));
  const descriptor b(COIR_MUST(open(path.c_str(), O_RDWR)));
  COIR_OBSERVE(o, flock(a, LOCK_EX));
  COIR_OBSERVE(o, flock(b, LOCK_EX | LOCK_NB));
  flow other("other", [&](log& w) {
    COIR_OBSERVE(w, flock(b, LOCK_SH));
    COIR_OBSERVE(w, flock(b, LOCK_UN));
  });
  settle();
  o.say("%s", other.state());
  COIR_OBSERVE(o, flock(a, LOCK_UN));
  other.join();
  COIR_OBSERVE(o, flock(closed_number(), LOCK_EX));
}

COIR_ROW("record locks: another process's lock is waited for") {
  const scratch_path path("record");
  const descriptor f(COIR_MUST(open(path.c_str(), O_RDWR | O_CREAT, 0600)));
  int ready[2];
  COIR_MUST(pipe(ready));
  const pid_t pid = COIR_MUST(fork());
  if (pid == 0) {
    struct flock whole = {};
    whole.l_type = F_WRLCK;
    const bool held = fcntl(f, F_SETLK, &whole) == 0;
    if (write(ready[1], "x", held) < 0) _exit(1);
    timespec t = {0, 150'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
    _exit(0);
  }
  char c;
  o.say("held: %zd", read(ready[0], &c, 1));
  stopwatch watch;
  struct flock part = {};
  part.l_type = F_WRLCK;
  part.l_len = 10;
  COIR_OBSERVE(o, fcntl(f, F_SETLK, &part));
  COIR_OBSERVE(o, fcntl(f, F_SETLKW, &part));
  o.check(watch.milliseconds() > 50, "it waited");
  COIR_OBSERVE(o, lockf(f, F_LOCK, 5));
  COIR_OBSERVE(o, lockf(f, F_ULOCK, 5));
  int status;
  while (waitpid(pid, &status, 0) < 0) {
  }
  close(ready[0]);
  close(ready[1]);
}

COIR_ROW("record locks: of descriptions, between flows") {
  const scratch_path path("ofd");
  const descriptor a(COIR_MUST(open(path.c_str(), O_RDWR | O_CREAT, 0600)));
  const descriptor b(COIR_MUST(open(path.c_str(), O_RDWR)));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  COIR_OBSERVE(o, fcntl(a, F_OFD_SETLKW, &whole));
  flow other("other", [&](log& w) {
    struct flock mine = {};
    mine.l_type = F_WRLCK;
    COIR_OBSERVE(w, fcntl(b, F_OFD_SETLKW, &mine));
  });
  settle();
  o.say("%s", other.state());
  whole.l_type = F_UNLCK;
  COIR_OBSERVE(o, fcntl(a, F_OFD_SETLK, &whole));
}

COIR_ROW("fsync and fdatasync: of a file, and of what is none") {
  const descriptor f = scratch_file("data");
  COIR_OBSERVE(o, fsync(f));
  COIR_OBSERVE(o, fdatasync(f));
  const both_ends p = make(kind::pipe);
  COIR_OBSERVE(o, fsync(p.a));
}

COIR_ROW("System V: semaphores and queues are waited for") {
  const int set = COIR_MUST(semget(IPC_PRIVATE, 1, 0600)), queue = COIR_MUST(msgget(IPC_PRIVATE, 0600));
  flow other("other", [&](log& w) {
    sembuf down = {0, -1, 0};
    COIR_OBSERVE(w, semop(set, &down, 1));
    timespec t = {0, 50'000'000};
    COIR_OBSERVE(w, semtimedop(set, &down, 1, &t));
    struct {
      long type;
      char text[8];
    } m = {};
    COIR_OBSERVE(w, msgrcv(queue, &m, sizeof m.text, 0, 0));
    w.say("%s", m.text);
  });
  settle();
  o.say("%s", other.state());
  sembuf up = {0, 1, 0};
  COIR_OBSERVE(o, semop(set, &up, 1));
  timespec t = {0, 120'000'000};
  nanosleep(&t, nullptr);
  struct {
    long type;
    char text[8];
  } m = {1, "hello"};
  COIR_OBSERVE(o, msgrcv(queue, &m, sizeof m.text, 2, IPC_NOWAIT));
  COIR_OBSERVE(o, msgsnd(queue, &m, sizeof m.text, 0));
  other.join();
  semctl(set, 0, IPC_RMID);
  msgctl(queue, IPC_RMID, nullptr);
}
