// usage: lone_fiber NAME
// What lone_fiber_test.py looks at: the thread's only fiber is its main one. What could end its waits reaches
// them; if there is nothing of the kind, its calls need no other thread.
#include <coir/coir.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

void say(const char* what, bool yes) {
  std::printf("%s: %s\n", what, yes ? "yes" : "no");
}

long threads() {
  long n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++n;
  return n;
}

struct silence {
  int ends[2];
  silence() {
    if (::pipe(ends) != 0) std::abort();
  }
  ~silence() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ssize_t read() const {
    char byte;
    return ::read(ends[0], &byte, 1);
  }
};

int limits() {
  const silence s;
  say("with_timeout ends a read", !coir::with_timeout(20ms, [&] { s.read(); }));
  say("and a sleep of C++", !coir::with_timeout(20ms, [] { std::this_thread::sleep_for(60s); }));
  say("and a read of stdio", !coir::with_timeout(20ms, [&] {
        std::FILE* in = ::fdopen(::dup(s.ends[0]), "r");
        char line[16];
        while (std::fgets(line, sizeof line, in) != nullptr) {
        }
        std::fclose(in);
      }));
  say("what it saw is returned if so asked",
      coir::with_timeout(
          20ms, [&] { return s.read() == -1 && errno == ETIMEDOUT; }, coir::as_returned) == true);
  {
    coir::timeout outer(60s), t(20ms);
    say("a scope ends a read", s.read() == -1 && errno == ETIMEDOUT);
    say("and tells of it", t.cut_short() && !outer.cut_short());
    const pid_t child = ::fork();
    if (child == 0) {
      t.reset(20ms);
      ::_exit(s.read() == -1 && errno == ETIMEDOUT ? 0 : 1);
    }
    t.cancel();
    int status = -1;
    say("in the child of a fork too", ::waitpid(child, &status, 0) == child && status == 0);
  }
  return 0;
}

int signal() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::listen(listener, 5) != 0) std::abort();
  const auto stop = coir::on_signal(SIGTERM, [&](int) { ::shutdown(listener, SHUT_RD); });
  std::thread other([] {
    ::usleep(20'000);
    ::kill(::getpid(), SIGTERM);
  });
  while (::accept(listener, nullptr, nullptr) >= 0) {
  }
  say("on_signal stops an accept", true);
  other.join();
  return 0;
}

int post() {
  const silence s;
  std::thread other([to = coir::this_thread_handle(), &s] {
    ::usleep(20'000);
    coir::post(to, [&] { return ::write(s.ends[1], "x", 1); });
  });
  say("a post runs while main reads", s.read() == 1);
  other.join();
  return 0;
}

void use_helpers() {
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &found) == 0) ::freeaddrinfo(found);
  for (int i = 0; i < 2; ++i)
    if (::fork() == 0) {
      ::usleep(10'000);
      ::_exit(0);
    }
  while (::wait(nullptr) > 0) {
  }
  char path[] = "/tmp/coir-lone-XXXXXX";
  const int file = ::mkstemp(path);
  if (::write(file, path, sizeof path) < 0 || ::fsync(file) != 0) std::abort();
  ::unlink(path);
  ::close(file);
}

// Another thread ends the last subscription of this one.
int unsubscribes() {
  auto subscribed = coir::on_signal(SIGTERM, [](int) {});
  std::thread([&] { const auto ends = std::move(subscribed); }).join();
  do coir::this_fiber::sleep_for(10ms);
  while (threads() != 1);  // the join's helper
  use_helpers();
  say("no thread was needed", threads() == 1);
  return 0;
}

int threadless() {
  use_helpers();
  say("no thread was needed", threads() == 1);
  say("unshare is possible", ::unshare(CLONE_THREAD) == 0);
  struct sigaction ends_waits = {};
  ends_waits.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &ends_waits, nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  ::ualarm(20'000, 0);
  say("a signal ends a wait for any child", ::wait(nullptr) == -1 && errno == EINTR);
  ::kill(child, SIGKILL);
  ::wait(nullptr);
  return 0;
}

sigjmp_buf back;

// A time limit by a handler that is left by a jump, and that restarts calls.
int jumps() {
  ::signal(SIGALRM, [](int) { ::siglongjmp(back, 1); });
  const silence s;
  const auto leaves = [](const char* what, auto call) {
    static std::sig_atomic_t left;
    left = 0;
    if (sigsetjmp(back, 1) != 0) ++left;
    if (left < 2) {
      ::ualarm(20'000, 0);
      call();
      return say(what, false);
    }
    say(what, true);
  };
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  leaves("a wait for any child", [] { ::wait(nullptr); });
  leaves("a join", [&] { std::thread([] { ::pause(); }).join(); });
  ::kill(child, SIGKILL);
  ::wait(nullptr);
  bool ran = false;
  auto other = coir::spawn([&] {
    ran = true;
    return ::write(s.ends[1], "x", 1);
  });
  say("the patch is in force", s.read() == 1 && ran);
  other.join();
  int state = -1;
  ::pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
  say("the thread may be cancelled", state == PTHREAD_CANCEL_ENABLE);
  std::fflush(stdout);
  ::_exit(0);  // threads are left that wait for ever
}

// A thread with fibers does not end in a call that needs no helper.
int cancels() {
  std::thread([] {
    auto beside = coir::spawn([] { ::usleep(10'000); });
    coir::this_fiber::yield();
    ::pthread_cancel(::pthread_self());
    char message[16];
    const bool synced = ::fsync(-1) == -1 && errno == EBADF;
    const bool received = ::msgrcv(-1, message, 1, 0, 0) == -1 && errno == EINVAL;
    ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    say("fsync", synced);
    say("msgrcv", received);
    beside.join();
  }).join();
  return 0;
}

int soon() {
  bool over = false;
  auto other = coir::spawn([&] {
    while (!over) ::usleep(1000);
  });
  use_helpers();
  over = true;
  other.join();
  for (int i = 0; i < 500 && threads() != 1; ++i) ::usleep(10'000);
  say("helpers are gone", threads() == 1);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, int (*)()> all = {
      {"limits", limits}, {"signal", signal}, {"post", post},       {"threadless", threadless},
      {"soon", soon},     {"jumps", jumps},   {"cancels", cancels}, {"unsubscribes", unsubscribes}};
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const auto found = argc == 2 ? all.find(argv[1]) : all.end();
  return found != all.end() ? found->second() : 2;
}
