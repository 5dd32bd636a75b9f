// POSIX message queues, System V message queues and semaphores.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

#include <cstring>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

constexpr std::size_t room = 16;

// A queue of two messages, unlinked already.
class queue {
 public:
  explicit queue(int flags = 0) {
    const std::string name = "/coir-row-" + std::to_string(getpid());
    mq_attr how = {};
    how.mq_maxmsg = 2;
    how.mq_msgsize = room;
    number_ = COIR_MUST(mq_open(name.c_str(), O_CREAT | O_RDWR | flags, 0600, &how));
    mq_unlink(name.c_str());
  }
  ~queue() { mq_close(number_); }
  queue(const queue&) = delete;
  queue& operator=(const queue&) = delete;
  operator mqd_t() const noexcept { return number_; }

 private:
  mqd_t number_;
};

struct message {
  long type;
  char text[room];
};

}  // namespace

COIR_ROW("mq_receive: waits for a message, the most urgent first") {
  const queue q;
  std::atomic<bool> sent{false};
  flow receiver("receiver", [&](log& r) {
    char text[room] = {};
    unsigned priority = 77;
    for (int i = 0; i < 3; ++i) {
      COIR_OBSERVE(r, mq_receive(q, text, sizeof text, &priority));
      r.say("%s, priority %u", text, priority);
      while (!sent) nap(1);
    }
  });
  settle();
  o.say("the receiver %s", receiver.state());
  COIR_OBSERVE(o, mq_send(q, "one", 4, 1));
  settle();
  COIR_OBSERVE(o, mq_send(q, "two", 4, 2));
  COIR_OBSERVE(o, mq_send(q, "three", 6, 3));
  sent = true;
}

COIR_ROW("mq_send: waits for room, and loses nothing") {
  const queue q;
  flow sender("sender", [&](log& s) {
    const stopwatch since;
    for (char c = 'a'; c < 'e'; ++c) COIR_OBSERVE(s, mq_send(q, &c, 1, 0));
    s.took(since, 30);
  });
  settle();
  nap(30);
  o.say("the sender %s", sender.state());
  char c[room];
  for (int i = 0; i < 4; ++i) {
    COIR_OBSERVE(o, mq_receive(q, c, sizeof c, nullptr));
    o.say("%c", c[0]);
  }
}

COIR_ROW("mq_timedreceive and mq_timedsend: end at their time") {
  const queue q;
  char text[room];
  stopwatch since;
  timespec at = after(CLOCK_REALTIME, 40);
  COIR_OBSERVE(o, mq_timedreceive(q, text, sizeof text, nullptr, &at));
  o.took(since, 40);
  since.restart();
  COIR_OBSERVE(o, mq_timedreceive(q, text, sizeof text, nullptr, &at));
  o.took_no_time(since);
  COIR_OBSERVE(o, mq_timedsend(q, "x", 1, 0, &at));
  COIR_OBSERVE(o, mq_timedsend(q, "y", 1, 0, &at));
  at = after(CLOCK_REALTIME, 40);
  since.restart();
  COIR_OBSERVE(o, mq_timedsend(q, "z", 1, 0, &at));
  o.took(since, 40);
  at.tv_nsec = 1'000'000'000;
  COIR_OBSERVE(o, mq_timedreceive(q, text, sizeof text, nullptr, &at));
  COIR_OBSERVE(o, mq_timedsend(q, "z", 1, 0, &at));
}

COIR_ROW("mq: errors, and the user's own non-blocking queue") {
  const queue q(O_NONBLOCK);
  char text[room];
  COIR_OBSERVE(o, mq_receive(q, text, sizeof text, nullptr));
  COIR_OBSERVE(o, mq_receive(q, text, 3, nullptr));
  COIR_OBSERVE(o, mq_send(q, text, room + 1, 0));
  COIR_OBSERVE(o, mq_send(q, "x", 1, 0));
  COIR_OBSERVE(o, mq_send(q, "y", 1, 0));
  COIR_OBSERVE(o, mq_send(q, "z", 1, 0));
  COIR_OBSERVE(o, mq_send(-1, "z", 1, 0));
  COIR_OBSERVE(o, mq_receive(closed_number(), text, sizeof text, nullptr));
  COIR_OBSERVE(o, mq_send(q, "z", 1, 1'000'000));
  const both_ends e = make(kind::pipe);
  COIR_OBSERVE(o, mq_receive(e.a, text, sizeof text, nullptr));
}

COIR_ROW("mq: two receivers, one message each") {
  const queue q;
  const auto body = [&](log& r) {
    char text[room];
    COIR_OBSERVE(r, mq_receive(q, text, sizeof text, nullptr));
  };
  flow first("first", body), second("second", body);
  settle();
  COIR_OBSERVE(o, mq_send(q, "x", 1, 0));
  settle();
  o.say("one waits: %d", static_cast<int>(first.done()) + static_cast<int>(second.done()));
  COIR_OBSERVE(o, mq_send(q, "y", 1, 0));
}

COIR_ROW("msgrcv and msgsnd: wait, types are told apart, IPC_NOWAIT does not") {
  const int q = COIR_MUST(msgget(IPC_PRIVATE, 0600));
  flow receiver("receiver", [&](log& r) {
    message m = {};
    COIR_OBSERVE(r, msgrcv(q, &m, room, 2, 0));
    r.say("type %ld, %s", m.type, m.text);
  });
  settle();
  message m = {1, "one"};
  COIR_OBSERVE(o, msgrcv(q, &m, room, 7, IPC_NOWAIT));
  COIR_OBSERVE(o, msgsnd(q, &m, room, 0));
  settle();
  o.say("the receiver %s", receiver.state());
  m = {2, "two"};
  COIR_OBSERVE(o, msgsnd(q, &m, room, 0));
  receiver.join();
  flow removed("removed", [&](log& r) {
    message last = {};
    COIR_OBSERVE(r, msgrcv(q, &last, room, 9, 0));
  });
  settle();
  COIR_OBSERVE(o, msgctl(q, IPC_RMID, nullptr));
}

COIR_ROW("semop and semtimedop: wait until the value allows it") {
  const int set = COIR_MUST(semget(IPC_PRIVATE, 2, 0600));
  flow taker("taker", [&](log& t) {
    sembuf take[] = {{0, -1, 0}, {1, -2, 0}};
    const stopwatch since;
    COIR_OBSERVE(t, semop(set, take, 2));
    t.took(since, 30);
  });
  nap(20);
  sembuf give = {0, 1, 0};
  COIR_OBSERVE(o, semop(set, &give, 1));
  nap(20);
  o.say("the taker %s", taker.state());
  give = {1, 2, 0};
  COIR_OBSERVE(o, semop(set, &give, 1));
  taker.join();
  sembuf take = {0, -1, 0};
  const timespec forty = {0, 40'000'000};
  const stopwatch since;
  COIR_OBSERVE(o, semtimedop(set, &take, 1, &forty));
  o.took(since, 40);
  take.sem_flg = IPC_NOWAIT;
  COIR_OBSERVE(o, semop(set, &take, 1));
  COIR_OBSERVE(o, semctl(set, 0, IPC_RMID));
}
