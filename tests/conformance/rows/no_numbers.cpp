// Calls that wait while the process has no descriptor number left, from its first wait on.
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

// Every number below a limit of `most` is taken while it lives.
class all_numbers {
 public:
  explicit all_numbers(rlim_t most = 100) {
    const rlimit few = {most, most};
    COIR_MUST(setrlimit(RLIMIT_NOFILE, &few));
    for (int fd = dup(0); fd >= 0; fd = dup(0)) taken_.emplace_back(fd);
  }

 private:
  std::vector<descriptor> taken_;
};

// Runs `body` in a child, which has waited for nothing yet, and notes the lines that it returns.
void in_child(log& o, const std::function<std::string()>& body) {
  both_ends p = make(kind::pipe);
  const pid_t child = COIR_MUST(fork());
  if (child == 0) {
    write_all(p.b, body());
    _exit(0);
  }
  p.b.close();
  const std::string lines = read_all(p.a);
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = lines.find('\n', at);
    o.say("%s", lines.substr(at, end - at).c_str());
    at = end + 1;
  }
  COIR_MUST(waitpid(child, nullptr, 0));
}

std::string line(const char* what, long result) {
  return std::string(what) + " -> " + std::to_string(result) +
         (result < 0 ? std::string(" ") + name_of_error(errno) : std::string()) + "\n";
}

double processor_milliseconds() {
  timespec t;
  COIR_MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

}  // namespace

COIR_ROW_WITH(own_process, "no descriptor left: what waits first waits as ever, and each for its own") {
  in_child(o, [] {
    both_ends pipe = make(kind::pipe), pair = make(kind::unix_stream), other = make(kind::udp);
    const listener l;
    const descriptor from = tcp_socket();
    const descriptor poller(COIR_MUST(epoll_create1(0)));
    epoll_event event = {};
    event.events = EPOLLIN;
    COIR_MUST(epoll_ctl(poller, EPOLL_CTL_ADD, other.a, &event));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    COIR_MUST(sigprocmask(SIG_BLOCK, &set, nullptr));
    const pid_t child = COIR_MUST(fork());
    if (child == 0) {
      nap(100);
      _exit(4);
    }
    char data[64];
    std::string said[9];
    {
      const all_numbers taken;
      flow reader("reader", [&](log&) { said[0] = line("read", read(pipe.a, data, 8)); });
      flow receiver("receiver", [&](log&) { said[1] = line("recv", recv(pair.a, data + 8, 8, 0)); });
      flow polling("polling", [&](log&) {
        pollfd p = {l.fd, POLLIN, 0};
        said[2] = line("poll", poll(&p, 1, 3000));
        said[2] += line("accept", accept(l.fd, nullptr, nullptr));
      });
      flow waiting("waiting", [&](log&) {
        epoll_event found;
        said[3] = line("epoll_wait", epoll_wait(poller, &found, 1, 3000));
      });
      flow for_signal("for a signal", [&](log&) {
        int number = 0;
        said[4] = line("sigwait", sigwait(&set, &number));
      });
      flow limited("limited", [&](log&) {
        set_timeout(other.b, SO_RCVTIMEO, 30'000);
        said[5] = line("recv with a limit", recv(other.b, data + 16, 8, 0));
      });
      flow parent("parent", [&](log&) {
        int status = 0;
        said[6] = line("waitpid", waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1);
      });
      settle();
      said[7] = std::string("the reader ") + reader.state() + ", the receiver " + receiver.state() + "\n";
      limited.join();
      said[7] += line("connect", connect(from, l.where(), l.size));
      write_all(pipe.b, "hi");
      write_all(pair.b, "you");
      write_all(other.b, "x");
      kill(getpid(), SIGUSR1);
    }
    // There are numbers again.
    flow reader("reader, later", [&](log&) { said[8] = line("read", read(pipe.a, data, 8)); });
    settle();
    write_all(pipe.b, "again");
    reader.join();
    std::string all;
    for (const std::string& one : said) all += one;
    return all;
  });
}

COIR_ROW_WITH(own_process,
              "no descriptor left: a wait that began then goes on when there are numbers again") {
  in_child(o, [] {
    both_ends e = make(kind::tcp);
    char data[16];
    std::string said;
    {
      flow reader("reader", [&](log&) { said += line("read", read(e.a, data, 8)); });
      {
        const all_numbers taken;
        settle();
        nap(10);
      }
      nap(20);
      said += std::string("the reader ") + reader.state() + "\n";
      const both_ends new_ones = make(kind::pipe);
      flow other("other", [&](log&) { said += line("read", read(new_ones.a, data + 8, 8)); });
      settle();
      write_all(new_ones.b, "new");
      other.join();
      write_all(e.b, "hello");
    }
    return said;
  });
}

COIR_ROW_WITH(own_process, "no descriptor left: an error queue that nobody reads keeps nobody busy") {
  in_child(o, [] {
    const sockaddr_in closed = nobody();
    const descriptor s(COIR_MUST(socket(AF_INET, SOCK_DGRAM, 0)));
    const int on = 1;
    COIR_MUST(setsockopt(s, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
    COIR_MUST(connect(s, reinterpret_cast<const sockaddr*>(&closed), sizeof closed));
    COIR_MUST(static_cast<int>(send(s, "x", 1, 0)));
    set_timeout(s, SO_RCVTIMEO, 200'000);
    char data[8];
    std::string said;
    double busy = 0;
    {
      const all_numbers taken;
      flow receiver("receiver", [&](log&) {
        said += line("recv", recv(s, data, sizeof data, 0));
        const double before = processor_milliseconds();
        said += line("recv", recv(s, data, sizeof data, 0));
        busy = processor_milliseconds() - before;
      });
    }
    return said + (busy < 100 ? "not busy\n" : "busy\n");
  });
}
