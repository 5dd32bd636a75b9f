// What need not wait: other fibers do not get their turn, since no helper thread is asked. Who has had the
// thread for long gives way all the same (a first call loads what it needs; the machine is loaded; the kernel
// has one lock for all networks): once of some times is enough, and times that took long do not count.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "scenarios.hpp"

using namespace std::chrono_literals;

int at_once() {
  const auto direct = [](
                          const char* name, const std::function<bool()>& call,
                          const std::function<void()>& prepare = [] {}) {
    bool right = true, others = true;
    int counted = 0;
    for (int attempt = 0; right && others && counted < 20 && attempt < 2000; ++attempt) {
      prepare();
      const auto before = std::chrono::steady_clock::now();
      others = lets_others_run([&] { right = call(); });
      if (std::chrono::steady_clock::now() - before < 300us) ++counted;
    }
    say(name, right && !others);
  };
  sockaddr_in a = {};
  a.sin_family = AF_INET;
  a.sin_port = htons(80);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char host[NI_MAXHOST], service[NI_MAXSERV];
  direct("numbers of an address", [&] {
    return ::getnameinfo(reinterpret_cast<sockaddr*>(&a), sizeof a, host, sizeof host, service,
                         sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
           std::string(host) + service == "127.0.0.180";
  });
  direct("number of a port", [&] {
    return ::getnameinfo(reinterpret_cast<sockaddr*>(&a), sizeof a, nullptr, 0, service, sizeof service,
                         NI_NUMERICSERV) == 0;
  });
  const auto resolves = [](const char* node, const char* port, int flags, int expected) {
    addrinfo hints = {}, *found = nullptr;
    hints.ai_flags = flags;
    hints.ai_socktype = SOCK_STREAM;
    const int r = ::getaddrinfo(node, port, &hints, &found);
    if (r == 0) ::freeaddrinfo(found);
    return r == expected;
  };
  direct("address and port", [&] { return resolves("127.0.0.1", "80", 0, 0); });
  direct("address by IPv6", [&] { return resolves("::1", nullptr, AI_NUMERICHOST, 0); });
  direct("address with a scope", [&] { return resolves("fe80::1%lo", "80", AI_NUMERICSERV, 0); });
  direct("to listen at a port", [&] { return resolves(nullptr, "80", AI_PASSIVE, 0); });
  direct("no address", [&] { return resolves("localhost", "80", AI_NUMERICHOST, EAI_NONAME); });
  direct("no port", [&] { return resolves("::1", "http", AI_NUMERICSERV, EAI_NONAME); });
  hostent entry, *result = nullptr;
  int error = 0;
  direct("host entry of an address", [&] {
    return ::gethostbyname_r("127.0.0.1", &entry, host, sizeof host, &result, &error) == 0 &&
           result == &entry;
  });
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  direct("fsync of a pipe", [&] { return ::fsync(ends[0]) == -1 && errno == EINVAL; });
  const int memory = ::memfd_create("memory", MFD_CLOEXEC);
  direct("fsync of memory", [&] { return ::write(memory, "x", 1) == 1 && ::fsync(memory) == 0; });
  direct("fdatasync of nothing", [] { return ::fdatasync(-1) == -1 && errno == EBADF; });
  const int more = ::memfd_create("more", MFD_CLOEXEC);
  direct("sendfile from memory to memory", [&] {
    off_t from = 0;
    return ::sendfile(more, memory, &from, 1) == 1;
  });
  direct("copy_file_range in memory", [&] {
    off64_t from = 0;
    return ::copy_file_range(memory, &from, more, nullptr, 1, 0) == 1 || errno == EXDEV;
  });
  direct("tcdrain of no terminal", [&] { return ::tcdrain(ends[0]) == -1 && errno == ENOTTY; });
  pid_t child = 0;
  const auto end_a_child = [&] {
    child = ::fork();
    if (child == 0) ::_exit(3);
    siginfo_t ended;
    ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);
  };
  int status = 0;
  direct(
      "waitpid of a child that has ended", [&] { return ::waitpid(child, &status, 0) == child; },
      end_a_child);
  direct("wait without children", [] { return ::wait(nullptr) == -1 && errno == ECHILD; });
  struct {
    long type;
    char text[8];
  } message = {1, "message"};
  const int queue = ::msgget(IPC_PRIVATE, 0600);
  direct("msgsnd with room", [&] { return ::msgsnd(queue, &message, 8, 0) == 0; });
  direct(
      "msgrcv of a message", [&] { return ::msgrcv(queue, &message, 8, 0, 0) == 8; },
      [&] { ::msgsnd(queue, &message, 8, IPC_NOWAIT); });
  ::msgctl(queue, IPC_RMID, nullptr);
  const int set = ::semget(IPC_PRIVATE, 1, 0600);
  sembuf up = {0, 1, 0}, down = {0, -1, 0};
  direct("semop up", [&] { return ::semop(set, &up, 1) == 0; });
  direct(
      "semop down", [&] { return ::semop(set, &down, 1) == 0; }, [&] { ::semop(set, &up, 1); });
  ::semctl(set, 0, IPC_RMID);
  int unconnected = -1;
  direct(
      "close of what cannot linger", [&] { return ::close(unconnected) == 0; },
      [&] {
        unconnected = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const linger lingers = {1, 5};
        ::setsockopt(unconnected, SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers);
      });
  return 0;
}
