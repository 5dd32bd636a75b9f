// 1,000 times system("sleep 0.5"), 100 at a time: on fibers of one thread, and on as many threads. And
// look-ups and waits that ask nobody: on a thread without fibers, and on a fiber.
//
// Prints milliseconds (system_fibers_ms, system_threads_ms) and nanoseconds a call (…_plain_ns, …_fiber_ns).

#include <coir/coir.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "measure.h"

namespace {

constexpr int at_a_time = 100, each = 10;

void run_commands() {
  for (int i = 0; i < each; ++i)
    if (::system("sleep 0.5") != 0) ::abort();
}

double of_fibers() {
  const double start = wall_ns();
  coir::group all;
  for (int i = 0; i < at_a_time; ++i) all.spawn(run_commands);
  all.join();
  return (wall_ns() - start) / 1e6;
}

double of_threads() {
  const double start = wall_ns();
  std::vector<std::thread> all;
  for (int i = 0; i < at_a_time; ++i) all.emplace_back(run_commands);
  for (auto& t : all) t.join();
  return (wall_ns() - start) / 1e6;
}

void name_of_address() {
  sockaddr_in a = {};
  a.sin_family = AF_INET;
  a.sin_port = htons(80);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char host[NI_MAXHOST], service[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&a), sizeof a, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    ::abort();
}

void address_of_name() {
  addrinfo hints = {}, *found;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo("127.0.0.1", "80", &hints, &found) != 0) ::abort();
  ::freeaddrinfo(found);
}

void name_of_host() {
  addrinfo hints = {}, *found;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo("localhost", "80", &hints, &found) == 0) ::freeaddrinfo(found);
}

void sync_of_memory() {
  static const int memory = ::memfd_create("memory", MFD_CLOEXEC);
  if (::fsync(memory) != 0) ::abort();
}

void message() {
  static const int queue = ::msgget(IPC_PRIVATE, 0600);
  struct {
    long type;
    char text[8];
  } m = {1, "message"};
  if (::msgsnd(queue, &m, 8, 0) != 0 || ::msgrcv(queue, &m, 8, 0, 0) != 8) ::abort();
}

double ns_a_call(void (*call)(), int calls) {
  const double start = wall_ns();
  for (int i = 0; i < calls; ++i) call();
  return (wall_ns() - start) / calls;
}

// The second turn counts: helpers are there, files were read.
void compare(const char* plain_row, const char* fiber_row, void (*call)(), int calls) {
  ns_a_call(call, calls);
  emit(plain_row, ns_a_call(call, calls));
  double on_fiber = 0;
  coir::event over;
  const auto other = coir::spawn([&] { over.wait(); });  // no fiber is alone
  coir::spawn([&] {
    ns_a_call(call, calls);
    on_fiber = ns_a_call(call, calls);
  }).join();
  over.set();
  other.join();
  emit(fiber_row, on_fiber);
}

}  // namespace

int main() {
  emit_begin("coir_patch");
  compare("getnameinfo_numeric_plain_ns", "getnameinfo_numeric_fiber_ns", name_of_address, 20'000);
  compare("getaddrinfo_numeric_plain_ns", "getaddrinfo_numeric_fiber_ns", address_of_name, 20'000);
  compare("getaddrinfo_host_plain_ns", "getaddrinfo_host_fiber_ns", name_of_host, 500);
  compare("fsync_memory_plain_ns", "fsync_memory_fiber_ns", sync_of_memory, 20'000);
  compare("message_plain_ns", "message_fiber_ns", message, 20'000);
  emit("system_threads_ms", of_threads());
  emit("system_fibers_ms", of_fibers());
  return emit_end();
}
