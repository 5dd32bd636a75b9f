// Runs programs of calls: see interpreter.hpp.
#include "interpreter.hpp"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "asleep.hpp"
#include "host.hpp"
#include "ops.hpp"

namespace fuzz {
namespace {

struct step {
  const operation* what = nullptr;
  call c;
  // What came of it; written before `state` is `returned`.
  long result = 0;
  int error = 0;
  enum : int { to_come, begun, returned, left_out };
  std::atomic<int> state{to_come};
};

// What a flow is to do next.
struct orders {
  sem_t given;
  std::atomic<step*> next{nullptr};
  std::atomic<bool> busy{false};
};
orders all_orders[flows];
sem_t something_returned;

void flow(int number) {
  orders& mine = all_orders[number];
  for (;;) {
    while (sem_wait(&mine.given) != 0) {
    }
    step& s = *mine.next.load();
    s.result = make(*s.what, s.c);
    s.error = s.result == -1 ? errno : 0;
    s.state = step::returned;
    mine.busy = false;
    sem_post(&something_returned);
  }
}

// Between a process that runs a program and the one that watches it. Its numbers are out of the way of those
// that the calls make, and of their limit.
struct channel {
  int questions[2], answers[2];
};
constexpr int first_own = 900;
int own_number(int fd) {
  const int to = fcntl(fd, F_DUPFD_CLOEXEC, first_own);
  close(fd);
  return to;
}
int question, answer;

// Until nothing happens in this process and its children without it.
void until_calm() {
  char byte;
  while (write(question, child, sizeof child) != sizeof child) {
  }
  ssize_t n;
  while ((n = read(answer, &byte, 1)) != 1)
    if (n == 0) kill(0, SIGKILL);  // who watched has ended
}

// Until `outstanding` calls have returned, or those that have not wait.
void wait_for(int& outstanding, long calm_us) {
  bool asked = false;
  while (outstanding > 0) {
    if (asked && sem_trywait(&something_returned) != 0) return;
    if (asked) {
      asked = false;
      --outstanding;
      continue;
    }
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += calm_us * 1000;
    t.tv_sec += t.tv_nsec / 1'000'000'000;
    t.tv_nsec %= 1'000'000'000;
    int r;
    while ((r = sem_timedwait(&something_returned, &t)) != 0 && errno == EINTR) {
    }
    if (r == 0) {
      --outstanding;
    } else {
      until_calm();
      asked = true;
    }
  }
}

std::string error_name(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : std::to_string(error);
}

std::vector<std::unique_ptr<step>> parse(const program& p) {
  std::vector<std::unique_ptr<step>> steps;
  std::istringstream lines(p.text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    auto s = std::make_unique<step>();
    s->c.number = static_cast<int>(steps.size());
    words >> s->c.flow >> name;
    s->what = find(name.c_str());
    if (s->what == nullptr || s->c.flow < 0 || s->c.flow >= p.flows || p.flows > flows)
      throw std::invalid_argument("no such call or flow: " + line);
    for (int& a : s->c.a)
      if (!(words >> a)) break;
    steps.push_back(std::move(s));
  }
  return steps;
}

long milliseconds_since(const timespec& began) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (now.tv_sec - began.tv_sec) * 1000 + (now.tv_nsec - began.tv_nsec) / 1'000'000;
}

std::string run(const program& p) {
  const auto steps = parse(p);
  prepare();
  sem_init(&something_returned, 0, 0);
  for (orders& o : all_orders) sem_init(&o.given, 0, 0);
  start_flows(p.flows, p.slow, flow);
  int outstanding = 0;
  timespec began;
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (const auto& s : steps) {
    orders& o = all_orders[s->c.flow];
    if (o.busy) {
      s->state = step::left_out;
      continue;
    }
    o.busy = true;
    o.next = s.get();
    s->state = step::begun;
    ++outstanding;
    sem_post(&o.given);
    wait_for(outstanding, std::max(p.calm_us, s->what->calm_us));
  }
  // Beside a limit that may have ended in the middle nothing is the same from run to run.
  if (milliseconds_since(began) > limit_ms / 2) return "late\n";
  const bool by_time = std::any_of(steps.begin(), steps.end(), [](const auto& s) {
    return s->state == step::begun && may_end_by_time(*s->what, s->c);
  });
  wait_for(outstanding, by_time ? limit_ms * 1000 + 10 * p.calm_us : 0);
  std::string text;
  for (const auto& s : steps) {
    text += std::to_string(s->c.number) + " " + std::to_string(s->c.flow) + " " + s->what->name;
    switch (s->state) {
      case step::returned:
        text += " -> " + std::to_string(s->result);
        if (s->error != 0) text += " " + error_name(s->error);
        if (!s->c.data.empty()) text += " " + s->c.data;
        break;
      case step::begun:
        text += " waits";
        break;
      default:
        text += " -";
    }
    text += "\n";
  }
  return text + "rest" + rest() + "\n";
}

void write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

// Answers a question when two looks, one after the other, have found nobody at work. False if that does not
// come.
bool say_when_calm(pid_t process, const channel& c) {
  pid_t children[things];
  if (read(c.questions[0], children, sizeof children) != sizeof children) return true;
  constexpr long most_us = 3'000'000;
  int calm_looks = 0;
  for (long spent_us = 0, pause_us = 100; calm_looks < 2; spent_us += pause_us) {
    if (spent_us > most_us) return false;
    bool calm = asleep(process);
    for (const pid_t one : children) calm = calm && (one == 0 || asleep(one));
    calm_looks = calm ? calm_looks + 1 : 0;
    // What looks too often keeps it from its work.
    pause_us = calm ? 20 : std::min(pause_us + pause_us / 4 + 20, 5000L);
    usleep(static_cast<useconds_t>(pause_us));
  }
  const char byte = '!';
  return write(c.answers[1], &byte, 1) == 1;
}

}  // namespace

std::string run_in_child(const program& p) {
  int out[2];
  channel c;
  if (pipe(out) != 0 || pipe(c.questions) != 0 || pipe(c.answers) != 0) std::abort();
  const pid_t process = fork();
  if (process == 0) {
    setpgid(0, 0);
    close(out[0]);
    close(c.questions[0]);
    close(c.answers[1]);
    const int to = own_number(out[1]);
    question = own_number(c.questions[1]);
    answer = own_number(c.answers[0]);
    write_all(to, run(p));
    kill(0, SIGKILL);  // its group: itself, with whatever it has left
  }
  setpgid(process, process);
  close(out[1]);
  close(c.questions[1]);
  close(c.answers[0]);
  std::string text;
  bool hung = false;
  for (;;) {
    pollfd ready[2] = {{out[0], POLLIN, 0}, {c.questions[0], POLLIN, 0}};
    if (poll(ready, 2, 4'000) == 0) {
      hung = true;
      break;
    }
    if ((ready[1].revents & POLLIN) != 0 && !say_when_calm(process, c)) {
      hung = true;
      break;
    }
    if (ready[0].revents == 0) continue;
    char piece[4096];
    const ssize_t n = read(out[0], piece, sizeof piece);
    if (n <= 0) break;
    text.append(piece, static_cast<std::size_t>(n));
  }
  close(out[0]);
  close(c.questions[0]);
  close(c.answers[1]);
  kill(-process, SIGKILL);
  int status = 0;
  waitpid(process, &status, 0);
  if (hung) return "hung\n";
  if (text.empty()) text = "ended by signal " + std::to_string(WTERMSIG(status)) + "\n";
  return text;
}

}  // namespace fuzz
